"""The audio door: every way in gives 16 kHz mono float32, complete or not at all."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest
import scipy.signal
import soundfile
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from speechattn.audio import (
    AUDIO_SUFFIXES,
    AudioFile,
    array_blocks,
    audio_info,
    read_audio,
    resampled_length,
)
from speechattn.errors import AudioError
from speechattn.timing import num_frames

ALL_KINDS = [
    (kind, subtype)
    for kind in soundfile.available_formats()
    if kind != "RAW"
    for subtype in soundfile.available_subtypes(kind)
]
READ = {"WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "NIST", "CAF", "FLAC", "OGG", "MP3", "HTK"}
BLOCK_CODECS = {"IMA_ADPCM", "G721_32", "G723_24", "G723_40"}  # these do not say how many
EXACT = {"PCM_16": 4e-5, "PCM_24": 1e-6, "PCM_32": 1e-6, "FLOAT": 1e-7, "DOUBLE": 1e-7}
EXACT |= {"ALAC_16": 4e-5, "ALAC_20": 4e-6, "ALAC_24": 1e-6, "ALAC_32": 1e-6}
EXACT |= {"DWVW_16": 4e-5, "DWVW_24": 1e-6, "PCM_S8": 0.01, "PCM_U8": 0.01}


def tone(frames: int, rate: int, hertz: float = 440.0, level: float = 0.4) -> np.ndarray:
    return (level * np.sin(2 * np.pi * hertz * np.arange(frames) / rate)).astype(np.float32)


def joined(blocks) -> np.ndarray:
    return np.concatenate(list(blocks))


def message(call) -> str:
    with pytest.raises(AudioError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- every container and coding that soundfile can write -----------------------------------------


@pytest.mark.parametrize("kind, subtype", ALL_KINDS)
def test_every_format_is_read_or_refused_and_never_shortened(tmp_path, kind, subtype):
    path = tmp_path / f"tone.{kind}"
    signal = tone(16_002, 16_000)
    try:
        soundfile.write(path, signal, 16_000, format=kind, subtype=subtype)
    except soundfile.LibsndfileError:
        pytest.skip("libsndfile cannot write it")
    cut = tmp_path / f"cut.{kind}"
    cut.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.6)])
    message(lambda: read_audio(cut))
    if kind not in READ:
        assert "WAV or FLAC" in message(lambda: read_audio(path))
        return
    samples, info = read_audio(path)
    assert (info.format, info.subtype, info.sample_rate, info.channels) == (
        kind,
        subtype,
        16_000,
        1,
    )
    assert samples.dtype == np.float32 and len(samples) == info.frames
    unknown = subtype in BLOCK_CODECS or (kind, subtype) == ("W64", "MS_ADPCM")
    surplus = 320 if unknown or subtype.startswith("NMS") else 0
    assert 0 <= len(samples) - len(signal) <= surplus
    samples = samples[: len(signal)]
    if subtype in EXACT:
        np.testing.assert_allclose(samples, signal, atol=EXACT[subtype])
    else:
        assert np.corrcoef(samples, signal)[0, 1] > 0.97
    with path.open("ab") as file:  # what follows the samples changes nothing
        file.write(b"junk!" * 40)
    if kind == "HTK":  # which is told by its size alone
        message(lambda: read_audio(path))
    else:
        np.testing.assert_array_equal(read_audio(path)[0][: len(signal)], samples)


def test_suffixes():
    assert {".wav", ".flac", ".opus", ".mp3", ".sph"} <= AUDIO_SUFFIXES
    assert all(s == s.lower() and s.startswith(".") for s in AUDIO_SUFFIXES)


@pytest.mark.parametrize("kind, subtype", [("OGG", "OPUS"), ("OGG", "VORBIS"), ("MP3", None)])
def test_reading_in_chunks_is_reading_at_once(tmp_path, kind, subtype):
    # soundfile seeks after every read, which spoils Opus and MP3 at every seam but not in one read.
    path = tmp_path / "long"
    rng = np.random.default_rng(1)
    signal = (tone(150_000, 16_000) + 0.05 * rng.standard_normal(150_000)).astype(np.float32)
    soundfile.write(path, signal, 16_000, format=kind, subtype=subtype)
    at_once = soundfile.read(path, dtype="float32")[0]
    np.testing.assert_allclose(read_audio(path)[0], at_once, atol=1e-6)


# --- blocks --------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    rate=st.sampled_from([8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 12_345]),
    frames=st.integers(400, 150_000),
    seconds=st.floats(0.003, 12),
)
def test_block_size_changes_no_sample(rate, frames, seconds):
    signal = tone(frames, rate) + np.linspace(-0.1, 0.1, frames, dtype=np.float32)
    whole = joined(array_blocks(signal, rate, seconds=1e3))
    blocks = list(array_blocks(signal, rate, seconds=seconds))
    assert {len(block) for block in blocks[:-1]} <= {max(1, round(seconds * 16_000))}
    assert 0 < len(blocks[-1]) <= max(1, round(seconds * 16_000))
    np.testing.assert_array_equal(joined(blocks), whole)
    assert len(whole) == math.floor(frames * 16_000 / rate + 0.5) == resampled_length(frames, rate)


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


def test_impossible_block_lengths(tmp_path):
    for seconds in (0, -1, math.nan, math.inf):
        assert str(seconds) in message(
            lambda s=seconds: array_blocks(tone(999, 16_000), 16_000, seconds=s)
        )


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


# --- resampling ----------------------------------------------------------------------------------


@pytest.mark.parametrize("rate, up, down", [(8_000, 2, 1), (48_000, 1, 3), (44_100, 160, 441)])
def test_resampling_against_scipy(rate, up, down):
    # Two independent filters agree in the pass band: interior, within 0.1 % of full scale.
    frames = rate * 2
    signal = tone(frames, rate, 440, 0.4) + tone(frames, rate, 2_500, 0.2)
    ours = joined(array_blocks(signal, rate))
    window = ("kaiser", 8.0)
    theirs = scipy.signal.resample_poly(signal.astype(np.float64), up, down, window=window)
    assert len(ours) == len(theirs)
    np.testing.assert_allclose(ours[800:-800], theirs[800:-800], atol=1e-3)


@pytest.mark.parametrize("rate", [4_000, 8_000, 11_025, 44_100, 48_000, 96_000, 192_000])
def test_a_tone_keeps_pitch_level_and_phase(rate):
    ours = joined(array_blocks(tone(rate, rate, 1_000, 0.5), rate))
    np.testing.assert_allclose(
        ours[800:-800], tone(16_000, 16_000, 1_000, 0.5)[800:-800], atol=1e-3
    )


def test_what_16_khz_cannot_hold_is_filtered_out():
    ours = joined(array_blocks(tone(48_000, 48_000, 10_000, 0.5), 48_000))
    assert np.abs(ours[800:-800]).max() < 1e-4  # it would fold to 6 kHz at 0.5


# --- channels ------------------------------------------------------------------------------------


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


# --- what cannot be trusted ----------------------------------------------------------------------


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_first_sample_that_is_no_number_is_named(tmp_path, value):
    path = tmp_path / "a.wav"
    signal = np.zeros((160_000, 2), np.float32)
    signal[[120_000, 150_000], 1] = value
    soundfile.write(path, signal, 8_000, subtype="FLOAT")
    for call in (
        lambda: read_audio(path),
        lambda: read_audio(path, channel=1),
        lambda: list(array_blocks(signal.T, 8_000)),
    ):
        text = message(call)
        assert "sample 120000" in text and "15.0000 s" in text and str(value)[-3:] in text
    assert len(read_audio(path, channel=0)[0]) == 320_000  # the other channel is sound


def test_doubles_too_large_for_float32_are_reported(tmp_path):
    signal = np.zeros(1_000)
    signal[500] = 1e300
    assert "sample 500" in message(lambda: list(array_blocks(signal, 16_000)))
    soundfile.write(tmp_path / "a.wav", signal, 16_000, subtype="DOUBLE")
    assert "sample 500" in message(lambda: read_audio(tmp_path / "a.wav"))


def test_floats_beyond_full_scale_pass(tmp_path):
    soundfile.write(tmp_path / "a.wav", 3 * tone(1_000, 16_000), 16_000, subtype="FLOAT")
    np.testing.assert_array_equal(read_audio(tmp_path / "a.wav")[0], 3 * tone(1_000, 16_000))


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_shortest_recording_is_one_frame(tmp_path, rate):
    frames = next(n for n in range(1, 999) if num_frames(resampled_length(n, rate)) == 1)
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(frames, rate), rate)
    assert num_frames(len(read_audio(path)[0])) == 1
    soundfile.write(path, tone(frames - 1, rate), rate)
    assert "5 ms" in message(lambda: audio_info(path))
    assert "5 ms" in message(lambda: array_blocks(tone(frames - 1, rate), rate))


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
