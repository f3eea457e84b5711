"""Means over the frames of runs, of which a long recording has many."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from speechattn.segments import FrameSegment


def labels_of(runs: Sequence[FrameSegment]) -> np.ndarray:
    """The phone of each frame, shape (frames,), of runs that cover all frames."""
    return np.repeat([run.phone for run in runs], [run.end - run.start for run in runs])


class RunMeans:
    """Means of a value over frames.

    Args:
        values: of each frame, shape (frames,).
    """

    def __init__(self, values: np.ndarray) -> None:
        self._sums = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)]).tolist()

    def of(self, *runs: FrameSegment) -> float:
        """The mean over all frames of some runs."""
        total = sum(self._sums[run.end] - self._sums[run.start] for run in runs)
        return total / sum(run.end - run.start for run in runs)
