"""Boundaries between frames: where one phone ends and the next begins, finer than 10 ms.

The best path says which phones there are. Where they meet it is too sure of itself: neighbouring
frames say much the same, and their log posteriors are added as if they did not. Here each boundary
is the mean over all paths through the same phones, each with its probability by the posteriors of
both sides (the forward-backward algorithm of Baum et al. 1970), in which a frame counts less than
one. Every boundary weighs those beside it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numba
import numpy as np

from speechattn.segments import FrameSegment

SCALE = 0.15  # of log posteriors: of .1, .15 and .2 the best on librispeech/dev
REACH = 15  # frames that a boundary may move
LEAST = 2  # frames of a phone on all paths
RUNS, MARGIN = 200, 24  # that are weighed together, and beside them without a result


def refine(runs: Sequence[FrameSegment], log_posteriors: np.ndarray) -> np.ndarray:
    """Find the mean place of each boundary.

    Args:
        runs: of the best path; they cover all frames.
        log_posteriors: shape (frames, phones).

    Returns:
        Starts of the runs and the end of the last, in frames, float64, increasing.
    """
    edges = np.array([*(run.start for run in runs), runs[-1].end], np.int64)
    labels = np.array([run.phone for run in runs], np.int64)
    least = np.minimum(np.diff(edges), LEAST)
    times = edges.astype(np.float64)
    for first in range(0, len(runs), RUNS):
        low, high = max(0, first - MARGIN), min(len(runs), first + RUNS + MARGIN)
        start, end = edges[low], edges[high]
        chain = labels[low:high]
        scores = log_posteriors[start:end][:, chain].astype(np.float64) * SCALE
        found = _mean_starts(scores, edges[low : high + 1] - start, least[low:high], REACH)
        last = min(len(runs), first + RUNS)
        inner = slice(max(first, 1), last)
        times[inner] = found[inner.start - low : last - low] + start
    return times


@numba.njit(cache=True, nogil=True)
def _add(one: float, other: float) -> float:
    """Log of the sum of two numbers given by their logs."""
    if one < other:
        one, other = other, one
    if other < one - 40.0:
        return one
    return one + np.log1p(np.exp(other - one))


@numba.njit(cache=True, nogil=True)
def _mean_starts(
    scores: np.ndarray, edges: np.ndarray, least: np.ndarray, reach: int
) -> np.ndarray:
    """Mean start of each phone of a chain, in frames, over all paths near the best.

    Args:
        scores: of each phone of the chain in each frame, scaled, shape (frames, phones).
        edges: starts on the best path, and its end.
        least: frames that each phone has at least, 1 or 2.
        reach: frames that a boundary may move.
    """
    frames, phones = scores.shape
    impossible = -1e30
    # First states come before second ones; a phone of one frame has a second state alone.
    forward = np.full((frames, 2 * phones), impossible)
    first, last = np.empty(frames, np.int64), np.empty(frames, np.int64)
    low = high = 0
    for t in range(frames):
        while low < phones - 1 and edges[low + 1] + reach <= t:
            low += 1
        while high < phones - 1 and edges[high + 1] - reach <= t:
            high += 1
        first[t], last[t] = low, high
        for n in range(low, high + 1):
            if t == 0:
                entered = 0.0 if n == 0 else impossible
                stayed = moved = impossible
            else:
                entered = forward[t - 1, 2 * n - 1] if n else impossible
                moved, stayed = forward[t - 1, 2 * n], forward[t - 1, 2 * n + 1]
            value = scores[t, n]
            if least[n] == 1:
                forward[t, 2 * n + 1] = _add(entered, stayed) + value
            else:
                forward[t, 2 * n] = entered + value
                forward[t, 2 * n + 1] = _add(moved, stayed) + value
    total = forward[frames - 1, 2 * phones - 1]
    weight, place = np.zeros(phones), np.zeros(phones)
    backward = np.full(2 * phones + 1, impossible)
    fresh = np.full(2 * phones + 1, impossible)
    backward[2 * phones - 1] = 0.0
    for t in range(frames - 1, -1, -1):
        # ``backward`` is of what comes after frame t; first the ways into phones at t.
        for n in range(first[t], last[t] + 1):
            if n:
                came = forward[t - 1, 2 * n - 1] if t else impossible
                into = 2 * n + 1 if least[n] == 1 else 2 * n
                log = came + scores[t, n] + backward[into] - total
                if log > -30.0:
                    share = np.exp(log)
                    weight[n] += share
                    place[n] += share * t
        fresh[:] = impossible
        for n in range(first[t], last[t] + 1):
            value = scores[t, n]
            if least[n] == 1:
                out = backward[2 * n + 1] + value
                fresh[2 * n + 1] = _add(fresh[2 * n + 1], out)
            else:
                out = backward[2 * n] + value
                second = backward[2 * n + 1] + value
                fresh[2 * n] = second
                fresh[2 * n + 1] = _add(fresh[2 * n + 1], second)
            if n:
                fresh[2 * n - 1] = _add(fresh[2 * n - 1], out)
        backward, fresh = fresh, backward
    starts = np.empty(phones)
    for n in range(phones):
        starts[n] = place[n] / weight[n] if weight[n] > 0.5 else edges[n]
    starts[0] = 0.0
    return starts
