"""Runs and segments: nothing lost, nothing twice, always from 0 to the end."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechattn.segments import (
    FrameRun,
    Segment,
    check_tiling,
    num_frames,
    runs_from_labels,
    segments_from_runs,
)

NAMES = ("SIL", "AA", "B", "S")
LABELS = st.lists(st.integers(0, 3), max_size=60)


@given(LABELS)
def test_runs_are_maximal_and_spell_the_labels(labels):
    runs = runs_from_labels(np.array(labels, dtype=np.int64))
    expected = [(label, len(list(group))) for label, group in itertools.groupby(labels)]
    assert [(run.phone, run.end - run.start) for run in runs] == expected
    assert [phone for run in runs for phone in [run.phone] * (run.end - run.start)] == labels
    assert [run.start for run in runs] == [0, *(run.end for run in runs)][: len(runs)]
    assert all(type(v) is int for run in runs for v in (run.phone, run.start, run.end))
    assert runs_from_labels(labels) == runs


def test_runs_of_unsigned_labels():
    # Differences of unsigned numbers wrap round; they must not go unseen.
    labels = np.array([3, 3, 0, 255, 0], dtype=np.uint8)
    assert [(r.phone, r.start, r.end) for r in runs_from_labels(labels)] == [
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
    runs = [FrameRun(i % 4, s, e, i / 50) for i, (s, e) in enumerate(itertools.pairwise(edges))]
    segments = segments_from_runs(iter(runs), NAMES, duration)
    check_tiling(segments, duration)
    assert [s.label for s in segments] == [NAMES[run.phone] for run in runs]
    assert [s.confidence for s in segments] == [run.confidence for run in runs]
    for segment, run in zip(segments, runs):
        assert segment.start == run.start / 100
        assert abs(segment.end - run.end / 100) <= 0.005 + 1e-9
        assert segment.duration == segment.end - segment.start > 0


def test_no_runs_give_no_segments():
    assert runs_from_labels([]) == []
    assert segments_from_runs([], NAMES, 0.0) == []
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
