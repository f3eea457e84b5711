"""Mean boundaries, against the sum over all paths written out."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechattn.alignment import boundaries
from speechattn.alignment.boundaries import SCALE, refine
from speechattn.segments import FrameSegment


def mean_places(runs: list[FrameSegment], logs: np.ndarray) -> list[float]:
    """Mean of each inner boundary over all ways to cut the frames, by trying all of them."""
    least = [min(run.end - run.start, 2) for run in runs]
    total, sums = 0.0, np.zeros(len(runs) - 1)
    for cuts in itertools.combinations(range(1, len(logs)), len(runs) - 1):
        edges = [0, *cuts, len(logs)]
        if any(b - a < n for a, b, n in zip(edges, edges[1:], least)):
            continue
        score = sum(logs[a:b, r.phone].sum() for a, b, r in zip(edges, edges[1:], runs))
        weight = np.exp(SCALE * float(score))
        total += weight
        sums += weight * np.array(cuts)
    return list(sums / total)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 4), min_size=2, max_size=4), st.integers(0, 1000))
def test_all_paths_count_by_their_probability(lengths, seed):
    random = np.random.default_rng(seed)
    ends = np.cumsum(lengths).tolist()
    starts = [0, *ends[:-1]]
    runs = [FrameSegment(int(random.integers(3)), a, b) for a, b in zip(starts, ends)]
    logs = np.log(random.dirichlet(np.full(3, 0.3), ends[-1])).astype(np.float32)
    times = refine(runs, logs)
    assert times[0] == 0 and times[-1] == ends[-1]
    assert list(times[1:-1]) == pytest.approx(mean_places(runs, logs), abs=1e-5)
    assert np.all(np.diff(times) > 0)


def test_pieces_change_next_to_nothing(monkeypatch):
    random = np.random.default_rng(4)
    ends = np.cumsum(random.integers(2, 9, 300))
    runs = [
        FrameSegment(number % 5, int(end - length), int(end))
        for number, (end, length) in enumerate(zip(ends, np.diff(ends, prepend=0)))
    ]
    logs = np.log(random.dirichlet(np.full(5, 0.3), int(ends[-1]))).astype(np.float32)
    whole = refine(runs, logs)
    monkeypatch.setattr(boundaries, "RUNS", 40)
    assert refine(runs, logs) == pytest.approx(whole, abs=0.15)  # 1.5 ms


def test_equal_evidence_puts_the_boundary_where_the_sides_cross():
    logs = np.log(np.full((20, 2), 0.5)).astype(np.float32)
    logs[:10, 0] += 4
    logs[10:, 1] += 4
    runs = [FrameSegment(0, 0, 10), FrameSegment(1, 10, 20)]
    assert refine(runs, logs)[1] == pytest.approx(10, abs=0.01)
    logs[10, 0] += 4  # this frame is as much of the one as of the other
    assert refine(runs, logs)[1] == pytest.approx(10.5, abs=0.02)
