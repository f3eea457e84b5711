"""Segments that tile a recording, and the arithmetic of time."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.labels import segments_from_labels

from speechattn import segments
from speechattn.segments import (
    FrameSegment,
    Segment,
    check_tiling,
    frame_to_seconds,
    num_frames,
    seconds_to_frame,
    segments_from_frames,
)

NAMES = ("SIL", "AA", "B", "S")
LABELS = st.lists(st.integers(0, 3), max_size=60)


@given(LABELS)
def test_runs_are_maximal_and_spell_the_labels(labels):
    runs = segments_from_labels(np.array(labels, dtype=np.int64))
    expected = [(label, len(list(group))) for label, group in itertools.groupby(labels)]
    assert [(run.phone, run.end - run.start) for run in runs] == expected
    assert [phone for run in runs for phone in [run.phone] * (run.end - run.start)] == labels
    assert [run.start for run in runs] == [0, *(run.end for run in runs)][: len(runs)]
    assert all(type(v) is int for run in runs for v in (run.phone, run.start, run.end))
    assert segments_from_labels(labels) == runs


def test_runs_of_unsigned_labels():
    # Differences of unsigned numbers wrap round; they must not go unseen.
    labels = np.array([3, 3, 0, 255, 0], dtype=np.uint8)
    assert [(r.phone, r.start, r.end) for r in segments_from_labels(labels)] == [
        (3, 0, 2),
        (0, 2, 3),
        (255, 3, 4),
        (0, 4, 5),
    ]


@given(samples=st.integers(80, 16_000 * 20), data=st.data())
def test_segments_of_any_recording_tile_it(samples, data):
    frames, duration = num_frames(samples), samples / 16_000
    cuts = sorted(data.draw(st.sets(st.integers(1, max(1, frames - 1)), max_size=20)) - {frames})
    edges = [0, *cuts, frames]
    runs = [FrameSegment(i % 4, s, e, i / 50) for i, (s, e) in enumerate(itertools.pairwise(edges))]
    segments = segments_from_frames(iter(runs), NAMES, duration)
    check_tiling(segments, duration)
    assert [s.label for s in segments] == [NAMES[run.phone] for run in runs]
    assert [s.confidence for s in segments] == [run.confidence for run in runs]
    for segment, run in zip(segments, runs):
        assert segment.start == run.start / 100
        assert abs(segment.end - run.end / 100) <= 0.005 + 1e-9
        assert segment.duration == segment.end - segment.start > 0


def test_no_runs_give_no_segments():
    assert segments_from_labels([]) == []
    assert segments_from_frames([], NAMES, 0.0) == []
    check_tiling([], 0.0)


@given(
    lengths=st.lists(st.integers(1, 50), min_size=1, max_size=10),
    place=st.integers(0, 9),
    side=st.sampled_from(["start", "end"]),
    change=st.sampled_from([-0.01, -1e-9, 1e-9, 0.01]),
)
def test_any_boundary_moved_alone_is_noticed(lengths, place, side, change):
    edges = [0, *itertools.accumulate(lengths)]
    segments = [Segment("AA", s / 100, e / 100) for s, e in itertools.pairwise(edges)]
    duration = edges[-1] / 100
    check_tiling(segments, duration)
    place %= len(segments)
    moved = {"start": segments[place].start, "end": segments[place].end}
    moved[side] += change
    segments[place] = Segment("AA", **moved)
    with pytest.raises(ValueError):
        check_tiling(segments, duration)


@pytest.mark.parametrize(
    "pieces, duration, message",
    [
        ([(0.1, 1.0)], 1.0, "should start at 0.0 s"),
        ([(0.0, 0.5), (0.6, 1.0)], 1.0, "should start at 0.5 s"),
        ([(0.0, 0.5), (0.4, 1.0)], 1.0, "should start at 0.5 s"),
        ([(0.5, 1.0), (0.0, 0.5)], 1.0, "should start at 0.0 s"),
        ([(0.0, 0.5), (0.5, 0.5), (0.5, 1.0)], 1.0, "has no length"),
        ([(0.0, float("nan"))], 1.0, "has no length"),
        ([(0.0, 0.9)], 1.0, "end at 0.9 s, the recording at 1.0 s"),
        ([], 1.0, "end at 0.0 s"),
    ],
)
def test_the_first_fault_is_named(pieces, duration, message):
    with pytest.raises(ValueError, match=message):
        check_tiling([Segment("AA", start, end) for start, end in pieces], duration)


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
