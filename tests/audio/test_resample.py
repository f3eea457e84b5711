"""Any rate → 16 kHz: pitch, level, phase and length, whatever the blocks."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.signal
import soundfile
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.recordings import joined, message, tone

from speechattn.audio.features import FrontEnd, FrontEndConfig
from speechattn.audio.load import array_blocks, audio_info, read_audio
from speechattn.audio.resample import MAX_LEVEL, resampled_length
from speechattn.segments import num_frames


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
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


def test_impossible_block_lengths(tmp_path):
    for seconds in (0, -1, math.nan, math.inf):
        assert str(seconds) in message(
            lambda s=seconds: array_blocks(tone(999, 16_000), 16_000, seconds=s)
        )


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


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_shortest_recording_is_one_frame(tmp_path, rate):
    frames = next(n for n in range(1, 999) if num_frames(resampled_length(n, rate)) == 1)
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(frames, rate), rate)
    assert num_frames(len(read_audio(path)[0])) == 1
    soundfile.write(path, tone(frames - 1, rate), rate)
    assert "5 ms" in message(lambda: audio_info(path))
    assert "5 ms" in message(lambda: array_blocks(tone(frames - 1, rate), rate))


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


def test_levels_that_no_frame_can_hold_are_reported():
    loudest = np.where(np.arange(8_000) % 7 < 3, -MAX_LEVEL, MAX_LEVEL).astype(np.float32)
    for kind in ("fbank", "mfcc"):  # what is let through has frames
        samples = torch.from_numpy(joined(array_blocks(loudest, 16_000)))
        assert FrontEnd(FrontEndConfig(kind=kind))(samples).isfinite().all()
    loudest[5_000] *= 2
    text = message(lambda: joined(array_blocks(loudest, 16_000)))
    assert "sample 5000" in text and "e+12, where full scale is 1" in text


def test_doubles_too_large_for_float32_are_reported(tmp_path):
    signal = np.zeros(1_000)
    signal[500] = 1e300
    assert "sample 500" in message(lambda: list(array_blocks(signal, 16_000)))
    soundfile.write(tmp_path / "a.wav", signal, 16_000, subtype="DOUBLE")
    assert "sample 500" in message(lambda: read_audio(tmp_path / "a.wav"))


def test_floats_beyond_full_scale_pass(tmp_path):
    soundfile.write(tmp_path / "a.wav", 3 * tone(1_000, 16_000), 16_000, subtype="FLOAT")
    np.testing.assert_array_equal(read_audio(tmp_path / "a.wav")[0], 3 * tone(1_000, 16_000))
