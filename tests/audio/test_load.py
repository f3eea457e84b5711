"""The audio door: every way in gives 16 kHz mono float32, complete or not at all."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest
import soundfile
import torch
from support.recordings import joined, message, tone

from speechattn.audio.load import AUDIO_SUFFIXES, AudioFile, array_blocks, audio_info, read_audio

# --- files ---------------------------------------------------------------------------------------


def test_suffixes():
    assert {".wav", ".flac", ".opus", ".mp3", ".sph"} <= AUDIO_SUFFIXES
    assert all(s == s.lower() and s.startswith(".") for s in AUDIO_SUFFIXES)


@pytest.mark.parametrize("seconds", [0.01, 0.7, 3.0])
def test_file_blocks_are_array_blocks_are_the_whole_file(tmp_path, seconds):
    path = tmp_path / "a.flac"
    signal = (tone(100_001, 44_100) * 32767).astype(np.int16)
    soundfile.write(path, signal, 44_100)
    with AudioFile(path) as audio:
        first = joined(audio.blocks(seconds))
        again = joined(audio.blocks())
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first, read_audio(path)[0])
    np.testing.assert_array_equal(first, joined(array_blocks(signal, 44_100)))


def test_memory_does_not_grow_with_the_recording(tmp_path):
    peaks = []
    for minutes in (1, 4):
        path = tmp_path / f"{minutes}.wav"
        soundfile.write(path, np.zeros(minutes * 60 * 8_000, np.int16), 8_000)
        tracemalloc.start()
        with AudioFile(path) as audio:
            total = sum(len(block) for block in audio.blocks(1.0))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert total == minutes * 60 * 16_000
    assert peaks[1] < 1.1 * peaks[0] < 8e6


def test_mixdown_and_channel_choice(tmp_path):
    path = tmp_path / "a.wav"
    left, right = tone(5_000, 16_000, 300), tone(5_000, 16_000, 700, 0.1)
    soundfile.write(path, np.stack([left, right], 1), 16_000, subtype="FLOAT")
    np.testing.assert_array_equal(read_audio(path, channel=0)[0], left)
    np.testing.assert_array_equal(read_audio(path, channel=1)[0], right)
    np.testing.assert_allclose(read_audio(path)[0], (left + right) / 2, atol=1e-7)
    both = np.stack([left, right])
    np.testing.assert_array_equal(joined(array_blocks(both, 16_000)), read_audio(path)[0])
    np.testing.assert_array_equal(joined(array_blocks(both, 16_000, channel=1)), right)
    for channel in (2, -1, True, 0.0):
        text = message(lambda c=channel: AudioFile(path, channel=c))
        assert f"no channel {channel}" in text and "has 2" in text and str(path) in text
        assert "no channel" in message(lambda c=channel: array_blocks(both, 16_000, channel=c))


def test_many_channels(tmp_path):
    path = tmp_path / "a.wav"
    signal = np.tile(tone(3_000, 16_000)[:, None], 100)
    signal[:, 77] *= 0.5
    soundfile.write(path, signal, 16_000, subtype="FLOAT")
    np.testing.assert_array_equal(read_audio(path, channel=77)[0], signal[:, 77])


def test_a_file_that_changes_between_two_passes(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(3_000, 16_000), 16_000)
    with AudioFile(path) as audio:
        list(audio.blocks())
        soundfile.write(path, tone(2_000, 16_000), 16_000)
        assert "changed" in message(audio.blocks)


def test_info(tmp_path):
    path = tmp_path / "A.WAV"
    soundfile.write(path, np.zeros((12_000, 2)), 48_000, subtype="PCM_24", format="WAV")
    info = audio_info(str(path))
    assert (info.path, info.sample_rate, info.channels) == (path, 48_000, 2)
    assert (info.frames, info.duration, info.subtype) == (12_000, 0.25, "PCM_24")


# --- arrays --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "uint8", "uint16", "float16"])
def test_full_scale_of_every_type(dtype):
    if dtype.startswith("float"):
        values, expected = np.array([-1, 0, 0.5] * 50, dtype), [-1, 0, 0.5] * 50
    else:
        low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
        middle = (low + high + 1) // 2
        values = np.array([low, middle, middle + (high - middle + 1) // 2] * 50, dtype)
        expected = [-1, 0, 0.5] * 50
    got = joined(array_blocks(values, 16_000))
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, np.array(expected, np.float32))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.int16])
def test_tensors(dtype):
    values = torch.tensor([[0.0, 0.5, -0.25] * 60]) * (32768 if dtype == torch.int16 else 1)
    tensor = values.to(dtype)
    if dtype.is_floating_point:
        tensor.requires_grad_()
    got = joined(array_blocks(tensor, 16_000))
    np.testing.assert_array_equal(got, np.array([0.0, 0.5, -0.25] * 60, np.float32))


def test_arrays_are_not_changed():
    signal = tone(1_000, 16_000)
    kept = signal.copy()
    for block in array_blocks(signal, 16_000):
        block[:] = 7
    np.testing.assert_array_equal(signal, kept)


@pytest.mark.parametrize(
    "samples, word",
    [
        (np.zeros(0, np.float32), "no samples"),
        (np.zeros((0, 100), np.float32), "no samples"),
        (np.zeros(1000, np.int64), "int64"),
        (np.zeros(1000, bool), "bool"),
        (np.zeros(1000, complex), "complex128"),
        (np.array(["a"] * 1000), "U1"),
        ([[0.0] * 3, [0.0] * 4], "different lengths"),
        (np.float32(1), "shape ()"),
        (np.zeros((1, 2, 500), np.float32), "shape (1, 2, 500)"),
        (np.zeros((1000, 2), np.float32), "transpose"),
    ],
)
def test_arrays_that_make_no_sense(samples, word):
    assert word in message(lambda: array_blocks(samples, 16_000))


@pytest.mark.parametrize(
    "rate", [0, -8_000, 3_999, 768_001, 16_000.5, math.nan, True, "16000", None]
)
def test_rates_that_make_no_sense(rate):
    assert str(rate) in message(lambda: array_blocks(tone(1_000, 16_000), rate))
