"""Sound that a header does not count, as all its sizes are wrong alike; and lists of samples."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
import soundfile
from support.bad_headers import encode, patched, voice, wav
from support.recordings import refused, saver, without_media

from speechattn.audio.load import read_audio

FRAMES = 16_000
VOICE = voice(FRAMES)
DATA = (VOICE * 32767).astype("<i2").tobytes()
SIZE = len(DATA)
LIST = b"LIST" + struct.pack("<I", 6) + b"INFO\0\0"
GO_ON = "samples of the same kind go on to"


@pytest.fixture
def save(tmp_path):
    """Write bytes to a file and give its path."""
    return saver(tmp_path)


def half(kind: str, subtype: str = "PCM_16") -> bytes:
    """A recording all sizes of which say half."""
    data = encode(kind, subtype, VOICE)
    match kind:
        case "WAV":
            (size,) = struct.unpack_from("<I", data, data.index(b"data") + 4)
            data = patched(data, b"data", 4, "<I", size // 2)
            return patched(data, b"RIFF", 4, "<I", data.index(b"data") + size // 2)
        case "W64":
            data = patched(data, b"data", 16, "<Q", SIZE // 2 + 24)
            return patched(data, b"riff", 16, "<Q", data.index(b"data") + 24 + SIZE // 2)
        case "AU":
            return patched(data, b".snd", 8, ">I", SIZE // 2)
        case "CAF":
            return patched(data, b"data", 4, ">q", SIZE // 2 + 4)
        case _:
            text = f"sample_count -i {FRAMES}".encode()
            return data.replace(text, f"sample_count -i {FRAMES // 2:05}".encode())


@pytest.mark.parametrize(
    ("kind", "subtype"),
    [("WAV", "PCM_16"), ("WAV", "PCM_24"), ("WAV", "FLOAT"), ("WAV", "ULAW"), ("WAV", "PCM_U8"),
     ("W64", "PCM_16"), ("AU", "PCM_16"), ("CAF", "PCM_16"), ("NIST", "PCM_16")],
)  # fmt: skip
def test_sizes_that_say_half_leave_nothing_out(save, kind, subtype):
    whole = read_audio(save(encode(kind, subtype, VOICE), f"whole.{kind.lower()}"))[0]
    samples, info = read_audio(save(half(kind, subtype), f"half.{kind.lower()}"))
    np.testing.assert_array_equal(samples, whole)
    assert GO_ON in info.contradictions[0] and info.contradictions[0].endswith("all are read")


@pytest.mark.parametrize("kind", ["WAV", "W64", "AU", "CAF", "NIST"])
def test_what_is_no_sound_is_left_out(save, kind):
    random = np.random.default_rng(0)
    text = " ".join(map(str, range(3000))).encode()
    for junk in (random.bytes(9000), text, zlib.compress(random.bytes(9000)), bytes(9000)):
        samples, info = read_audio(save(encode(kind, "PCM_16", VOICE) + junk, f"a.{kind.lower()}"))
        assert len(samples) == FRAMES
        assert "if they are sound, it is left out" in info.contradictions[-1]


def test_chunks_and_recordings_behind_the_rest_are_no_part_of_it(save):
    for size in (SIZE // 2, 0, 0xFFFFFFFF):
        data = patched(wav(DATA, size), b"RIFF", 4, "<I", SIZE // 2 + 36)
        samples, _ = read_audio(save(data + LIST))
        np.testing.assert_array_equal(samples, read_audio(save(wav(DATA)))[0])
        samples, info = read_audio(save(data + LIST + data))
        assert len(samples) == 2 * FRAMES
        assert "2 recordings follow each other; all are read" in info.contradictions
    assert len(read_audio(save(wav(DATA, SIZE // 2, after=LIST)))[0]) == FRAMES


def test_something_between_two_recordings_is_left_out(save):
    samples, info = read_audio(save(wav(DATA) + bytes(512) + wav(DATA)))
    assert len(samples) == 2 * FRAMES and "512 bytes at byte" in info.contradictions[0]


def test_a_chunk_that_is_not_filled_up(save):
    samples, info = read_audio(save(wav(DATA, before=b"LIST\x0f\0\0\0INFOISFT\3\0\0\0abc")))
    np.testing.assert_array_equal(samples, read_audio(save(wav(DATA)))[0])
    assert "the LIST chunk has 15 bytes and is not filled up" in info.contradictions[0]


def test_mp3s_joined_within_a_wav(save):
    file = io.BytesIO()
    soundfile.write(file, voice(32_000), 16_000, format="MP3")
    layout = struct.pack("<HHIIHHHHIHHH", 0x55, 1, 16_000, 4000, 1, 0, 12, 1, 2, 417, 1, 1393)
    data = 2 * file.getvalue()
    body = b"WAVEfmt " + struct.pack("<I", len(layout)) + layout + b"data"
    body += struct.pack("<I", len(data)) + data
    samples, info = read_audio(save(b"RIFF" + struct.pack("<I", len(body)) + body))
    assert abs(len(samples) - 64_000) < 2500
    assert info.contradictions == ("2 recordings follow each other; all are read",)


def chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)


def wave_list(*chunks: bytes, tag: int = 1, bits: int = 16) -> bytes:
    fmt = struct.pack("<HHIIHH", tag, 1, 16_000, 2000 * bits, bits // 8, bits)
    body = b"WAVE" + chunk(b"fmt ", fmt) + chunk(b"LIST", b"wavl" + b"".join(chunks))
    return b"RIFF" + struct.pack("<I", len(body)) + body


@pytest.mark.parametrize(("bits", "tag", "level"), [(16, 1, 0), (8, 1, 0), (8, 7, 0), (8, 6, 8)])
def test_a_list_of_samples_and_silences(save, bits, tag, level):
    data = DATA[: 2 * 800] if bits == 16 else bytes([100] * 800)
    parts = chunk(b"data", data), chunk(b"slnt", struct.pack("<I", 1600)), chunk(b"data", data)
    samples, info = read_audio(save(wave_list(*parts, tag=tag, bits=bits)))
    assert (len(samples), info.contradictions) == (3200, ())
    assert np.abs(samples[800:2400]).max() * 32768 <= level
    np.testing.assert_array_equal(samples[:800], samples[2400:])
    assert samples[:800].any()


def test_lists_that_are_no_good(save, monkeypatch):
    data = chunk(b"data", DATA)
    refused(save(wave_list(data)[:-100]), "cut off", "list of samples")
    refused(save(wave_list(chunk(b"junk", DATA))), "damaged at byte 48")
    refused(save(wave_list(chunk(b"slnt", b"\xff" * 4))), "bytes of samples and silence")
    with without_media(monkeypatch):
        refused(save(wave_list(data, tag=0x11)), "compressed parts (wavl)")
