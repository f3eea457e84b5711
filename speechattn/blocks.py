"""Overlapping blocks of rows, as views: where calls lie and how gradients are added back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from torch import Tensor


class Call(NamedTuple):
    """One attention call over ``count`` blocks, block ``n`` being

    queries ``[query + n * rows, query + (n + 1) * rows)`` over
    keys ``[key + n * rows, key + n * rows + keys)``.

    ``mask``: added to the scores, shape (rows, keys), (heads, rows, keys) or
    (count, 1 or heads, rows, keys); None if every query sees every key.
    """

    query: int
    key: int
    count: int
    rows: int
    keys: int
    mask: Tensor | None

    @property
    def mask4(self) -> Tensor | None:
        """The mask with axes for blocks and heads, which are 1 long where it is shared."""
        mask = self.mask
        return mask if mask is None else mask[(None,) * (4 - mask.ndim)]


def pieces(call: Call, most: int) -> Iterator[Call]:
    """The call as calls of ``most`` blocks or fewer."""
    for first in range(0, call.count, most):
        count = min(most, call.count - first)
        mask = call.mask
        if mask is not None and mask.ndim == 4 and mask.shape[0] > 1:
            mask = mask[first : first + count]
        shift = first * call.rows
        yield Call(call.query + shift, call.key + shift, count, call.rows, call.keys, mask)


def block_view(x: Tensor, start: int, count: int, rows: int, stride: int) -> Tensor:
    """Overlapping blocks of a flat tensor as a view of shape (count, heads, rows, d)."""
    _, heads, d = x.shape
    row = heads * d
    return x.as_strided(
        (count, heads, rows, d),
        (stride * row, d, row, 1),
        x.storage_offset() + start * row,
    )


def query_view(x: Tensor, call: Call) -> Tensor:
    """The rows of a call's queries, of the queries or what has their shape."""
    return block_view(x, call.query, call.count, call.rows, call.rows)


def views(q: Tensor, k: Tensor, v: Tensor, call: Call) -> tuple[Tensor, Tensor, Tensor]:
    """The blocks of a call."""
    place = call.key, call.count, call.keys, call.rows
    return query_view(q, call), block_view(k, *place), block_view(v, *place)


def add_blocks(total: Tensor, blocks: Tensor, call: Call) -> None:
    """Add blocks of a call's keys to the flat tensor that they are views of.

    Blocks overlap, but slices of one offset in all blocks do not.
    """
    for begin in range(0, call.keys, call.rows):
        size = min(call.rows, call.keys - begin)
        place = block_view(total, call.key + begin, call.count, size, call.rows)
        place.add_(blocks[:, :, begin : begin + size])
