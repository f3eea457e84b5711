"""Forced alignment: the times of the phones of a known string, by the best path through it.

The string is a chain of junctions with a phone between each two of them. Between phones there may
be silence. Where the string is not to be trusted, a phone may be another one or missing, at a cost
(an edit-distance transducer composed with the string, as in Mohri, 2003).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from speechattn.checks import as_int
from speechattn.decoder.scores import check_log_posteriors
from speechattn.jit import jit_when_used
from speechattn.segments import FrameSegment

LEAST_PHONE_FRAMES = 2
LEAST_SILENCE_FRAMES = 6  # shorter ones are mostly the closures of stops


class Alignment(NamedTuple):
    """A recording's segments, and how well they fit it.

    Attributes:
        segments: cover all frames.
        score: mean log posterior of the frames' labels, silence left out.
    """

    segments: list[FrameSegment]
    score: float


def force_align(
    log_posteriors: np.ndarray,
    phones: Sequence[int],
    silence: int,
    *,
    substitution: float = np.inf,
    deletion: float = np.inf,
) -> Alignment | None:
    """Align a string of phones with frames.

    A phone has at least ``LEAST_PHONE_FRAMES`` frames, a silence ``LEAST_SILENCE_FRAMES``.

    Args:
        log_posteriors: natural logarithms of the posteriors, shape (frames, classes).
        phones: numbers of the classes in the order they were spoken, without silence.
        silence: number of its class.
        substitution: nats that another phone than the string has costs; infinite for never.
        deletion: nats that it costs to leave a phone out; infinite for never.

    Returns:
        None if the recording is too short for the string, or every path has a probability of 0.

    Raises:
        ValueError: for log posteriors of another shape, above 0, NaN, or all infinite in a frame;
            for a phone that is silence or no class, or a cost that is negative or NaN.
    """
    log_posteriors = np.asarray(log_posteriors)
    check_log_posteriors(log_posteriors)
    frames = np.ascontiguousarray(log_posteriors, dtype=np.float32)
    silence = _class("silence", silence, frames.shape[1])
    phones = [_class("phones", phone, frames.shape[1], silence) for phone in phones]
    for name, cost in (("substitution", substitution), ("deletion", deletion)):
        if not cost >= 0:
            raise ValueError(f"{name}: {cost}; from 0 on")
    states = _states(phones, silence, frames.shape[1], substitution)
    path = _best_path(frames, *states, len(phones) + 1, np.float32(deletion))
    if not len(path) or path[0] < 0:
        _check_possible(frames)
        return None
    label, first = states[0], states[1] < 0
    # A phone begins where its first state is entered, not where that state goes on.
    begins = np.flatnonzero((np.diff(path, prepend=-1) != 0) & first[path])
    ends = [*begins[1:].tolist(), len(path)]
    segments = [FrameSegment(int(label[path[b]]), b, e) for b, e in zip(begins.tolist(), ends)]
    spoken = np.flatnonzero(label[path] != silence)
    score = log_posteriors[spoken, label[path[spoken]]].mean() if len(spoken) else -np.inf
    return Alignment(segments, float(score))


def _class(name: str, value: object, classes: int, silence: int | None = None) -> int:
    """Return the number of a class, after a check that it is one, and not that of silence."""
    if isinstance(value, str):
        raise ValueError(f"{name}: {value!r}; the number of a class, which PhoneSet.index has")
    number = as_int(name, value)
    if number == silence or number >= classes:
        raise ValueError(
            f"{name}: {number}; a class below {classes}"
            + ("" if silence is None else f", not {silence}")
        )
    return number


def _check_possible(frames: np.ndarray) -> None:
    """Raise a ValueError for a frame in which no class has a probability."""
    impossible = np.isneginf(frames).all(axis=1)
    if impossible.any():
        raise ValueError(
            f"log posteriors of frame {np.argmax(impossible)} are all -inf; one class at least "
            "has a probability above 0"
        )


def _states(
    phones: Sequence[int], silence: int, classes: int, substitution: float
) -> tuple[np.ndarray, ...]:
    """Make the states that emit frames, a chain of them for each choice at each position.

    Returns:
        For every state its class, the state before it in its chain (-1 for the first), the
        junction that its chain leaves, the one it leads to (-1 but for the last), and the cost of
        entering it.
    """
    rows: list[tuple[int, int, int, int, float]] = []

    def chain(label: int, length: int, source: int, target: int, cost: float) -> None:
        for i in range(length):
            last = i == length - 1
            before = len(rows) - 1 if i else -1
            rows.append((label, before, source, target if last else -1, 0.0 if i else cost))

    for junction in range(len(phones) + 1):
        chain(silence, LEAST_SILENCE_FRAMES, junction, junction, 0.0)
    for junction, phone in enumerate(phones):
        chain(phone, LEAST_PHONE_FRAMES, junction, junction + 1, 0.0)
        for other in range(classes if np.isfinite(substitution) else 0):
            if other not in (phone, silence):
                chain(other, LEAST_PHONE_FRAMES, junction, junction + 1, substitution)
    label, before, source, target, cost = zip(*rows)
    return *map(np.array, (label, before, source, target)), np.array(cost, dtype=np.float32)


@jit_when_used
def _best_path(
    frames: np.ndarray,
    label: np.ndarray,
    before: np.ndarray,
    source: np.ndarray,
    target: np.ndarray,
    cost: np.ndarray,
    junctions: int,
    deletion: np.float32,
) -> np.ndarray:
    """Return the state of every frame on the best path, shape (frames,); -1 if there is no path."""
    count, states = frames.shape[0], len(label)
    impossible = np.float32(-np.inf)
    score = np.full(states, impossible)
    came = np.full((count, states), np.int8(-1))  # 0 stayed, 1 from the state before, 2 entered
    arrived = np.full((count + 1, junctions), np.int32(-1))  # state that led to a junction
    junction = np.full(junctions, impossible)
    junction[0] = 0
    for j in range(1, junctions):
        junction[j] = junction[j - 1] - deletion
    fresh = np.empty(states, np.float32)
    for t in range(count):
        for s in range(states):
            if before[s] >= 0:
                best, how = score[before[s]], np.int8(1)
            else:
                best, how = junction[source[s]] - cost[s], np.int8(2)
            if target[s] >= 0 and score[s] >= best:
                best, how = score[s], np.int8(0)
            fresh[s] = best + frames[t, label[s]]
            came[t, s] = how
        score[:] = fresh
        junction[:] = impossible
        for s in range(states):
            j = target[s]
            if j >= 0 and score[s] > junction[j]:
                junction[j] = score[s]
                arrived[t + 1, j] = s
        for j in range(1, junctions):
            if junction[j - 1] - deletion > junction[j]:
                junction[j] = junction[j - 1] - deletion
                arrived[t + 1, j] = -1
    path = np.full(count, -1)
    if not np.isfinite(junction[junctions - 1]):
        return path
    j, t = junctions - 1, count
    while t > 0:
        while arrived[t, j] < 0:
            j -= 1
        s = arrived[t, j]
        while True:
            t -= 1
            path[t] = s
            how = came[t, s]
            if how == 1:
                s = before[s]
            elif how == 2:
                j = source[s]
                break
    return path
