"""Headers that lie: recordings of which every byte of sound is right and the header is not.

Each lie has the verdict that follows from what a reader can know. ``ok`` is only for lies about
what does not matter, or for those that no reader can tell from the truth; then the duration is the
one that the header gives.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import soundfile

RATE = 16_000
FRAMES = 8_000


class Lie(NamedTuple):
    """A recording with a wrong header.

    Attributes:
        name: of the file, without folder.
        data: its bytes.
        verdict: ``"ok"`` or ``"error"``.
        seconds: that an ``ok`` recording lasts.
    """

    name: str
    data: bytes
    verdict: str
    seconds: float | None = None


def voice(frames: int = FRAMES, rate: int = RATE) -> np.ndarray:
    """A vowel of sorts: harmonics of 120 Hz around two formants, float32, shape (frames,)."""
    time = np.arange(frames) / rate
    harmonics = [k * 120.0 for k in range(1, 30) if k * 120.0 < rate / 2]
    level = {h: np.exp(-(((h - 600) / 250) ** 2)) + 0.3 * np.exp(-(((h - 1500) / 300) ** 2))
             for h in harmonics}  # fmt: skip
    wave = sum(level[h] * np.sin(2 * np.pi * h * time + h) for h in harmonics)
    return (0.2 * wave * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * time))).astype(np.float32)


def encode(kind: str, subtype: str, samples: np.ndarray, rate: int = RATE, **options) -> bytes:
    """A sound file in memory, as libsndfile writes it."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=kind, subtype=subtype, **options)
    return buffer.getvalue()


def wav(data: bytes, declared: int | None = None, *, before=b"", after=b"", order="<", **fields):
    """A PCM_16 mono WAV whose ``fmt`` fields may be anything."""
    declared = len(data) if declared is None else declared
    layout = {"tag": 1, "channels": 1, "rate": RATE, "bytes": 2 * RATE, "block": 2, "bits": 16}
    fmt = struct.pack(f"{order}HHIIHH", *(layout | fields).values())
    body = b"WAVE" + before + b"fmt " + struct.pack(f"{order}I", 16) + fmt
    body += b"data" + struct.pack(f"{order}I", declared) + data + after
    return (b"RIFF" if order == "<" else b"RIFX") + struct.pack(f"{order}I", len(body)) + body


def patched(data: bytes, mark: bytes, skip: int, layout: str, value: int) -> bytes:
    """``data`` with a number after ``mark`` overwritten."""
    changed = bytearray(data)
    struct.pack_into(layout, changed, data.index(mark) + skip, value)
    return bytes(changed)


def lies() -> Iterator[Lie]:
    """All of them."""
    yield from _wav_sizes()
    yield from _wav_formats()
    yield from _wav_chunks()
    yield from _other_sizes()
    yield from _compressed()


def _wav_sizes() -> Iterator[Lie]:
    pcm = (voice() * 32767).astype("<i2").tobytes()
    whole = FRAMES / RATE
    for extra in (2, 3, 1000, len(pcm), 1 << 31):
        yield Lie(f"wav_data_size_plus_{extra}.wav", wav(pcm, len(pcm) + extra), "error")
    yield Lie("wav_data_size_plus_1.wav", wav(pcm, len(pcm) + 1), "ok", whole)
    yield Lie("wav_data_size_half.wav", wav(pcm, len(pcm) // 2), "ok", whole)
    yield Lie("wav_data_size_0.wav", wav(pcm, 0), "ok", whole)  # as a crashed recorder leaves it
    for size in (1, 2, 100):  # by the size of the whole there is more
        yield Lie(f"wav_data_size_{size:x}.wav", wav(pcm, size), "ok", whole)
    for size in (0xFFFFFFFE, 0x80000000):
        yield Lie(f"wav_data_size_{size:x}.wav", wav(pcm, size), "error")
    for size in (0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000):  # what recorders to a pipe write
        yield Lie(f"wav_data_size_streamed_{size:x}.wav", wav(pcm, size), "ok", whole)
    for size in (0, 4, 0xFFFFFFFF):
        yield Lie(f"riff_size_{size:x}.wav", patched(wav(pcm), b"RIFF", 4, "<I", size), "ok", whole)
    big = wav((voice() * 32767).astype(">i2").tobytes(), order=">")
    yield Lie("rifx_right.wav", big, "ok", whole)
    yield Lie("rifx_double.wav", patched(big, b"data", 4, ">I", 2 * len(pcm)), "error")
    long = encode("RF64", "PCM_16", voice())
    ds64 = long.index(b"ds64") + 8
    for size, verdict in ((0, "ok"), (2 * len(pcm), "error"), (1 << 62, "error")):
        name = f"rf64_data_size_{size:x}.wav"
        changed = long[: ds64 + 8] + struct.pack("<Q", size) + long[ds64 + 16 :]
        yield Lie(name, changed, verdict, whole if verdict == "ok" else None)


def _wav_formats() -> Iterator[Lie]:
    pcm = (voice() * 32767).astype("<i2").tobytes()
    whole = FRAMES / RATE
    for rate in (0, 1, 3_999, 768_001, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF):
        yield Lie(f"wav_rate_{rate}.wav", wav(pcm, rate=rate), "error")
    for channels in (0, 1025, 40_000, 65_535):
        yield Lie(f"wav_channels_{channels}.wav", wav(pcm, channels=channels), "error")
    for bits in (0, 65, 255, 65_535):
        yield Lie(f"wav_bits_{bits}.wav", wav(pcm, bits=bits), "error")
    for bits in (1, 12):  # fewer than the bytes hold: they are the upper ones
        yield Lie(f"wav_bits_{bits}.wav", wav(pcm, bits=bits), "ok", whole)
    for tag in (0, 0x1234, 0x2000, 0xFFFF):
        yield Lie(f"wav_tag_{tag:x}.wav", wav(pcm, tag=tag), "error")
    for rate in (0, 1, 0xFFFFFFFF):
        yield Lie(f"wav_bytes_a_second_{rate:x}.wav", wav(pcm, bytes=rate), "ok", whole)


def _wav_chunks() -> Iterator[Lie]:
    pcm = (voice() * 32767).astype("<i2").tobytes()
    good, whole = wav(pcm), FRAMES / RATE
    fmt, data = good[12:36], good[36:]
    riff = b"RIFF" + struct.pack("<I", len(good) - 8) + b"WAVE"
    junk = b"JUNK" + struct.pack("<I", 6) + b"\0\xff" * 3
    yield Lie("wav_junk_before.wav", wav(pcm, before=junk), "ok", whole)
    yield Lie("wav_junk_after.wav", wav(pcm, after=junk), "ok", whole)
    yield Lie("wav_no_fmt.wav", riff + data, "error")
    yield Lie("wav_data_before_fmt.wav", riff + data + fmt, "error")
    yield Lie("wav_no_data.wav", riff + fmt, "error")
    yield Lie("wav_only_riff.wav", riff, "error")
    many = (b"JUNK" + bytes(4)) * 10_001
    yield Lie("wav_10001_chunks.wav", wav(pcm, before=many), "error")
    huge = b"LIST" + struct.pack("<I", 0xFFFFFFF0) + b"INFO"
    yield Lie("wav_chunk_of_4_gb.wav", wav(pcm, before=huge), "error")
    for size in (0, 14, 0xFFFFFFFF):
        yield Lie(f"wav_fmt_size_{size:x}.wav", patched(good, b"fmt ", 4, "<I", size), "error")
    adpcm = encode("WAV", "IMA_ADPCM", voice())
    for block in (0, 1, 65_535):
        name = f"wav_ima_samples_a_block_{block}.wav"
        yield Lie(name, patched(adpcm, b"fmt ", 26, "<H", block), "error")


def _other_sizes() -> Iterator[Lie]:
    whole, size = FRAMES / RATE, 2 * FRAMES
    aiff, au = encode("AIFF", "PCM_16", voice()), encode("AU", "PCM_16", voice())
    caf, w64 = encode("CAF", "PCM_16", voice()), encode("W64", "PCM_16", voice())
    for lie in (0, size + 10, 0x7FFFFFFF, 0xFFFFFFFF):
        changed = patched(aiff, b"SSND", 4, ">I", lie)
        verdict = ("error", None) if lie else ("ok", whole)
        yield Lie(f"aiff_sound_{lie:x}.aiff", changed, *verdict)
        yield Lie(f"aiff_offset_{lie:x}.aiff", patched(aiff, b"SSND", 8, ">I", lie or 1 << 20),
                  "error")  # fmt: skip
    yield Lie("aiff_channels_0.aiff", patched(aiff, b"COMM", 8, ">H", 0), "error")
    yield Lie("aiff_channels_ffff.aiff", patched(aiff, b"COMM", 8, ">H", 0xFFFF), "error")
    yield Lie("aiff_bits_0.aiff", patched(aiff, b"COMM", 14, ">H", 0), "error")
    yield Lie("aiff_rate_exponent.aiff", patched(aiff, b"COMM", 16, ">H", 0x7FFF), "error")
    yield Lie("au_size_0.au", patched(au, b".snd", 8, ">I", 0), "ok", whole)
    for lie in (size + 2, 0xFFFFFFFE):
        yield Lie(f"au_size_{lie:x}.au", patched(au, b".snd", 8, ">I", lie), "error")
    yield Lie("au_size_unknown.au", patched(au, b".snd", 8, ">I", 0xFFFFFFFF), "ok", whole)
    for lie in (size * 2, 0x7FFFFFFF, 0xFFFFFFFF):
        yield Lie(f"au_offset_{lie:x}.au", patched(au, b".snd", 4, ">I", lie), "error")
    yield Lie("au_coding_99.au", patched(au, b".snd", 12, ">I", 99), "error")
    for lie, verdict in ((0, "ok"), (-1, "ok"), (size + 100, "error"), (1 << 62, "error")):
        changed = patched(caf, b"data", 4, ">q", lie)
        yield Lie(f"caf_data_{lie:x}.caf", changed, verdict, whole if verdict == "ok" else None)
    yield Lie("caf_channels_0.caf", patched(caf, b"desc", 36, ">I", 0), "error")
    for lie, verdict in ((0, "ok"), (24, "ok"), (size + 200, "error"), (1 << 62, "error")):
        changed = patched(w64, b"data", 16, "<Q", lie)
        yield Lie(f"w64_data_{lie:x}.w64", changed, verdict, whole if verdict == "ok" else None)
    sphere = encode("NIST", "PCM_16", voice())
    for old, new in ((b" 8000\n", b" 9000\n"), (b" 8000\n", b" -800\n"), (b"   1024", b" 999999"),
                     (b"sample_count", b"sample_kount"), (b" 16000\n", b" 00000\n"),
                     (b"channel_count -i 1", b"channel_count -i 0")):  # fmt: skip
        assert old in sphere
        name = f"nist_{old.strip().decode().split(' ')[0]}_{len(new)}_{new.strip()[-4:].decode()}"
        yield Lie(f"{name.replace(' ', '_')}.sph", sphere.replace(old, new, 1), "error")


def _compressed() -> Iterator[Lie]:
    whole, samples = FRAMES / RATE, voice()
    flac = encode("FLAC", "PCM_16", samples)
    for lie, verdict in ((2 * FRAMES, "error"), ((1 << 36) - 1, "error"), (FRAMES + 1, "error")):
        # The number of samples is the last 36 bits of the eight bytes after the frame sizes.
        bits = int.from_bytes(flac[18:26], "big") >> 36 << 36 | lie
        yield Lie(f"flac_samples_{lie:x}.flac", flac[:18] + bits.to_bytes(8, "big") + flac[26:],
                  verdict)  # fmt: skip
    bits = int.from_bytes(flac[18:26], "big") >> 36 << 36
    unknown = flac[:18] + bits.to_bytes(8, "big") + flac[26:]
    yield Lie("flac_samples_unknown.flac", unknown, "ok", whole)
    for subtype in ("VORBIS", "OPUS"):
        ogg = encode("OGG", subtype, samples)
        last = ogg.rindex(b"OggS")
        name = f"ogg_{subtype.lower()}"
        yield Lie(f"{name}_two_streams.ogg", ogg + ogg, "ok", 2 * whole)
        yield Lie(f"{name}_no_end.ogg", ogg[: last + 5] + b"\0" + ogg[last + 6 :], "error")
        yield Lie(f"{name}_page_missing.ogg", ogg[: ogg.index(b"OggS", 1)] + ogg[last:], "error")
        yield Lie(f"{name}_last_page_twice.ogg", ogg + ogg[last:], "error")
    mp3 = encode("MP3", "MPEG_LAYER_III", samples)
    tag = max(mp3.find(b"Xing"), mp3.find(b"Info"))
    count = int.from_bytes(mp3[tag + 8 : tag + 12], "big")
    assert tag > 0 and mp3[tag + 7] & 1
    for lie in (count + 2, 1 << 31):
        data = mp3[: tag + 8] + struct.pack(">I", lie) + mp3[tag + 12 :]
        yield Lie(f"mp3_frames_{lie:x}.mp3", data, "error")
    for size in (b"\x7f\x7f\x7f\x7f", b"\0\0\x7f\x7f"):
        yield Lie(f"mp3_id3_{size.hex()}.mp3", b"ID3\4\0\0" + size + mp3, "ok", whole)
