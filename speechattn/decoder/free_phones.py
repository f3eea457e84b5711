"""What is said if nothing is known of it: the best string of phones, any after any."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True, nogil=True)
def free_phones(scores: np.ndarray, change: float, least: int) -> np.ndarray:
    """Find the phone of each frame on the best path through a loop of all phones.

    Args:
        scores: of the classes in each frame, float32, shape (frames, classes).
        change: what each further phone costs.
        least: frames that a phone has at least; the last one may be cut off.

    Returns:
        Class of each frame, int64, shape (frames,).
    """
    count, classes = scores.shape
    labels = np.zeros(count, np.int64)
    if count == 0:
        return labels
    # State ``least - 1`` of a class goes on; the others are left after a frame.
    value = np.full((classes, least), np.float32(-np.inf))
    entered = np.zeros((count, classes), np.int32)  # frame at which its class was entered
    age = np.zeros((classes, least), np.int32)  # the same, of the path on each state
    source = np.zeros(count + 1, np.int16)  # class that was best before a frame
    best, origin = np.float32(0.0), -1
    for t in range(count):
        source[t] = origin
        for c in range(classes):
            emission = scores[t, c]
            old = value[c, least - 1]
            if least > 1:
                moved = value[c, least - 2]
                if moved > old:
                    old, age[c, least - 1] = moved, age[c, least - 2]
                value[c, least - 1] = old + emission
                for s in range(least - 2, 0, -1):
                    value[c, s] = value[c, s - 1] + emission
                    age[c, s] = age[c, s - 1]
                value[c, 0] = best + emission
                age[c, 0] = t
            else:
                if best > old:
                    old, age[c, 0] = best, t
                value[c, 0] = old + emission
            entered[t, c] = age[c, least - 1]
        best, origin = np.float32(-np.inf), 0
        for c in range(classes):
            if value[c, least - 1] > best:
                best, origin = value[c, least - 1], c
        if t + 1 < least:
            best = np.float32(-np.inf)
        best -= np.float32(change)
    # The last phone may be younger than the least.
    top, c, s = np.float32(-np.inf), 0, 0
    for i in range(classes):
        for j in range(least):
            if value[i, j] > top:
                top, c, s = value[i, j], i, j
    t = count
    begin = age[c, s]
    while True:
        for i in range(begin, t):
            labels[i] = c
        if begin == 0:
            return labels
        c, t = source[begin], begin
        begin = entered[t - 1, c]
