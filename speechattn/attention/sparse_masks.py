"""Attention masks of graphs and images, and masks from the values of a configuration file."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from speechattn.attention.masks import AttentionMask, Block, FullMask, WindowMask
from speechattn.checks import as_int


class GraphMask(AttentionMask):
    """A node of a graph sees the nodes that its edges lead to (Veličković et al., 2018).

    Queries are grouped by their number of edges, rounded up to a power of two, so that a few
    nodes with many edges cost no more than their edges.

    Args:
        pairs: (query, key) of every edge, shape (edges, 2): the query sees the key. A duplicate
            counts once. A node sees itself only if there is such an edge.
        nodes: number of nodes.

    Raises:
        ValueError: for another shape, numbers that are not whole, or an edge out of range.
    """

    def __init__(self, pairs: Tensor | Sequence[tuple[int, int]], nodes: int) -> None:
        self.nodes = as_int("nodes", nodes)
        try:
            pairs = torch.as_tensor(pairs)
        except (TypeError, ValueError, RuntimeError):  # rows of different lengths, words
            raise ValueError(f"pairs: {pairs!r}; (edges, 2) whole numbers, query and key") from None
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
        return f"GraphMask({len(self.pairs)} edges, {self.nodes} nodes)"

    def check(self, positions: int) -> None:
        """See :meth:`AttentionMask.check`."""
        if positions != self.nodes:
            raise ValueError(f"mask: a graph of {self.nodes} nodes for {positions} positions")

    def _blocks(self, positions: int, device: torch.device) -> list[Block]:
        query, key = self.pairs.T
        degree = torch.bincount(query, minlength=self.nodes)
        start = degree.cumsum(0) - degree
        blocks: list[Block] = []
        low = 0
        while low < int(degree.max() if self.nodes else 0):
            size = max(1, 2 * low)
            queries = ((degree > low) & (degree <= size)).nonzero()
            low = size
            if len(queries):
                edge = torch.arange(size)
                allowed = edge < degree[queries]
                keys = key[torch.where(allowed, start[queries] + edge, 0)]
                block = Block(queries, keys, allowed[:, None])
                blocks.append(Block(*(x.to(device) for x in block)))
        return blocks

    def matrix(self, positions: int) -> Tensor:
        """See :meth:`AttentionMask.matrix`."""
        self.check(positions)
        allowed = torch.zeros(positions, positions, dtype=torch.bool)
        allowed[self.pairs[:, 0], self.pairs[:, 1]] = True
        return allowed


class ImageMask(AttentionMask):
    """A pixel of an image sees the rectangle around it (Ramachandran et al., 2019).

    Pixels are numbered row by row: pixel (y, x) is position ``y * width + x``.

    Args:
        height: number of rows of pixels.
        width: number of columns of pixels.
        reach: (rows up and down, columns left and right) that a pixel sees; None for all.

    Raises:
        ValueError: if a number is negative or not whole.
    """

    axes = 2

    def __init__(
        self, height: int, width: int, reach: tuple[int | None, int | None] = (1, 1)
    ) -> None:
        self.height, self.width = as_int("height", height), as_int("width", width)
        if not isinstance(reach, (tuple, list)) or len(reach) != 2:
            raise ValueError(f"reach: {reach!r}; (rows, columns)")
        self.reach = tuple(None if r is None else as_int("reach", r) for r in reach)

    def __repr__(self) -> str:
        return f"ImageMask({self.height}, {self.width}, reach={self.reach})"

    def check(self, positions: int) -> None:
        """See :meth:`AttentionMask.check`."""
        if positions != self.height * self.width:
            raise ValueError(
                f"mask: an image of {self.height} x {self.width} pixels for {positions} positions"
            )

    def coordinates(self, positions: int, device: torch.device | str = "cpu") -> Tensor:
        """Return (row, column) of every pixel; see :meth:`AttentionMask.coordinates`."""
        self.check(positions)
        number = torch.arange(positions, device=device)
        return torch.stack([number // max(1, self.width), number % max(1, self.width)], 1)

    def _blocks(self, positions: int, device: torch.device) -> list[Block]:
        limits = [
            size - 1 if reach is None else min(reach, size - 1)
            for reach, size in zip(self.reach, (self.height, self.width))
        ]
        coordinates = self.coordinates(positions, device)
        number = torch.arange(positions, device=device)
        if positions == 0:
            return []
        if math.prod(2 * limit + 1 for limit in limits) >= positions:
            distance = (coordinates[:, None] - coordinates).abs()
            allowed = distance <= torch.tensor(limits, device=device)
            return [Block(number[None], number[None], allowed.all(-1)[None])]
        steps = [torch.arange(-limit, limit + 1, device=device) for limit in limits]
        neighbour = coordinates[:, None] + torch.cartesian_prod(*steps)
        size = torch.tensor([self.height, self.width], device=device)
        inside = ((neighbour >= 0) & (neighbour < size)).all(-1)
        keys = torch.where(inside, neighbour[..., 0] * self.width + neighbour[..., 1], 0)
        return [Block(number[:, None], keys, inside[:, None])]

    def matrix(self, positions: int) -> Tensor:
        """See :meth:`AttentionMask.matrix`."""
        self.check(positions)
        rows, columns = self.coordinates(positions).T
        allowed = torch.ones(positions, positions, dtype=torch.bool)
        for axis, reach in zip((rows, columns), self.reach):
            if reach is not None:
                allowed &= (axis[:, None] - axis).abs() <= reach
        return allowed


def mask_from_config(value: object) -> AttentionMask:
    """Return a mask from the plain values that a configuration file can hold.

    Args:
        value: ``"everything"`` or null; ``[left, right]``, null in it for no limit;
            ``{grid: [height, width], reach: [rows, columns]}``;
            ``{edges: [[query, key], ...], nodes: number}``. A mask is returned as it is.

    Raises:
        ValueError: for anything else.
    """
    if isinstance(value, AttentionMask):
        return value
    if value is None or value == "everything":
        return FullMask()
    if isinstance(value, (list, tuple)) and len(value) == 2:
        return WindowMask(*value)
    if isinstance(value, dict) and set(value) == {"edges", "nodes"}:
        return GraphMask(value["edges"], value["nodes"])
    if isinstance(value, dict) and "grid" in value and set(value) <= {"grid", "reach"}:
        size = value["grid"]
        if isinstance(size, (list, tuple)) and len(size) == 2:
            return ImageMask(size[0], size[1], value.get("reach", (1, 1)))
    raise ValueError(
        f"mask: {value!r}; 'everything', [left, right], {{grid: [height, width], "
        "reach: [rows, columns]} or {edges: [[query, key], ...], nodes: number}"
    )
