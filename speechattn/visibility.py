"""Who sees whom: which positions (keys) a position (query) may look at in self-attention.

A sequence with a window, all of a sequence, the edges of a graph and the neighbourhood in an image
differ in nothing but this. Each is a :class:`Visibility`, and each says it in the same form: blocks
of queries that look at the same keys, with a mask inside the block. What is computed is then
proportional to the pairs that see each other, and one loop in :mod:`speechattn.family` does them all.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from speechattn.attention import block_rows


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


class Visibility:
    """What every position may see. Subclasses say it twice: as blocks and as a matrix.

    Attributes:
        axes: numbers that tell where a position is: 1 in a sequence, 2 in an image.
    """

    axes = 1

    def check(self, positions: int) -> None:
        """Raises ValueError if there cannot be so many positions."""

    def blocks(
        self, positions: int, device: torch.device | str = "cpu", *, offset: int = 0
    ) -> list[Block]:
        """The pairs that see each other, in blocks; queries that see nothing may be in none.

        Args:
            positions: keys, numbered from 0.
            device: of the tensors.
            offset: position of the first query among the keys, in a stream; there is a query for
                every position from there on. Only a window knows positions that are not there.

        Raises:
            ValueError: if there cannot be so many positions, or no such offset.
        """
        self.check(positions)
        if offset:
            raise ValueError(f"offset: {offset}; only a Window can be streamed")
        key = (positions, str(device))
        if getattr(self, "_kept", (None,))[0] != key:
            self._kept = key, self._blocks(positions, torch.device(device))
        return self._kept[1]

    def mask(self, positions: int) -> Tensor:
        """Whether query i (row) sees key j (column), shape (positions, positions). For tests and
        pictures: quadratic, and independent of :meth:`blocks`."""
        raise NotImplementedError

    def coordinates(self, positions: int, device: torch.device | str = "cpu") -> Tensor:
        """Where the positions are, whole numbers of shape (positions, axes)."""
        return torch.arange(positions, device=device)[:, None]

    def _blocks(self, positions: int, device: torch.device) -> list[Block]:
        raise NotImplementedError


class Window(Visibility):
    """Position i sees ``i - left`` to ``i + right`` (Povey et al., 2018, for speech).

    Args:
        left: positions of the past, None for all.
        right: positions of the future, None for all; 0 is causal.

    Raises:
        ValueError: if one is negative or no whole number.
    """

    def __init__(self, left: int | None, right: int | None):
        self.left = None if left is None else _whole("left", left)
        self.right = None if right is None else _whole("right", right)

    def __repr__(self) -> str:
        return f"Window({self.left}, {self.right})"

    def blocks(self, positions, device="cpu", *, offset=0):
        """See :meth:`Visibility.blocks`; not kept, being cheap."""
        if not 0 <= offset <= positions:
            raise ValueError(f"offset: {offset}; from 0 to the number of keys, {positions}")
        queries = positions - offset
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


class Everything(Window):
    """Every position sees every position (Vaswani et al., 2017): a window without limits."""

    def __init__(self) -> None:
        super().__init__(None, None)

    def __repr__(self) -> str:
        return "Everything()"


class Edges(Visibility):
    """A node of a graph sees the nodes its edges lead to (Veličković et al., 2018).

    Queries are grouped by their number of edges, rounded up to a power of two, so that a few
    nodes with many edges cost no more than their edges.

    Args:
        pairs: (query, key) for every edge, shape (edges, 2): the query sees the key. One given
            twice counts once; a node sees itself only if an edge says so.
        nodes: number of nodes.

    Raises:
        ValueError: for another shape, numbers that are not whole, or an edge out of range.
    """

    def __init__(self, pairs: Tensor | Sequence[tuple[int, int]], nodes: int):
        self.nodes = _whole("nodes", nodes)
        pairs = torch.as_tensor(pairs)
        if pairs.numel() == 0:
            pairs = torch.zeros(0, 2, dtype=torch.long)
        if pairs.ndim != 2 or pairs.shape[1] != 2:
            raise ValueError(f"pairs: shape {tuple(pairs.shape)}; (edges, 2), query and key")
        if pairs.is_floating_point() or pairs.is_complex() or pairs.dtype == torch.bool:
            raise ValueError(f"pairs: of type {pairs.dtype}; whole numbers")
        pairs = pairs.cpu().long()
        wrong = ((pairs < 0) | (pairs >= self.nodes)).any(1).nonzero()
        if len(wrong):
            edge = int(wrong[0])
            raise ValueError(
                f"pairs: edge {edge} is {pairs[edge].tolist()}; nodes are 0 to {self.nodes - 1}"
            )
        self.pairs = pairs.unique(dim=0)  # sorted by query

    def __repr__(self) -> str:
        return f"Edges({len(self.pairs)} edges, {self.nodes} nodes)"

    def check(self, positions):
        """See :meth:`Visibility.check`."""
        if positions != self.nodes:
            raise ValueError(f"visibility: a graph of {self.nodes} nodes for {positions} positions")

    def _blocks(self, positions, device):
        query, key = self.pairs.T
        degree = torch.bincount(query, minlength=self.nodes)
        start = degree.cumsum(0) - degree
        blocks, low = [], 0
        while low < int(degree.max() if self.nodes else 0):
            size = max(1, 2 * low)
            queries = ((degree > low) & (degree <= size)).nonzero()
            low = size
            if len(queries):
                edge = torch.arange(size)
                seen = edge < degree[queries]
                keys = key[torch.where(seen, start[queries] + edge, 0)]
                block = Block(queries, keys, seen[:, None])
                blocks.append(Block(*(x.to(device) for x in block)))
        return blocks

    def mask(self, positions):
        """See :meth:`Visibility.mask`."""
        self.check(positions)
        seen = torch.zeros(positions, positions, dtype=torch.bool)
        seen[self.pairs[:, 0], self.pairs[:, 1]] = True
        return seen


class Grid(Visibility):
    """A pixel of an image sees the rectangle around it (Ramachandran et al., 2019).

    Pixels are numbered row by row: pixel (y, x) is position ``y * width + x``.

    Args:
        height: rows of pixels.
        width: columns of pixels.
        reach: rows up and down, and columns to both sides, that a pixel sees; None for all.

    Raises:
        ValueError: if a number is negative or not whole.
    """

    axes = 2

    def __init__(self, height: int, width: int, reach: tuple[int | None, int | None] = (1, 1)):
        self.height, self.width = _whole("height", height), _whole("width", width)
        if not isinstance(reach, (tuple, list)) or len(reach) != 2:
            raise ValueError(f"reach: {reach!r}; (rows, columns)")
        self.reach = tuple(None if r is None else _whole("reach", r) for r in reach)

    def __repr__(self) -> str:
        return f"Grid({self.height}, {self.width}, reach={self.reach})"

    def check(self, positions):
        """See :meth:`Visibility.check`."""
        if positions != self.height * self.width:
            raise ValueError(
                f"visibility: a grid of {self.height} x {self.width} pixels for "
                f"{positions} positions"
            )

    def coordinates(self, positions, device="cpu"):
        """(row, column) of every pixel; see :meth:`Visibility.coordinates`."""
        self.check(positions)
        number = torch.arange(positions, device=device)
        return torch.stack([number // max(1, self.width), number % max(1, self.width)], 1)

    def _blocks(self, positions, device):
        limits = [
            size - 1 if reach is None else min(reach, size - 1)
            for reach, size in zip(self.reach, (self.height, self.width))
        ]
        place = self.coordinates(positions, device)
        number = torch.arange(positions, device=device)
        if positions == 0:
            return []
        if math.prod(2 * limit + 1 for limit in limits) >= positions:
            seen = (place[:, None] - place).abs() <= torch.tensor(limits, device=device)
            return [Block(number[None], number[None], seen.all(-1)[None])]
        steps = [torch.arange(-limit, limit + 1, device=device) for limit in limits]
        there = place[:, None] + torch.cartesian_prod(*steps)
        size = torch.tensor([self.height, self.width], device=device)
        inside = ((there >= 0) & (there < size)).all(-1)
        keys = torch.where(inside, there[..., 0] * self.width + there[..., 1], 0)
        return [Block(number[:, None], keys, inside[:, None])]

    def mask(self, positions):
        """See :meth:`Visibility.mask`."""
        self.check(positions)
        rows, columns = self.coordinates(positions).T
        seen = torch.ones(positions, positions, dtype=torch.bool)
        for axis, reach in zip((rows, columns), self.reach):
            if reach is not None:
                seen &= (axis[:, None] - axis).abs() <= reach
        return seen


def visibility_from(value: object) -> Visibility:
    """A visibility from the plain values of a configuration file.

    Args:
        value: ``"everything"`` or null; ``[left, right]``, null in it for no limit;
            ``{grid: [height, width], reach: [rows, columns]}``;
            ``{edges: [[query, key], ...], nodes: number}``. A Visibility is returned as it is.

    Raises:
        ValueError: for anything else.
    """
    if isinstance(value, Visibility):
        return value
    if value is None or value == "everything":
        return Everything()
    if isinstance(value, (list, tuple)) and len(value) == 2:
        return Window(*value)
    if isinstance(value, dict) and set(value) == {"edges", "nodes"}:
        return Edges(value["edges"], value["nodes"])
    if isinstance(value, dict) and "grid" in value and set(value) <= {"grid", "reach"}:
        size = value["grid"]
        if isinstance(size, (list, tuple)) and len(size) == 2:
            return Grid(*size, reach=value.get("reach", (1, 1)))
    raise ValueError(
        f"visibility: {value!r}; 'everything', [left, right], {{grid: [height, width], "
        "reach: [rows, columns]} or {edges: [[query, key], ...], nodes: number}"
    )


def _whole(name: str, value: object) -> int:
    try:
        number = -1 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = -1
    if number < 0:
        raise ValueError(f"{name}: {value!r}; a whole number, 0 or more")
    return number
