"""The compiled search of :mod:`speechattn.decoder.network_paths`.

Token passing through a network that is nearly a line: junctions come in blocks (one a word), and
arcs lead to a junction of the same block or of the next. Only blocks with a path near the best one
are looked at, so that time grows with the length of the recording and not with its square.

Scores are relative to the best of the frame before: hours add up to numbers that would leave
float32 few digits for what two paths differ in.
"""

from __future__ import annotations

import numba
import numpy as np

_IMPOSSIBLE = np.float32(-np.inf)


@numba.njit(cache=True, nogil=True)
def begin(
    junction: np.ndarray,
    alive: np.ndarray,
    quiet_source: np.ndarray,
    quiet_target: np.ndarray,
    quiet_cost: np.ndarray,
    first_quiet: np.ndarray,
    first_junction: np.ndarray,
    start: int,
    beam: np.float32,
    arrived: np.ndarray,
) -> int:
    """Put the first path on its junction, and take the arcs without frames; the last live block.

    Args:
        junction: score of each, -inf so far; is filled.
        alive: whether a block is looked at; is filled.
        quiet_source: of each arc without frames, as are ``quiet_target`` and ``quiet_cost``.
        first_quiet: first such arc of each block, and the number of all.
        first_junction: of each block, and the number of all.
        start: junction at which paths begin.
        beam: greatest distance from the best path.
        arrived: arc by which each junction was reached: ``-q - 1`` for arc ``q`` without frames.
    """
    junction[start] = 0
    alive[0] = True
    block = 0
    while block < len(alive) and alive[block]:
        for q in range(first_quiet[block], first_quiet[block + 1]):
            value = junction[quiet_source[q]] - quiet_cost[q]
            target = quiet_target[q]
            if value >= -beam and value > junction[target]:
                junction[target] = value
                arrived[target] = -q - 1
                if target >= first_junction[block + 1]:
                    alive[block + 1] = True
        block += 1
    return block - 1


@numba.njit(cache=True, nogil=True)
def advance(
    frames: np.ndarray,
    last: np.ndarray,
    source: np.ndarray,
    target: np.ndarray,
    phone: np.ndarray,
    cost: np.ndarray,
    quiet_source: np.ndarray,
    quiet_target: np.ndarray,
    quiet_cost: np.ndarray,
    first_arc: np.ndarray,
    first_quiet: np.ndarray,
    first_junction: np.ndarray,
    score: np.ndarray,
    junction: np.ndarray,
    alive: np.ndarray,
    low: int,
    high: int,
    before: np.float32,
    beam: np.float32,
    keep: bool,
    first_state: int,
    junction_offset: int,
    came: np.ndarray,
    arrived: np.ndarray,
) -> tuple[int, int, np.float32, int, int]:
    """Take all paths through some frames.

    An arc with frames is a chain of states, the last of which goes on for as long as needed.

    Args:
        frames: scores of the classes, shape (frames, classes).
        last: state that ends each arc with frames.
        source: junction that each leaves, as are ``target``, ``phone`` and ``cost``.
        target: as ``source``.
        phone: as ``source``.
        cost: as ``source``.
        quiet_source: as for :func:`begin`, as are the next four.
        quiet_target: as for :func:`begin`.
        quiet_cost: as for :func:`begin`.
        first_arc: first arc with frames of each block, and the number of all.
        first_quiet: as for :func:`begin`.
        first_junction: as for :func:`begin`.
        score: of each state; is changed.
        junction: of each junction; is changed.
        alive: of each block; is changed.
        low: first live block.
        high: last live block.
        before: best score of the frame before.
        beam: as for :func:`begin`.
        keep: whether the way back is written down.
        first_state: state of the first column of ``came``.
        junction_offset: junction of the first column of ``arrived``.
        came: whether each state was reached from the state or junction before it, shape
            (frames, states).
        arrived: arc by which each junction was reached, plus 1; ``-q - 1`` for arc ``q`` without
            frames. Shape (frames + 1, junctions), the row of a frame after it.

    Returns:
        First and last live block, best score of the last frame, and the least and the greatest
        block that was alive.
    """
    blocks = len(alive)
    least, most = low, high
    tops = np.empty(blocks, np.float32)  # best score of each live block
    for t in range(frames.shape[0]):
        best = _IMPOSSIBLE
        for block in range(low, high + 1):
            if not alive[block]:
                continue
            highest = _IMPOSSIBLE
            begin_state = last[first_arc[block] - 1] + 1 if first_arc[block] else 0
            for a in range(first_arc[block], first_arc[block + 1]):
                value = frames[t, phone[a]] - before
                entered = junction[source[a]] - cost[a]
                end_state = last[a]
                # From the last state to the first: each takes the old score of the one before.
                s = end_state
                previous = score[s - 1] if s > begin_state else entered
                if score[s] >= previous:
                    top, moved = score[s], False
                else:
                    top, moved = previous, True
                top += value
                score[s] = top
                if keep:
                    came[t, s - first_state] = moved
                if top > highest:
                    highest = top
                for s in range(end_state - 1, begin_state - 1, -1):
                    previous = score[s - 1] if s > begin_state else entered
                    previous += value
                    score[s] = previous
                    if keep:
                        came[t, s - first_state] = True
                    if previous > highest:
                        highest = previous
                begin_state = end_state + 1
            tops[block] = highest
            if highest > best:
                best = highest
        worst = best - beam
        end = min(high + 1, blocks - 1)
        for j in range(first_junction[low], first_junction[end + 1]):
            junction[j] = _IMPOSSIBLE
        for block in range(low, high + 1):
            if not alive[block]:
                continue
            if tops[block] < worst:
                begin_state = last[first_arc[block] - 1] + 1 if first_arc[block] else 0
                end_state = last[first_arc[block + 1] - 1] + 1 if first_arc[block + 1] else 0
                for s in range(begin_state, end_state):
                    score[s] = _IMPOSSIBLE
                alive[block] = False
                continue
            for a in range(first_arc[block], first_arc[block + 1]):
                value = score[last[a]]
                j = target[a]
                if value >= worst and value > junction[j]:
                    junction[j] = value
                    if keep:
                        arrived[t + 1, j - junction_offset] = a + 1
        # A block without a state in the beam lives on by a junction that was reached.
        block = low
        high_now = low - 1
        while block <= min(high + 1, blocks - 1):
            reached = False
            for j in range(first_junction[block], first_junction[block + 1]):
                if junction[j] > _IMPOSSIBLE:
                    reached = True
                    break
            if reached:
                alive[block] = True
                for q in range(first_quiet[block], first_quiet[block + 1]):
                    value = junction[quiet_source[q]] - quiet_cost[q]
                    j = quiet_target[q]
                    if value >= worst:
                        if j >= first_junction[block + 1] and block + 1 > high:
                            high = block + 1
                        if value > junction[j]:
                            junction[j] = value
                            if keep:
                                arrived[t + 1, j - junction_offset] = -q - 1
            if alive[block]:
                high_now = block
            block += 1
        high = high_now
        while low < high and not alive[low]:
            low += 1
        before = best
        if low < least:
            least = low
        if high > most:
            most = high
        if best == _IMPOSSIBLE:
            break
    return low, high, before, least, most


@numba.njit(cache=True, nogil=True)
def trace(
    came: np.ndarray,
    arrived: np.ndarray,
    first_frame: int,
    first_state: int,
    junction_offset: int,
    last: np.ndarray,
    source: np.ndarray,
    quiet_source: np.ndarray,
    frame: int,
    junction: int,
    arc: int,
    state: int,
    start: int,
    moves: np.ndarray,
    starts: np.ndarray,
    found: int,
) -> tuple[int, int, int, int]:
    """Follow the best path back to the first of some frames.

    Args:
        came: as for :func:`advance`.
        arrived: as for :func:`advance`.
        first_frame: frame of the first row of both.
        first_state: as for :func:`advance`.
        junction_offset: as for :func:`advance`.
        last: as for :func:`advance`.
        source: as for :func:`advance`.
        quiet_source: as for :func:`advance`.
        frame: at whose beginning the path is.
        junction: that it is on, if ``arc`` is -1.
        arc: that it is within, or -1.
        state: of that arc.
        start: junction at which paths begin.
        moves: are filled from ``found`` on: an arc with frames by its number, others ``~number``.
        starts: frame at which each begins.
        found: how many there are.

    Returns:
        Junction, arc and state at the first frame, and how many moves there are now.
    """
    while True:
        if arc < 0:
            if frame == first_frame and (first_frame > 0 or junction == start):
                break
            move = arrived[frame - first_frame, junction - junction_offset]
            if move < 0:
                moves[found], starts[found] = move, frame
                found += 1
                junction = quiet_source[-move - 1]
                continue
            arc = move - 1
            state = last[arc]
        if frame == first_frame:
            break
        frame -= 1
        if came[frame - first_frame, state - first_state]:
            begin_state = last[arc - 1] + 1 if arc else 0
            if state == begin_state:
                moves[found], starts[found] = arc, frame
                found += 1
                junction = source[arc]
                arc = -1
            else:
                state -= 1
    return junction, arc, state, found
