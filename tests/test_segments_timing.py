"""Seconds, samples and frames."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechattn import segments
from speechattn.segments import frame_to_seconds, num_frames, seconds_to_frame


def test_the_grid():
    assert segments.SAMPLE_RATE == 16_000
    assert (segments.WINDOW_SAMPLES, segments.SHIFT_SAMPLES) == (400, 160)
    assert segments.FRAMES_PER_SECOND == 100
    assert segments.SHIFT_SAMPLES * segments.FRAMES_PER_SECOND == segments.SAMPLE_RATE


@pytest.mark.parametrize(
    "samples, frames",
    [(0, 0), (79, 0), (80, 1), (239, 1), (240, 2), (16_000, 100), (57_600_000, 360_000)],
)
def test_num_frames(samples, frames):
    assert num_frames(samples) == frames


@given(st.integers(0, 10**10))
def test_frames_end_within_5_ms_of_the_recording(samples):
    end = Fraction(num_frames(samples) * segments.SHIFT_SAMPLES - samples, segments.SAMPLE_RATE)
    assert -Fraction(5, 1000) < end <= Fraction(5, 1000)
    assert num_frames(samples + 160) == num_frames(samples) + 1


@given(st.integers(0, 10**8))
def test_a_frames_time_and_back(frame):
    assert frame_to_seconds(frame) == float(Fraction(frame, 100))
    assert seconds_to_frame(frame_to_seconds(frame)) == frame


@given(st.floats(0, 1e5))
def test_seconds_go_to_the_nearest_boundary(seconds):
    assert abs(frame_to_seconds(seconds_to_frame(seconds)) - seconds) <= 0.005 + 1e-9
