"""Frame labels as segments."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from speechattn.segments import FrameSegment


def segments_from_labels(labels: Sequence[int] | np.ndarray) -> list[FrameSegment]:
    """Maximal segments of equal labels in a frame label sequence, shape (frames,)."""
    labels = np.asarray(labels)
    if len(labels) == 0:
        return []
    edges = np.flatnonzero(np.diff(labels)) + 1
    starts = [0, *edges.tolist()]
    ends = [*edges.tolist(), len(labels)]
    return [FrameSegment(int(labels[s]), s, e) for s, e in zip(starts, ends)]
