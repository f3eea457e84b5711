"""Who sees whom in a graph and in an image; and what a configuration file says about it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from speechattn.attention.masks import AttentionMask, Block, FullMask, WindowMask
from speechattn.checks import as_int


class GraphMask(AttentionMask):
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


class ImageMask(AttentionMask):
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
        self.height, self.width = as_int("height", height), as_int("width", width)
        if not isinstance(reach, (tuple, list)) or len(reach) != 2:
            raise ValueError(f"reach: {reach!r}; (rows, columns)")
        self.reach = tuple(None if r is None else as_int("reach", r) for r in reach)

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


def mask_from_config(value: object) -> AttentionMask:
    """A visibility from the plain values that a configuration file can hold.

    Args:
        value: ``"everything"`` or null; ``[left, right]``, null in it for no limit;
            ``{grid: [height, width], reach: [rows, columns]}``;
            ``{edges: [[query, key], ...], nodes: number}``. A Visibility is returned as it is.

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
            return ImageMask(*size, reach=value.get("reach", (1, 1)))
    raise ValueError(
        f"visibility: {value!r}; 'everything', [left, right], {{grid: [height, width], "
        "reach: [rows, columns]} or {edges: [[query, key], ...], nodes: number}"
    )
