"""Headers against files: what a container promises and what is there."""

from __future__ import annotations

import os
import struct

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from speechattn.audio import audio_info, read_audio
from speechattn.containers import check_container, printable
from speechattn.errors import AudioError

RATE = 16_000
SIGNAL = (0.4 * np.sin(np.arange(16_001) * 0.05)).astype(np.float32)
PCM = (SIGNAL * 32767).astype("<i2").tobytes()


def wav(data=PCM, declared=None, *, rate=RATE, channels=1, before=b"", after=b"", order="<"):
    """A PCM_16 WAV, with any lie told in its header."""
    declared = len(data) if declared is None else declared
    layout = (16, 1, channels, rate, rate * 2 * channels, 2 * channels, 16)
    body = b"WAVEfmt " + struct.pack(f"{order}IHHIIHH", *layout)
    body += before + b"data" + struct.pack(f"{order}I", declared) + data + after
    return (b"RIFF" if order == "<" else b"RIFX") + struct.pack(f"{order}I", len(body)) + body


def encoded(tmp_path, kind, subtype, signal=SIGNAL, rate=RATE, **options) -> bytes:
    path = tmp_path / "encoded"
    soundfile.write(path, signal, rate, format=kind, subtype=subtype, **options)
    return path.read_bytes()


@pytest.fixture
def save(tmp_path):
    """Write bytes to a file and give its path."""

    def write(data: bytes, name: str = "a.wav"):
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return write


def refused(path, *words) -> str:
    """The one-line message with which a file is refused; it names the file."""
    with pytest.raises(AudioError) as caught:
        read_audio(path)
    message = str(caught.value)
    assert "\n" not in message and printable(path) in message
    for word in words:
        assert word in message, message
    return message


# --- RIFF ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("declared", [0xFFFFFFFF, 0xFFFFFFFF - 36, 0x7FFFF000, 0x7FFFFFFF - 36])
def test_wav_written_to_a_pipe_reaches_to_its_end(save, declared):
    samples, _ = read_audio(save(wav(declared=declared)))
    assert len(samples) == len(SIGNAL)
    np.testing.assert_allclose(samples, SIGNAL, atol=2 / 32768)


@pytest.mark.parametrize("after", [b"\0", b"junk" * 99, b"LIST\4\0\0\0abcd"])
def test_what_follows_the_samples_does_no_harm(save, after):
    assert len(read_audio(save(wav(after=after)))[0]) == len(SIGNAL)


def test_odd_sizes_are_padded_or_not(save):
    assert len(read_audio(save(wav(before=b"LIST\3\0\0\0abc\0")))[0]) == len(SIGNAL)
    # A size that counts half a sample, and the half sample missing: no whole sample is lost.
    assert len(read_audio(save(wav(declared=len(PCM) + 1)))[0]) == len(SIGNAL)


def test_big_endian_wav(save):
    data = np.frombuffer(PCM, "<i2").astype(">i2").tobytes()
    samples, _ = read_audio(save(wav(data, order=">")))
    np.testing.assert_allclose(samples, SIGNAL, atol=2 / 32768)
    refused(save(wav(data, order=">")[:-2]), "cut off", str(len(PCM)), str(len(PCM) - 2))


@pytest.mark.parametrize("lost", [2, 1000, len(PCM) - 2, len(PCM)])
def test_cut_wav_names_both_sizes(save, lost):
    refused(save(wav()[:-lost]), "cut off", str(len(PCM)), str(len(PCM) - lost), "copy")


def test_unfinished_wav(save):
    refused(save(wav(declared=0)), "0 bytes", str(len(PCM)), "not finished")


@pytest.mark.parametrize("after", [b"", b"LIST\4\0\0\0abcd"])
def test_header_only_wav(save, after):
    refused(save(wav(b"", after=after)), "no samples")


def test_impossible_header_values(save):
    refused(save(wav(channels=0)), "0 channels")
    refused(save(wav(rate=0)), "0 Hz")
    refused(save(wav(rate=3999)), "3999 Hz", "4000")
    refused(save(wav(rate=768_001)), "768001 Hz")


def test_no_data_or_no_fmt(save):
    refused(save(wav()[:36]), "no data chunk")
    refused(save(wav()[:30]), "cut off inside the header")
    refused(save(wav()[:12] + wav()[36:]), "no fmt chunk")
    endless = wav()[:36] + b"LIST\0\0\0\0" * 20_000 + wav()[36:]
    refused(save(endless), "chunks")


def test_rf64_size_is_in_ds64(tmp_path, save):
    data = encoded(tmp_path, "RF64", "PCM_16")
    at = data.index(b"ds64") + 16
    assert struct.unpack("<Q", data[at : at + 8])[0] == len(PCM)
    more = data[:at] + struct.pack("<Q", len(PCM) + 2000) + data[at + 8 :]
    refused(save(more), "cut off", str(len(PCM) + 2000))


@pytest.mark.parametrize("kind", ["WAV", "W64"])
@pytest.mark.parametrize("subtype", ["IMA_ADPCM", "MS_ADPCM", "GSM610"])
def test_padding_of_block_codecs_is_trimmed_to_fact(tmp_path, save, kind, subtype):
    data = bytearray(encoded(tmp_path, kind, subtype))
    at = data.index(b"fact") + (8 if kind == "WAV" else 24)
    layout = "<I" if kind == "WAV" else "<Q"
    struct.pack_into(layout, data, at, len(SIGNAL))  # libsndfile itself does not always write it
    path = save(bytes(data))
    assert soundfile.info(path).frames > len(SIGNAL)  # or there is nothing to trim
    assert audio_info(path).frames == len(SIGNAL)
    assert len(read_audio(path)[0]) == len(SIGNAL)
    struct.pack_into(layout, data, at, 5)  # no number of samples that this many blocks can hold
    frames = audio_info(save(bytes(data))).frames
    assert len(SIGNAL) < frames <= min(soundfile.info(path).frames, len(SIGNAL) + 505)


# --- the other containers ------------------------------------------------------------------------

CONTAINERS = [("AIFF", b"SSND", 4, ">I"), ("AU", b".snd", 8, ">I"), ("CAF", b"data", 4, ">q")]
CONTAINERS += [("W64", b"data", 16, "<Q")]


@pytest.mark.parametrize("kind, mark, skip, layout", CONTAINERS)
def test_unfinished_containers(tmp_path, save, kind, mark, skip, layout):
    data = bytearray(encoded(tmp_path, kind, "PCM_16"))
    struct.pack_into(layout, data, data.rindex(mark) + skip, 24 if kind == "W64" else 0)
    refused(save(bytes(data)), "0 bytes", "not finished")


def test_unknown_size_reaches_to_the_end_or_is_refused(tmp_path, save):
    data = bytearray(encoded(tmp_path, "AU", "PCM_16"))
    struct.pack_into(">I", data, 8, 0xFFFFFFFF)
    assert len(read_audio(save(bytes(data)))[0]) == len(SIGNAL)
    data = bytearray(encoded(tmp_path, "CAF", "PCM_16"))
    struct.pack_into(">q", data, data.rindex(b"data") + 4, -1)
    refused(save(bytes(data)), "unknown length")


def sphere(frames: int, data: bytes = PCM, coding: str = "pcm", **fields) -> bytes:
    """A NIST SPHERE file like those of TIMIT."""
    fields = {"channel_count": 1, "sample_count": frames, "sample_rate": RATE} | fields
    lines = [f"{key} -i {value}" for key, value in fields.items() if value is not None]
    lines += ["sample_n_bytes -i 2", "sample_sig_bits -i 16", "sample_byte_format -s2 01"]
    lines += [f"sample_coding -s{len(coding)} {coding}", "end_head", ""]
    return ("NIST_1A\n   1024\n" + "\n".join(lines)).encode().ljust(1024) + data


def test_sphere_named_wav_as_in_timit(save):
    samples, info = read_audio(save(sphere(len(SIGNAL)), "SA1.WAV"))
    assert info.format == "NIST" and len(samples) == len(SIGNAL)
    np.testing.assert_allclose(samples, SIGNAL, atol=2 / 32768)


def test_sphere_lies(save):
    refused(save(sphere(len(SIGNAL) + 1)), "cut off", str(2 * len(SIGNAL) + 2))
    refused(save(sphere(None)), "sample_count None")
    refused(save(sphere(0)), "sample_count 0")
    refused(save(sphere(len(SIGNAL), coding="pcm,embedded-shorten-v2.00")), "sph2pipe")
    # Fewer samples than there are bytes: the rest is no sound.
    assert len(read_audio(save(sphere(10_000)))[0]) == 10_000


@pytest.mark.parametrize("subtype", ["OPUS", "VORBIS"])
def test_ogg_pages(tmp_path, save, subtype):
    noise = np.random.default_rng(0).standard_normal(60_000).astype(np.float32) * 0.1
    data = encoded(tmp_path, "OGG", subtype, noise)
    pages = [i for i in range(len(data)) if data[i : i + 4] == b"OggS"]
    assert len(pages) >= 5
    assert len(read_audio(save(data + b"junk" * 50))[0]) == len(noise)
    refused(save(data[: pages[-1]]), "cut off", "no end")  # whole pages, the last one missing
    refused(save(data[:-1]), "cut off")
    refused(save(data[: pages[3]] + data[pages[4] :]), "Ogg page 4", "where 3 should be")
    refused(save(data + data), "second Ogg stream", str(len(data)))
    damaged = bytearray(data)
    damaged[pages[3] + 500] ^= 0x55  # the page's checksum fails, its samples are dropped
    refused(save(bytes(damaged)), "damaged")


def mpeg(tmp_path, mode="CONSTANT", signal=SIGNAL, rate=RATE):
    """(an MP3 with its Xing/Info header, position of the first frame after it)."""
    options = {"bitrate_mode": mode, "compression_level": 0.5}
    data = encoded(tmp_path, "MP3", "MPEG_LAYER_III", signal, rate, **options)
    return data, data.index(data[:2], 10)


@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
def test_mp3_with_xing_header(tmp_path, save, mode):
    data, _ = mpeg(tmp_path, mode)
    for tail in (b"", b"TAG" + bytes(125)):
        assert len(read_audio(save(data + tail, "a.mp3"))[0]) == len(SIGNAL)
    tagged = b"ID3\4\0\0\0\0\1\0" + bytes(128) + data
    assert len(read_audio(save(tagged, "a.mp3"))[0]) == len(SIGNAL)
    refused(save(data[:-10], "a.mp3"), "cut off", "MPEG frames")


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_mp3_without_xing_header(tmp_path, save, rate):
    data, first = mpeg(tmp_path, rate=rate)
    path = save(data[first:], "a.mp3")
    frames = 576 if rate == 16_000 else 1152
    info = read_audio(path)[1]
    assert info.frames % frames == 0 and 0 <= info.frames - len(SIGNAL) < 4 * frames
    refused(save(data[first:-10], "a.mp3"), "cut off", "MPEG frames")


def test_mp3_of_unknown_length_is_refused(tmp_path, save):
    rng = np.random.default_rng(0)
    noise = (0.05 * rng.standard_normal(80_000)).astype(np.float32)
    data, first = mpeg(tmp_path, "VARIABLE", noise)
    path = save(data[first:], "a.mp3")
    assert soundfile.info(path).frames < 70_000  # libsndfile would stop there, silently
    refused(path, "bit rate varies", "Xing", "convert")


def test_flac_with_damage_or_unknown_length(tmp_path, save):
    noise = np.random.default_rng(0).standard_normal(60_000).astype(np.float32) * 0.1
    data = encoded(tmp_path, "FLAC", "PCM_16", noise)
    assert len(read_audio(save(data + b"TAG" + bytes(125), "a.flac"))[0]) == len(noise)
    damaged = bytearray(data)
    damaged[len(data) // 2] ^= 0x55
    refused(save(bytes(damaged), "a.flac"), "damaged")
    refused(save(data[:-1], "a.flac"), "damaged")
    endless = bytearray(data)
    endless[21] |= 0x0F  # 60 billion samples promised: no reason to ask for 240 GiB
    refused(save(bytes(endless), "a.flac"), "damaged")
    piped = bytearray(data)
    piped[21] &= 0xF0
    piped[22:26] = bytes(4)  # total samples 0: not known when the header was written
    samples, info = read_audio(save(bytes(piped), "a.flac"))
    assert info.frames == len(samples) == len(noise)


# --- no sound file at all ------------------------------------------------------------------------


def test_paths_that_are_no_sound_file(tmp_path, save):
    refused(tmp_path / "none.wav", "not found")
    refused(tmp_path, "is a folder")
    refused(save(b""), "0 bytes")
    refused(save(b"These are words.\n" * 50), "no sound file", "These ar")
    refused(save(b"RIFF"), "no sound file")
    refused(save(bytes(1000), "a.raw"), "no sound file")
    refused(save(b"\0\0\0\x20ftypM4A " + bytes(90), "a.m4a"), "MP4/M4A", "convert")
    with pytest.raises(AudioError, match="null"):
        audio_info("a\0b.wav")
    os.mkfifo(tmp_path / "pipe.wav")
    refused(tmp_path / "pipe.wav", "no regular file")


def test_permission_denied(save, monkeypatch):
    path = save(wav())

    def denied(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", denied)  # chmod does not stop root
    refused(path, "permissions")


@pytest.mark.skipif(os.name == "nt", reason="names are Unicode there")
def test_any_name_can_be_read_and_shown(tmp_path, save):
    for name in ("ü 語.wav", "new\nline.wav", os.fsdecode(b"latin\xe9.wav")):
        assert len(read_audio(save(wav(), name))[0]) == len(SIGNAL)
        message = refused(save(wav()[:-2], name), "cut off")
        message.encode("utf-8")


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_damaged_headers_give_sound_or_an_audio_error(tmp_path, data):
    kind, subtype = data.draw(
        st.sampled_from(
            [("WAV", "PCM_16"), ("WAV", "IMA_ADPCM"), ("AIFF", "PCM_16"), ("AU", "PCM_16")]
            + [("CAF", "PCM_16"), ("W64", "PCM_16"), ("RF64", "PCM_16"), ("NIST", "PCM_16")]
            + [("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III"), ("FLAC", "PCM_16")]
        )
    )
    content = bytearray(encoded(tmp_path, kind, subtype, SIGNAL[:2000]))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, min(len(content), 300) - 1))
        content[at] = data.draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]))
    content = content[: data.draw(st.sampled_from([len(content), len(content) // 2, 50, 13]))]
    path = tmp_path / "damaged"
    path.write_bytes(content)
    try:
        samples, info = read_audio(path)
    except AudioError as error:
        assert "\n" not in str(error) and "damaged" in str(error)
    else:
        assert len(samples) >= 80 and np.isfinite(samples).all() and info.frames > 0


def test_unknown_kind_is_left_to_the_decoder(save):
    assert check_container(save(b"?" * 100)).kind == ""
