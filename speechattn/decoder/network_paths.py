"""The best path through a network of arcs, in memory that does not grow with the square.

The search is done once forwards, keeping its state now and then, and once more piece by piece from
behind, keeping the way back of one piece.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import numpy as np

from speechattn.decoder import network_search

NOTHING = -1  # the phone of an arc that takes up no frames
BACK_BYTES = 48_000_000  # of the way back that is kept at a time
PIECE = 2000  # frames of a long recording between two states that are kept
LEAST_PIECE = 100  # frames of a piece that is not cut further
_begin, _advance, _trace = (
    cast(Callable[..., Any], each)
    for each in (network_search.begin, network_search.advance, network_search.trace)
)


class Step(NamedTuple):
    """An arc of the best path, by its number, and the frames that it takes up.

    ``start`` and ``end`` (first frame, frame after the last) are the same for an arc of
    ``NOTHING``.
    """

    arc: int
    start: int
    end: int


@dataclass(frozen=True)
class Network:
    """Arcs in columns, and their blocks: an arc leads to its own block or to the next one.

    Attributes:
        source: junction that each arc leaves.
        target: junction that each leads to, greater than its source, or the same.
        phone: class of the frames that each takes up; ``NOTHING`` for none.
        cost: nats that each costs.
        least: frames that each takes up at least; 0 for ``NOTHING``.
        first_arc: first arc of each block, and the number of arcs.
        first_junction: first junction of each block, and the number of junctions.
        start: junction at which paths begin, in the first block. They end at the last one.
    """

    source: np.ndarray
    target: np.ndarray
    phone: np.ndarray
    cost: np.ndarray
    least: np.ndarray
    first_arc: np.ndarray
    first_junction: np.ndarray
    start: int = 0


class _Kept(NamedTuple):
    """The state of the search before a piece of the frames."""

    low: int
    high: int
    before: np.float32
    alive: np.ndarray
    score: np.ndarray
    junction: np.ndarray


class _Piece(NamedTuple):
    """Some frames: the first, the one after the last, and the blocks that were alive in them.

    ``kept`` is the state of the search before them, ``back`` their way back where it is known.
    """

    frame: int
    end: int
    blocks: tuple[int, int]
    kept: _Kept | None
    back: tuple[np.ndarray, np.ndarray] | None = None


def best_path(
    scores: np.ndarray,
    network: Network,
    *,
    beam: float = np.inf,
    back_bytes: int = BACK_BYTES,
) -> list[Step] | None:
    """Find the best path through a network.

    Args:
        scores: of the classes in each frame, float32, shape (frames, classes).
        network: whose arcs are all in order.
        beam: paths that are worse than the best one by more are given up.
        back_bytes: memory for the way back; a long recording is searched in pieces that need no
            more, down to ``LEAST_PIECE`` frames.

    Returns:
        The arcs of the path in their order, or None if no path of so many frames is in the beam.
    """
    return _Search(scores, network, beam).path(back_bytes)


class _Search:
    """One search: the network as the compiled functions take it, and their state."""

    def __init__(self, scores: np.ndarray, network: Network, beam: float) -> None:
        self.scores, self.network, self.beam = scores, network, np.float32(beam)
        loud = network.phone != NOTHING
        self.loud, quiet = np.flatnonzero(loud), np.flatnonzero(~loud)
        # So that one may follow another: by block, since blocks have the junctions in order.
        self.quiet = quiet[np.argsort(network.source[quiet], kind="stable")]
        self.last = (np.cumsum(network.least[self.loud]) - 1).astype(np.int64)
        firsts = network.first_arc
        self.first_arc = np.searchsorted(self.loud, firsts)
        self.first_quiet = np.searchsorted(np.sort(quiet), firsts)
        self.arcs = tuple(
            np.ascontiguousarray(column[self.loud])
            for column in (network.source, network.target, network.phone, network.cost)
        )
        self.quiets = tuple(
            np.ascontiguousarray(column[self.quiet])
            for column in (network.source, network.target, network.cost)
        )
        states = int(self.last[-1]) + 1 if len(self.last) else 0
        self.first_state = np.append(0, np.append(-1, self.last)[self.first_arc[1:]] + 1)
        self.score = np.full(states, -np.inf, np.float32)
        self.junction = np.full(int(network.first_junction[-1]), -np.inf, np.float32)
        self.alive = np.zeros(len(firsts) - 1, np.bool_)
        self.arrived = np.zeros(len(self.junction), np.int32)  # at the first frame
        self.low, self.before = 0, np.float32(0.0)
        self.high = _begin(
            self.junction,
            self.alive,
            *self.quiets,
            self.first_quiet,
            network.first_junction,
            network.start,
            self.beam,
            self.arrived,
        )

    def path(self, back_bytes: int) -> list[Step] | None:
        """The best path; see :func:`best_path`."""
        count, blocks = len(self.scores), (0, len(self.alive) - 1)
        if count * self._bytes(*blocks) <= back_bytes:
            back = self._advance(0, count, blocks)
            return self._steps([_Piece(0, count, blocks, None, back)], 0) if self._found() else None
        pieces = self._pieces(0, count, PIECE)
        return self._steps(pieces, back_bytes) if self._found() else None

    def _found(self) -> bool:
        """Whether a path has come to the end."""
        return bool(self.before > -np.inf and np.isfinite(self.junction[-1]))

    def _pieces(self, frame: int, end: int, size: int) -> list[_Piece]:
        """Search forwards without a way back; returns the pieces, with the state before each."""
        pieces = []
        while frame < end and self.before > -np.inf:
            until = min(end, frame + size)
            kept = self._keep()
            _, least, most = self._advance(frame, until, None)
            pieces.append(_Piece(frame, until, (least, most), kept))
            frame = until
        return pieces

    def _bytes(self, low: int, high: int) -> int:
        """Of the way back of one frame, for some blocks."""
        junctions = self.network.first_junction
        return int(
            self.first_state[high + 1]
            - self.first_state[low]
            + 4 * (junctions[high + 1] - junctions[low])
        )

    def _keep(self) -> _Kept:
        blocks = slice(self.low, self.high + 1)
        return _Kept(
            self.low,
            self.high,
            self.before,
            self.alive[blocks].copy(),
            self.score[self.first_state[self.low] : self.first_state[self.high + 1]].copy(),
            self.junction[self._junctions(self.low, self.high)].copy(),
        )

    def _junctions(self, low: int, high: int) -> slice:
        firsts = self.network.first_junction
        return slice(int(firsts[low]), int(firsts[high + 1]))

    def _restore(self, kept: _Kept) -> None:
        self.score[:], self.junction[:], self.alive[:] = -np.inf, -np.inf, False
        self.low, self.high, self.before = kept.low, kept.high, kept.before
        self.alive[kept.low : kept.high + 1] = kept.alive
        self.score[self.first_state[kept.low] : self.first_state[kept.high + 1]] = kept.score
        self.junction[self._junctions(kept.low, kept.high)] = kept.junction

    def _advance(self, frame: int, end: int, window: tuple[int, int] | None) -> Any:
        """Search some frames.

        Args:
            frame: the first.
            end: the one after the last.
            window: first and last block whose way back is kept; None to keep none.

        Returns:
            The way back (two arrays), or None and the first and last block that was alive.
        """
        came, arrived = np.empty((0, 0), np.bool_), np.empty((0, 0), np.int32)
        state, first = 0, 0
        if window is not None:
            low, high = window
            state, first = int(self.first_state[low]), self._junctions(low, high).start
            came = np.zeros((end - frame, int(self.first_state[high + 1]) - state), np.bool_)
            size = self._junctions(low, high).stop - first
            arrived = np.zeros((end - frame + 1, size), np.int32)
            if frame == 0:
                arrived[0] = self.arrived[self._junctions(low, high)]
        self.low, self.high, self.before, least, most = _advance(
            self.scores[frame:end],
            self.last,
            *self.arcs,
            *self.quiets,
            self.first_arc,
            self.first_quiet,
            self.network.first_junction,
            self.score,
            self.junction,
            self.alive,
            self.low,
            self.high,
            self.before,
            self.beam,
            window is not None,
            state,
            first,
            came,
            arrived,
        )
        self.before = np.float32(self.before)
        return (came, arrived) if window is not None else (None, least, most)

    def _backwards(self, pieces: list[_Piece], back_bytes: int) -> Iterator[_Piece]:
        """Pieces from the last to the first, with their ways back."""
        while pieces:
            piece = pieces.pop()
            if piece.kept is not None:
                self._restore(piece.kept)
                frames = piece.end - piece.frame
                if frames * self._bytes(*piece.blocks) > back_bytes and frames > LEAST_PIECE:
                    pieces += self._pieces(piece.frame, piece.end, -(-frames // 2))
                    continue
                back = self._advance(piece.frame, piece.end, piece.blocks)
                piece = piece._replace(back=back)
            yield piece

    def _steps(self, pieces: list[_Piece], back_bytes: int) -> list[Step]:
        """The best path, from the last piece to the first."""
        count = len(self.scores)
        most = 2 * count + len(self.quiet) + len(self.junction)
        moves, starts = np.empty(most, np.int64), np.empty(most, np.int64)
        junction, arc, state, found = len(self.junction) - 1, -1, 0, 0
        for piece in self._backwards(pieces, back_bytes):
            assert piece.back is not None
            junction, arc, state, found = _trace(
                *piece.back,
                piece.frame,
                int(self.first_state[piece.blocks[0]]),
                self._junctions(*piece.blocks).start,
                self.last,
                self.arcs[0],
                self.quiets[0],
                piece.end,
                junction,
                arc,
                state,
                self.network.start,
                moves,
                starts,
                found,
            )
        begins = starts[:found][::-1]
        ends = np.append(begins[1:], count)
        which = moves[:found][::-1]
        named = self.loud[np.maximum(which, 0)]
        if len(self.quiet):
            named = np.where(which >= 0, named, self.quiet[np.maximum(~which, 0)])
        return [Step(*step) for step in zip(named.tolist(), begins.tolist(), ends.tolist())]
