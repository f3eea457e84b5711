"""Forced alignment with a network: which of many ways to say a sentence was taken, and when.

A network is a set of junctions and of arcs between them. An arc takes up frames with a phone, or
none at all. :func:`align_network` finds the path from the first junction to the last that fits a
recording best (Viterbi 1967). A known string without a choice is the special case of
``force_align``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

import numba
import numpy as np

from speechattn.decoder.forced_alignment import LEAST_PHONE_FRAMES, LEAST_SILENCE_FRAMES

NOTHING = -1  # the phone of an arc that takes up no frames


class Arc(NamedTuple):
    """A way from one junction to another.

    Attributes:
        source: junction that it leaves.
        target: junction it leads to, greater than ``source``; the same for a silence that may
            be there or not.
        phone: class of the frames that it takes up, or ``NOTHING``.
        cost: nats that it costs to take it, from 0 on.
    """

    source: int
    target: int
    phone: int
    cost: float = 0.0


class Step(NamedTuple):
    """An arc of the best path, by its number, and the frames that it takes up.

    ``start`` and ``end`` (first frame, frame after the last) are the same for an arc of
    ``NOTHING``.
    """

    arc: int
    start: int
    end: int


def align_network(
    log_posteriors: np.ndarray,
    arcs: Sequence[Arc],
    junctions: int,
    silence: int,
    *,
    acoustic_scale: float = 1.0,
) -> list[Step] | None:
    """Find the best path from junction 0 to the last one.

    A phone has at least ``LEAST_PHONE_FRAMES`` frames, a silence ``LEAST_SILENCE_FRAMES``.

    Args:
        log_posteriors: shape (frames, classes).
        arcs: in any order.
        junctions: how many there are.
        silence: its class.
        acoustic_scale: what log posteriors count against costs; neighbouring frames say much
            the same, so that a value below 1 weighs them more fairly.

    Returns:
        The arcs of the path in their order, or None if there is no path of so many frames.

    Raises:
        ValueError: for an arc between junctions or of a class that does not exist, that leads
            back, or whose cost is negative or NaN; for a scale that is not above 0.
    """
    frames = np.ascontiguousarray(log_posteriors, dtype=np.float32)
    if not acoustic_scale > 0:
        raise ValueError(f"acoustic_scale: {acoustic_scale}; above 0")
    for arc in arcs:
        _check(arc, junctions, frames.shape[1], silence)
    loud = [number for number, arc in enumerate(arcs) if arc.phone != NOTHING]
    quiet = [number for number, arc in enumerate(arcs) if arc.phone == NOTHING]
    quiet.sort(key=lambda number: arcs[number].source)  # so that one may follow another
    lengths = np.array(
        [LEAST_SILENCE_FRAMES if arcs[n].phone == silence else LEAST_PHONE_FRAMES for n in loud],
        dtype=np.int32,
    )
    last = np.cumsum(lengths).astype(np.int32) - 1  # state that ends each arc
    owner = np.repeat(np.arange(len(loud), dtype=np.int32), lengths)
    search = cast(Callable[..., tuple[np.ndarray, np.ndarray]], _best_path)
    states, starts = search(
        frames * np.float32(acoustic_scale),
        owner,
        last,
        *_columns([arcs[number] for number in loud]),
        *_columns([arcs[number] for number in quiet], with_phone=False),
        junctions,
    )
    if not len(states):
        return None
    # Moves come last to first: an arc that takes frames by its number, others as ~number.
    moves = states[::-1].tolist()
    begins = starts[::-1].tolist()
    ends = [*begins[1:], len(frames)]
    return [
        Step(loud[move] if move >= 0 else quiet[~move], begin, end)
        for move, begin, end in zip(moves, begins, ends)
    ]


def bytes_needed(arcs: Sequence[Arc], junctions: int, silence: int, frames: int) -> int:
    """Return the memory that :func:`align_network` takes for its way back, in bytes."""
    lengths = (
        LEAST_SILENCE_FRAMES if arc.phone == silence else LEAST_PHONE_FRAMES
        for arc in arcs
        if arc.phone != NOTHING
    )
    return frames * (sum(lengths) + 4 * junctions)


def _check(arc: Arc, junctions: int, classes: int, silence: int) -> None:
    """Raise a ValueError for an arc that cannot be."""
    loop = arc.source == arc.target and arc.phone == silence
    if not (0 <= arc.source < arc.target < junctions or (loop and 0 <= arc.source < junctions)):
        raise ValueError(f"{arc}: leads forwards among {junctions} junctions, or is a silence")
    if arc.phone != NOTHING and not 0 <= arc.phone < classes:
        raise ValueError(f"{arc}: its phone is a class below {classes}, or {NOTHING}")
    if not arc.cost >= 0:
        raise ValueError(f"{arc}: its cost is from 0 on")


def _columns(arcs: Sequence[Arc], with_phone: bool = True) -> list[np.ndarray]:
    """Sources, targets, phones if wanted, and costs."""
    kinds = [("source", np.int32), ("target", np.int32), ("phone", np.int32), ("cost", np.float32)]
    return [
        np.array([getattr(arc, name) for arc in arcs], dtype=kind)
        for name, kind in kinds
        if with_phone or name != "phone"
    ]


@numba.njit(cache=True, nogil=True)
def _best_path(
    frames: np.ndarray,
    owner: np.ndarray,
    last: np.ndarray,
    source: np.ndarray,
    target: np.ndarray,
    phone: np.ndarray,
    cost: np.ndarray,
    quiet_source: np.ndarray,
    quiet_target: np.ndarray,
    quiet_cost: np.ndarray,
    junctions: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Moves of the best path, last to first, and the frames at which they begin.

    An arc with frames is a chain of states, the last of which goes on for as long as needed.
    ``owner`` is the arc of each state, ``last`` the last state of each arc. A move is the number
    of an arc, or ``~number`` of one of the quiet ones. Empty where there is no path.
    """
    count, states, arcs = frames.shape[0], len(owner), len(last)
    impossible = np.float32(-np.inf)
    score = np.full(states, impossible)
    fresh = np.empty(states, np.float32)
    came = np.zeros((count, states), np.bool_)  # from the state before, or from the junction
    arrived = np.full((count + 1, junctions), np.int32(0))  # move that led to a junction, plus 1
    junction = np.full(junctions, impossible)
    junction[0] = 0
    for q in range(len(quiet_source)):
        value = junction[quiet_source[q]] - quiet_cost[q]
        if value > junction[quiet_target[q]]:
            junction[quiet_target[q]] = value
            arrived[0, quiet_target[q]] = -q - 1
    for t in range(count):
        first = 0
        for a in range(arcs):
            value = frames[t, phone[a]]
            best, moved = junction[source[a]] - cost[a], True
            for s in range(first, last[a] + 1):
                if s == last[a] and score[s] >= best:
                    best, moved = score[s], False
                fresh[s] = best + value
                came[t, s] = moved
                best, moved = score[s], True
            first = last[a] + 1
        score[:] = fresh
        junction[:] = impossible
        for a in range(arcs):
            value = score[last[a]]
            if value > junction[target[a]]:
                junction[target[a]] = value
                arrived[t + 1, target[a]] = a + 1
        for q in range(len(quiet_source)):
            value = junction[quiet_source[q]] - quiet_cost[q]
            if value > junction[quiet_target[q]]:
                junction[quiet_target[q]] = value
                arrived[t + 1, quiet_target[q]] = -q - 1
    moves, starts = [np.int64(0) for _ in range(0)], [np.int64(0) for _ in range(0)]
    if np.isfinite(junction[junctions - 1]):
        j, t = junctions - 1, count
        while t > 0 or j > 0:
            move = arrived[t, j]
            if move < 0:
                moves.append(np.int64(move))
                starts.append(np.int64(t))
                j = quiet_source[-move - 1]
                continue
            a = move - 1
            s = last[a]
            begin = last[a - 1] + 1 if a else 0
            while True:
                t -= 1
                if came[t, s]:
                    if s == begin:
                        break
                    s -= 1
            moves.append(np.int64(a))
            starts.append(np.int64(t))
            j = source[a]
    return np.array(moves), np.array(starts)
