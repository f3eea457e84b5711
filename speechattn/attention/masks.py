"""Attention masks: which positions (keys) a position (query) may see.

A window on a sequence, a whole sequence, the edges of a graph and the neighbourhood in an image
differ in nothing else. Each is an :class:`AttentionMask`, which describes itself as blocks: groups
of queries that share their keys, with the allowed pairs among them. The cost is then proportional
to the number of allowed pairs, and one loop in :mod:`speechattn.attention.blockwise` computes all
of them. Masks of sequences are here, of graphs and images in
:mod:`speechattn.attention.sparse_masks`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from speechattn.attention.kernels.runtime import can_be_cached, outside_inference_mode
from speechattn.checks import as_int

StreamState = dict[str, Any]  # what a layer remembers between two chunks: tensors, counts, dicts


def block_rows(left: int, right: int) -> int:
    """Return the queries of a block: few waste few scores, many make products fast."""
    return 32 if left + right <= 128 else 64


class Block(NamedTuple):
    """``count`` groups of ``rows`` queries; the queries of a group share its ``keys`` keys.

    Attributes:
        queries: numbers of the queries, shape (count, rows). A query is in one block only.
        keys: numbers of the keys, shape (count, keys).
        allowed: whether the query may see the key, shape (count, rows, keys).
    """

    queries: Tensor
    keys: Tensor
    allowed: Tensor

    def pieces(self, pairs: int) -> Iterator[Block]:
        """Divide the block into pieces of about ``pairs`` pairs, one row of keys at least."""
        count, rows, keys = self.allowed.shape
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
                yield Block(self.queries[one, part], self.keys[one], self.allowed[one, part])


class AttentionMask:
    """Base of masks. Subclasses describe themselves twice: as blocks and as a matrix.

    Attributes:
        axes: number of coordinates of a position: 1 in a sequence, 2 in an image.
    """

    axes = 1
    _cached: tuple[tuple[int, str], list[Block]] | None = None

    def check(self, positions: int) -> None:
        """Raise ValueError if the mask is not for this number of positions."""

    def blocks(
        self,
        positions: int,
        device: torch.device | str = "cpu",
        *,
        offset: int = 0,
        queries: int | None = None,
    ) -> list[Block]:
        """Return the allowed pairs as blocks; queries that may see no key may be in none.

        Args:
            positions: number of keys.
            device: device of the tensors.
            offset: position of the first query among the keys, in a stream (windows only).
            queries: number of queries, by default one for every position from the offset on.

        Raises:
            ValueError: if the mask is not for this number of positions or queries.
        """
        self.check(positions)
        if offset or queries not in (None, positions):
            raise ValueError(
                f"offset: {offset} with {queries} queries and {positions} keys; only a WindowMask "
                "can be streamed"
            )
        key = positions, str(device)
        if self._cached is not None and self._cached[0] == key and can_be_cached():
            return self._cached[1]
        blocks: list[Block] = outside_inference_mode(self._blocks)(positions, torch.device(device))
        if can_be_cached():
            self._cached = key, blocks
        return blocks

    def matrix(self, positions: int) -> Tensor:
        """Return whether query i (row) may see key j (column), shape (positions, positions).

        For tests and pictures: it is quadratic, and independent of :meth:`blocks`.
        """
        raise NotImplementedError

    def coordinates(self, positions: int, device: torch.device | str = "cpu") -> Tensor:
        """Return the coordinates of the positions, whole numbers, shape (positions, axes)."""
        return torch.arange(positions, device=device)[:, None]

    def _blocks(self, positions: int, device: torch.device) -> list[Block]:
        raise NotImplementedError


class WindowMask(AttentionMask):
    """Position i sees positions ``i - left`` to ``i + right`` (Povey et al., 2018, for speech).

    Args:
        left: number of positions of the past, None for all.
        right: number of positions of the future, None for all; 0 is causal.

    Raises:
        ValueError: if one is negative or no whole number.
    """

    def __init__(self, left: int | None, right: int | None) -> None:
        self.left = None if left is None else as_int("left", left)
        self.right = None if right is None else as_int("right", right)

    def __repr__(self) -> str:
        return f"WindowMask({self.left}, {self.right})"

    def blocks(
        self,
        positions: int,
        device: torch.device | str = "cpu",
        *,
        offset: int = 0,
        queries: int | None = None,
    ) -> list[Block]:
        """See :meth:`AttentionMask.blocks`; not cached, since they are cheap to make."""
        queries = positions - offset if queries is None else queries
        if not 0 <= offset <= offset + queries <= positions:
            raise ValueError(f"offset: {offset} with {queries} queries and {positions} keys")
        left = positions if self.left is None else min(self.left, positions)
        right = positions if self.right is None else min(self.right, positions)
        rows = block_rows(left, right)
        if rows + left + right >= positions:  # the keys of a block would be all keys
            rows, left, right = max(queries, 1), offset, positions
        whole = queries // rows * rows
        blocks = []
        for begin, end, size in ((0, whole, rows), (whole, queries, queries - whole)):
            if end > begin:
                query = torch.arange(begin, end, device=device).view(-1, size)
                span = torch.arange(min(positions, size + left + right), device=device)
                key = query[:, :1] + offset - left + span
                allowed = self._sees(query[:, :, None] + offset, key[:, None])
                allowed &= ((key >= 0) & (key < positions))[:, None]
                blocks.append(Block(query, key.clamp(0, positions - 1), allowed))
        return blocks

    def matrix(self, positions: int) -> Tensor:
        """See :meth:`AttentionMask.matrix`."""
        position = torch.arange(positions)
        return self._sees(position[:, None], position[None])

    def _sees(self, query: Tensor, key: Tensor) -> Tensor:
        distance = key - query
        allowed = torch.ones_like(distance, dtype=torch.bool)
        if self.left is not None:
            allowed &= distance >= -self.left
        if self.right is not None:
            allowed &= distance <= self.right
        return allowed


class FullMask(WindowMask):
    """Every position sees every position (Vaswani et al., 2017): a window without limits."""

    def __init__(self) -> None:
        super().__init__(None, None)

    def __repr__(self) -> str:
        return "FullMask()"


def without_padding(x: Tensor, lengths: Tensor, first: int = 0) -> Tensor:
    """Return x with zeros beyond the lengths.

    Args:
        x: shape (batch, positions, ...).
        lengths: positions of each sequence, shape (batch,).
        first: number of the first position in x.
    """
    position = first + torch.arange(x.shape[1], device=x.device)
    padding = position >= lengths.to(x.device)[:, None]
    return x.masked_fill(padding.view(*padding.shape, *[1] * (x.ndim - 2)), 0)


def valid_frames(lengths: Tensor, frames: int) -> Tensor:
    """Return whether a frame lies within its sequence, shape (batch, frames)."""
    return torch.arange(frames, device=lengths.device) < lengths[:, None]


def ready_frames(waiting: int, right: int | None) -> int:
    """Return how many of ``waiting`` frames have all of their ``right`` frames of future."""
    return 0 if right is None else max(0, waiting - right)
