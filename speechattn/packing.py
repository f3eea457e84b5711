"""A batch of sequences laid end to end, without what pads them, and taken apart again.

With gradients of their own: PyTorch's, through slices, would fill the whole batch with zeros for
every sequence.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def lay_end_to_end(x: Tensor, sizes: Sequence[int], before: int = 0, after: int = 0) -> Tensor:
    """The first rows of each sequence, one after another.

    Args:
        x: shape (batch, frames, ...).
        sizes: how many rows of each.
        before, after: rows of zeros at both ends.

    Returns:
        Shape (before + sum of sizes + after, ...).
    """
    return _LayEndToEnd.apply(x, sizes, before, after)


def take_apart(flat: Tensor, sizes: Sequence[int], frames: int) -> Tensor:
    """The opposite of :func:`lay_end_to_end` without rows before.

    Args:
        flat: shape (sum of sizes or more, ...).
        sizes: rows of each sequence.
        frames: of the longest.

    Returns:
        Shape (number of sizes, frames, ...), zeros beyond the sizes.
    """
    return _TakeApart.apply(flat, sizes, frames)


def _lay(x: Tensor, sizes: Sequence[int], before: int, after: int) -> Tensor:
    ends = (x.new_zeros(rows, *x.shape[2:]) for rows in (before, after))
    return torch.cat([next(ends), *(part[:size] for part, size in zip(x, sizes)), next(ends)])


def _take(flat: Tensor, sizes: Sequence[int], frames: int, start: int) -> Tensor:
    out = flat.new_empty(len(sizes), frames, *flat.shape[1:])
    for part, size in zip(out, sizes):
        part[:size] = flat[start : start + size]
        part[size:] = 0
        start += size
    return out


class _LayEndToEnd(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, sizes, before, after):
        ctx.sizes, ctx.frames, ctx.before = sizes, x.shape[1], before
        return _lay(x, sizes, before, after)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        return _take(grad, ctx.sizes, ctx.frames, ctx.before), None, None, None


class _TakeApart(torch.autograd.Function):
    @staticmethod
    def forward(ctx, flat, sizes, frames):
        ctx.sizes, ctx.rows = sizes, len(flat)
        return _take(flat, sizes, frames, 0)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        return _lay(grad, ctx.sizes, 0, ctx.rows - sum(ctx.sizes)), None, None
