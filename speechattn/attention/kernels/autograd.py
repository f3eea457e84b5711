"""Attention in a window on a CPU: :mod:`speechattn.attention.kernels.window` for tensors, with gradients.

Sequences are computed where they lie: queries, keys and values may be views of one projection, and
what pads a batch is never looked at. Cores share the queries going forward, and the heads going
back, where what one of them adds up must not be added to by another; so results are the same on any
number of them.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from speechattn.attention.kernels.llvm import LANES
from speechattn.attention.kernels.rows import end_to_end
from speechattn.attention.kernels.runtime import is_plain_cpu_tensor, parallel_for
from speechattn.attention.kernels.window import STRETCH, WindowJob, forward

TYPES = (torch.float32, torch.bfloat16)


def is_offered(q: Tensor, *others: Tensor | None) -> bool:
    """Whether attention of queries like these, with keys, values and a bias, is computed here."""
    return q.dtype in TYPES and is_plain_cpu_tensor(q, *others)


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    left: int,
    right: int,
    *,
    offset: int = 0,
    lengths: Tensor | None = None,
    sizes: Sequence[int] | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    """As :func:`speechattn.attention.functional.truncated_attention`, which checks the arguments.

    Args:
        q, k, v: shape (batch, frames, heads, d), float32 or bfloat16.
        left, right: frames that are seen.
        offset: position of query 0 among the keys.
        lengths: shape (batch,), or None.
        sizes: frames of sequences laid end to end in a batch of one, or None.
        bias: shape (heads, left + right + 1), or None.
    """
    d = q.shape[-1]
    extra = -d % LANES
    if extra:
        q, k, v = (F.pad(x, (0, extra)) for x in (q, k, v))
    padded = lengths is not None
    place = _Place(left, right, offset, 1 / math.sqrt(d), _sequences(q, k, lengths, sizes), padded)
    if torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in (q, k, v, bias)):
        out = _Windowed.apply(q, k, v, bias, place)
    else:
        out = _forward(q, k, v, bias, place)[0]
    return out[..., :d] if extra else out


class _Place(NamedTuple):
    """Who sees whom, and what scores are multiplied by; ``padded``: some rows are of no sequence."""

    left: int
    right: int
    offset: int
    scale: float
    sequences: np.ndarray
    padded: bool


class _Windowed(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q, k, v, bias, place):
        frames, heads = q.shape[1:3]
        room = 2, len(place.sequences), heads, frames + -frames % LANES
        sums = torch.empty(room, dtype=torch.float32, device="cpu")
        out, *rows = _forward(q, k, v, bias, place, sums)
        ctx.place = place
        ctx.save_for_backward(*rows, bias, out, sums)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        from speechattn.attention.kernels.window import backward

        q, k, v, bias, out, sums = ctx.saved_tensors
        place = ctx.place
        count = len(place.sequences)
        grad = _in_rows(grad)
        of_q = _rows_like(q, place)
        of_k, of_v = (_zeros(x.shape) for x in (k, v))
        table = _table(bias)
        of_bias = None if bias is None else _zeros((count, *table.shape))
        task = _task(q, k, v, out, place, table, sums)._replace(
            of_out=grad.data_ptr(),
            of_out_row=_row(grad),
            of_q=of_q.data_ptr(),
            of_k=of_k.data_ptr(),
            of_v=of_v.data_ptr(),
            of_bias=_address(of_bias),
        )
        code = functools.partial(backward, task, place.scale, place.sequences)
        held = q, k, v, out, sums, grad, of_q, of_k, of_v, table, of_bias
        parallel_for(code, count * q.shape[2], _work(q, place), held)
        if of_bias is not None:
            of_bias = of_bias.sum(0)[:, LANES:-LANES].flip(1).div(place.scale).to(bias.dtype)
        return of_q, of_k.to(k.dtype), of_v.to(v.dtype), of_bias, None


def _forward(q, k, v, bias, place, sums=None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The result, and queries, keys and values as they were taken."""
    q, k, v = _in_rows(q), _in_rows(k), _in_rows(v)
    out, table = _rows_like(q, place), _table(bias)
    task = _task(q, k, v, out, place, table, sums)
    code = functools.partial(forward, task, place.scale, place.sequences)
    stretches = int((-(-place.sequences[:, 1] // STRETCH)).sum())
    parallel_for(code, stretches, _work(q, place), (q, k, v, out, table, sums))
    return out, q, k, v


def _rows_like(q: Tensor, place: _Place) -> Tensor:
    """Room for rows like those of q; zeros for those that nothing is computed of."""
    make = torch.zeros if place.padded else torch.empty
    return make(q.shape, dtype=q.dtype, device="cpu")


def _zeros(shape: Sequence[int]) -> Tensor:
    return torch.zeros(shape, dtype=torch.float32, device="cpu")


def _work(q: Tensor, place: _Place) -> int:
    return q.numel() * (place.left + 1 + place.right)


def _task(q, k, v, out, place: _Place, table, sums) -> WindowJob:
    return WindowJob(
        q=q.data_ptr(),
        q_row=_row(q),
        k=k.data_ptr(),
        k_row=_row(k),
        v=v.data_ptr(),
        v_row=_row(v),
        out=out.data_ptr(),
        out_row=_row(out),
        heads=q.shape[2],
        dim=q.shape[3],
        half=int(q.dtype == torch.bfloat16),
        left=place.left,
        right=place.right,
        offset=place.offset,
        sums=_address(sums),
        sums_size=0 if sums is None else 4 * sums[0].numel(),
        padded=0 if sums is None else sums.shape[-1],
        bias=_address(table),
        of_out=0,
        of_out_row=0,
        of_q=0,
        of_k=0,
        of_v=0,
        of_bias=0,
    )


def _sequences(
    q: Tensor, k: Tensor, lengths: Tensor | None, sizes: Sequence[int] | None
) -> np.ndarray:
    """First query row, queries, first key row and keys of each sequence."""
    if sizes is not None:
        return end_to_end(sizes)
    batch, queries = q.shape[:2]
    keys = k.shape[1]
    if batch == 1 and lengths is None:
        return np.array([[0, queries, 0, keys]], np.int64)
    number = np.arange(batch, dtype=np.int64)
    here = (queries, keys) if lengths is None else (lengths.cpu().numpy().astype(np.int64),) * 2
    return np.stack(np.broadcast_arrays(number * queries, here[0], number * keys, here[1]), 1)


def _in_rows(x: Tensor) -> Tensor:
    """The tensor, or a copy, whose rows are equally far apart and hold their heads in a piece."""
    batch, frames, heads, d = x.shape
    of_batch, of_frame, of_head, of_number = x.stride()
    whole = of_number == 1 and (heads == 1 or of_head == d)
    whole = whole and (batch == 1 or of_batch == frames * of_frame)
    # contiguous() would leave the stride of a single frame as it is.
    return x if whole else x.clone(memory_format=torch.contiguous_format)


def _row(x: Tensor) -> int:
    return x.stride(1) * x.element_size()


def _address(x: Tensor | None) -> int:
    return 0 if x is None else x.data_ptr()


def _table(bias: Tensor | None) -> Tensor | None:
    """A bias as :class:`Task` wants it."""
    if bias is None:
        return None
    return F.pad(bias.detach().float() * math.log2(math.e), (LANES, LANES)).flip(1).contiguous()
