"""Who sees whom: which positions (keys) a position (query) may look at in self-attention.

A sequence with a window, all of a sequence, the edges of a graph and the neighbourhood in an image
differ in nothing but this. Each is a :class:`Visibility`, and each says it in the same form: blocks
of queries that look at the same keys, with a mask inside the block. What is computed is then
proportional to the pairs that see each other, and one loop in :mod:`speechattn.attention.blockwise` does all.
Sequences are here, graphs and images in :mod:`speechattn.attention.sparse_masks`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from speechattn.attention.kernels.runtime import can_be_cached, outside_inference_mode
from speechattn.checks import as_int


def block_rows(left: int, right: int) -> int:
    """Queries in a block. Few compute few scores outside the window, many make products fast."""
    return 32 if left + right <= 128 else 64


class Block(NamedTuple):
    """``count`` groups of ``rows`` queries, each group over ``keys`` keys of its own.

    Attributes:
        queries: numbers of the queries, shape (count, rows); a query is in one block only.
        keys: numbers of the keys, shape (count, keys).
        seen: whether the query sees the key, shape (count, rows, keys).
    """

    queries: Tensor
    keys: Tensor
    seen: Tensor

    def pieces(self, pairs: int) -> Iterator[Block]:
        """The block in parts of about ``pairs`` pairs at most (one row of keys at least)."""
        count, rows, keys = self.seen.shape
        groups = max(1, pairs // max(1, rows * keys))
        if groups > 1 or rows * keys <= pairs:
            for start in range(0, count, groups):
                yield Block(*(x[start : start + groups] for x in self))
            return
        step = max(1, pairs // max(1, keys))
        for group in range(count):
            one = slice(group, group + 1)
            for start in range(0, rows, step):
                part = slice(start, start + step)
                yield Block(self.queries[one, part], self.keys[one], self.seen[one, part])


class AttentionMask:
    """What every position may see. Subclasses say it twice: as blocks and as a matrix.

    Attributes:
        axes: numbers that tell where a position is: 1 in a sequence, 2 in an image.
        streams: whether positions may arrive one after another.
    """

    axes = 1
    streams = False

    def check(self, positions: int) -> None:
        """Raises ValueError if there cannot be so many positions."""

    def blocks(
        self,
        positions: int,
        device: torch.device | str = "cpu",
        *,
        offset: int = 0,
        queries: int | None = None,
    ) -> list[Block]:
        """The pairs that see each other, in blocks; queries that see nothing may be in none.

        Args:
            positions: keys, numbered from 0.
            device: of the tensors.
            offset: position of the first query among the keys, in a stream (windows only).
            queries: how many there are, by default one for every position from the offset on.

        Raises:
            ValueError: if there cannot be so many positions, or no such queries.
        """
        self.check(positions)
        if offset or queries not in (None, positions):
            raise ValueError(
                f"offset: {offset} with {queries} queries and {positions} keys; only a Window "
                "can be streamed"
            )
        key, kept = (positions, str(device)), getattr(self, "_kept", None)
        if kept is None or kept[0] != key or not can_be_cached():
            kept = key, outside_inference_mode(self._blocks)(positions, torch.device(device))
            if can_be_cached():
                self._kept = kept
        return kept[1]

    def mask(self, positions: int) -> Tensor:
        """Whether query i (row) sees key j (column), shape (positions, positions). For tests and
        pictures: quadratic, and independent of :meth:`blocks`."""
        raise NotImplementedError

    def coordinates(self, positions: int, device: torch.device | str = "cpu") -> Tensor:
        """Where the positions are, whole numbers of shape (positions, axes)."""
        return torch.arange(positions, device=device)[:, None]

    def _blocks(self, positions: int, device: torch.device) -> list[Block]:
        raise NotImplementedError


class WindowMask(AttentionMask):
    """Position i sees ``i - left`` to ``i + right`` (Povey et al., 2018, for speech).

    Args:
        left: positions of the past, None for all.
        right: positions of the future, None for all; 0 is causal.

    Raises:
        ValueError: if one is negative or no whole number.
    """

    streams = True

    def __init__(self, left: int | None, right: int | None):
        self.left = None if left is None else as_int("left", left)
        self.right = None if right is None else as_int("right", right)

    def __repr__(self) -> str:
        return f"Window({self.left}, {self.right})"

    def blocks(self, positions, device="cpu", *, offset=0, queries=None):
        """See :meth:`Visibility.blocks`; not kept, being cheap."""
        queries = positions - offset if queries is None else queries
        if not 0 <= offset <= offset + queries <= positions:
            raise ValueError(f"offset: {offset} with {queries} queries and {positions} keys")
        left = positions if self.left is None else min(self.left, positions)
        right = positions if self.right is None else min(self.right, positions)
        rows = block_rows(left, right)
        if rows + left + right >= positions:  # the keys of a block would be all keys
            rows, left, right = max(queries, 1), offset, positions
        whole = queries // rows * rows
        parts = [(0, whole, rows), (whole, queries, queries - whole)]
        return [
            self._block(begin, end, size, positions, left, right, offset, device)
            for begin, end, size in parts
            if end > begin
        ]

    def _block(self, begin, end, rows, positions, left, right, offset, device) -> Block:
        queries = torch.arange(begin, end, device=device).view(-1, rows)
        span = min(positions, rows + left + right)
        first = queries[:, :1] + offset - left
        keys = first + torch.arange(span, device=device)
        seen = self._sees(queries[:, :, None] + offset, keys[:, None])
        seen &= ((keys >= 0) & (keys < positions))[:, None]
        return Block(queries, keys.clamp(0, positions - 1), seen)

    def mask(self, positions):
        """See :meth:`Visibility.mask`."""
        position = torch.arange(positions)
        return self._sees(position[:, None], position[None])

    def _sees(self, query: Tensor, key: Tensor) -> Tensor:
        distance = key - query
        seen = torch.ones_like(distance, dtype=torch.bool)
        if self.left is not None:
            seen &= distance >= -self.left
        if self.right is not None:
            seen &= distance <= self.right
        return seen


class FullMask(WindowMask):
    """Every position sees every position (Vaswani et al., 2017): a window without limits."""

    def __init__(self) -> None:
        super().__init__(None, None)

    def __repr__(self) -> str:
        return "Everything()"


def without_padding(x: Tensor, lengths: Tensor, first: int = 0) -> Tensor:
    """Zeros beyond the lengths; x: shape (batch, positions, ...), from position ``first`` on."""
    position = first + torch.arange(x.shape[1], device=x.device)
    beyond = position >= lengths.to(x.device)[:, None]
    return x.masked_fill(beyond.view(*beyond.shape, *[1] * (x.ndim - 2)), 0)


def valid_frames(lengths: torch.Tensor, frames: int) -> torch.Tensor:
    """True where a frame lies within its sequence, shape (batch, frames)."""
    return torch.arange(frames, device=lengths.device) < lengths[:, None]


def ready_frames(waiting: int, right: int | None) -> int:
    """Of ``waiting`` frames, how many have all of their ``right`` frames of future."""
    return 0 if right is None else max(0, waiting - right)
