"""Recordings one after the other in a file, and sizes that leave most of one out."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechattn.audio.load import audio_info, read_audio
from speechattn.errors import AudioError

RATE = 16_000


def sound(seconds: float, seed: int = 0) -> np.ndarray:
    """Noise with hardly any high frequencies."""
    noise = np.random.default_rng(seed).standard_normal(round(seconds * RATE) + 7)
    return 0.1 * np.convolve(noise, np.ones(8) / 8, "valid")


def encoded(seconds: float, kind: str, subtype: str = "PCM_16", rate: int = RATE) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, sound(seconds), rate, format=kind, subtype=subtype)
    return buffer.getvalue()


def save(folder: Path, data: bytes, suffix: str) -> Path:
    path = folder / f"a.{suffix}"
    path.write_bytes(data)
    return path


SUFFIXES = {"WAVEX": "wav", "NIST": "sph"}


@pytest.mark.parametrize(
    "kind", ["WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF", "NIST", "FLAC"]
)
@pytest.mark.parametrize("lengths", [(1.0, 1.0), (1.5, 1.0), (1.0, 1.5, 0.5), (1.0001, 1.0)])
def test_all_of_joined_recordings_is_read(tmp_path, kind, lengths):
    data = b"".join(encoded(seconds, kind) for seconds in lengths)
    path = save(tmp_path, data, SUFFIXES.get(kind, kind.lower()))
    expected = np.concatenate([sound(seconds) for seconds in lengths])
    samples, info = read_audio(path)
    np.testing.assert_allclose(samples, expected, atol=2 / 32768)
    assert f"{len(lengths)} recordings follow each other; all are read" in info.contradictions


@pytest.mark.parametrize("kind", ["WAV", "FLAC"])
def test_joined_recordings_of_other_rates_or_cut_off_are_refused(tmp_path, kind):
    suffix = kind.lower()
    mixed = encoded(1.0, kind) + encoded(1.0, kind, rate=8000)
    with pytest.raises(AudioError, match="follow each other; split the file"):
        read_audio(save(tmp_path, mixed, suffix))
    with pytest.raises(AudioError, match="cut off"):
        read_audio(save(tmp_path, (encoded(1.0, kind) * 2)[:-2000], suffix))


SIZES = {  # container → mark before the size of its samples, bytes between, layout, bytes counted
    "WAV": (b"data", 0, "<I", 0),
    "RF64": (b"ds64", 12, "<Q", 0),
    "W64": (b"data", 12, "<Q", 24),
    "AIFF": (b"SSND", 0, ">I", 8),
}


@pytest.mark.parametrize("kind", SIZES)
@pytest.mark.parametrize("said", [1000, 2 * RATE])
def test_a_size_of_samples_that_the_whole_contradicts(tmp_path, kind, said):
    data = encoded(2.0, kind)
    mark, between, layout, more = SIZES[kind]
    at = data.index(mark) + len(mark) + between
    wrong = struct.pack(layout, said + more)
    path = save(tmp_path, data[:at] + wrong + data[at + len(wrong) :], kind.lower())
    samples, info = read_audio(path)
    np.testing.assert_allclose(samples, sound(2.0), atol=2 / 32768)
    (line,) = info.contradictions
    assert f"the header says {said} bytes of samples" in line and "all are read" in line


def test_aiff_of_which_both_counts_leave_half_out(tmp_path):
    data = bytearray(encoded(2.0, "AIFF"))
    struct.pack_into(">I", data, data.index(b"COMM") + 10, RATE)
    struct.pack_into(">I", data, data.index(b"SSND") + 4, 2 * RATE + 8)
    samples, info = read_audio(save(tmp_path, bytes(data), "aiff"))
    np.testing.assert_allclose(samples, sound(2.0), atol=2 / 32768)
    assert "all are read" in info.contradictions[0]


@pytest.mark.parametrize(("kind", "name"), [("WAV", b"data"), ("AIFF", b"SSND"), ("CAF", b"data")])
def test_samples_in_two_chunks_are_refused(tmp_path, kind, name):
    data = encoded(1.0, kind)
    path = save(tmp_path, data + data[data.index(name) :], kind.lower())
    with pytest.raises(AudioError, match="stand in several chunks"):
        read_audio(path)


def test_what_may_be_anything_stays_out(tmp_path):
    data = encoded(1.0, "WAV") + bytes(range(1, 201))
    path = save(tmp_path, data[:4] + struct.pack("<I", len(data) - 8) + data[8:], "wav")
    assert len(read_audio(path)[0]) == RATE
    assert any("200 bytes follow" in said for said in audio_info(path).contradictions)


@pytest.mark.parametrize("before", [b"\0" * 3000, b"junk \xff\xfb" * 50])
def test_an_mp3_that_begins_within_a_frame(tmp_path, before):
    data = encoded(3.0, "MP3", "MPEG_LAYER_III")
    whole = read_audio(save(tmp_path, data, "mp3"))[0]
    for late in (data[1000:], before + data):
        samples, info = read_audio(save(tmp_path, late, "mp3"))
        assert len(whole) - 8000 < len(samples) < len(whole) + 4000
        assert any("bytes before the first MPEG frame" in said for said in info.contradictions)


def test_noise_named_mp3_is_none(tmp_path):
    data = np.random.default_rng(0).bytes(50_000)
    with pytest.raises(AudioError, match="no sound file"):
        read_audio(save(tmp_path, data, "mp3"))


def test_a_tag_between_joined_flacs(tmp_path):
    one = encoded(1.0, "FLAC")
    tag = b"ID3\3\0\0\0\0\2\x2c" + bytes(300)
    samples = read_audio(save(tmp_path, one + tag + one, "flac"))[0]
    np.testing.assert_allclose(samples, np.concatenate([sound(1.0)] * 2), atol=2 / 32768)
