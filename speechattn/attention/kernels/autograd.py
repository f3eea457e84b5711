"""Attention in a window on CPUs: the compiled code of ``window.py`` for tensors, with gradients.

Tensors are used where they lie: queries, keys and values may be views of one projection, and the
padding of a batch is never read. Cores share the queries of the forward pass. In the backward pass
they share the heads, because the queries of a head add to the same gradients. So results do not
depend on the number of cores. Where the gradients themselves may be differentiated
(``create_graph=True``), PyTorch's operations compute them.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from speechattn.attention.kernels.llvm import DOT_BF16, FLOAT_BYTES, LANES
from speechattn.attention.kernels.rows import sequence_table
from speechattn.attention.kernels.runtime import is_plain_cpu_tensor
from speechattn.attention.kernels.threads import parallel_for
from speechattn.attention.kernels.window import STRETCH, WindowJob, forward, forward_bf16

SUPPORTED_DTYPES = (torch.float32, torch.bfloat16)


def is_offered(q: Tensor, *others: Tensor | None) -> bool:
    """Return whether this module computes attention for queries like q, keys, values and a bias."""
    return q.dtype in SUPPORTED_DTYPES and is_plain_cpu_tensor(q, *others)


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    left: int,
    right: int,
    *,
    again: Callable[..., Tensor],
    offset: int = 0,
    lengths: Tensor | None = None,
    concatenated: Sequence[int] | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    """Compute truncated attention, for arguments that are known to be right.

    Args:
        q, k, v: shape (batch, frames, heads, d), float32 or bfloat16.
        left, right: limits of the window, in frames.
        again: function from q, k, v and bias to the same by PyTorch's operations, whose gradients
            can be differentiated.
        offset: position of query 0 among the keys.
        lengths: frames of each sequence, shape (batch,), or None.
        concatenated: lengths of the sequences that are concatenated in a batch of one, or None.
        bias: numbers added to the scores, shape (heads, left + right + 1), or None.
    """
    d = q.shape[-1]
    extra = -d % (2 * LANES if _in_pairs(q) else LANES)
    if extra:
        q, k, v = (F.pad(x, (0, extra)) for x in (q, k, v))
    sequences = _sequences(q, k, lengths, concatenated)
    window = _Window(left, right, offset, 1 / math.sqrt(d), sequences, lengths is not None)
    if torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in (q, k, v, bias)):
        # Laid out before, so that what the backward pass keeps is part of the graph.
        q, k, v = _in_rows(q), _in_rows(k), _in_rows(v)
        out = _WindowAttention.apply(q, k, v, bias, window, again)
    else:
        out = _forward(q, k, v, bias, window)[0]
    return out[..., :d] if extra else out


class _Window(NamedTuple):
    """Which keys the queries see.

    Attributes:
        left, right: limits of the window, in frames.
        offset: position of query 0 among the keys.
        scale: factor of the scores.
        sequences: where the sequences lie, see :func:`speechattn.attention.kernels.window.forward`.
        is_padded: whether some rows belong to no sequence.
    """

    left: int
    right: int
    offset: int
    scale: float
    sequences: np.ndarray
    is_padded: bool


class _WindowAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q, k, v, bias, window, again):
        frames, heads = q.shape[1:3]
        shape = 2, len(window.sequences), heads, frames + -frames % LANES
        stats = torch.empty(shape, dtype=torch.float32, device="cpu")
        out, *_ = _forward(q, k, v, bias, window, stats)
        ctx.window, ctx.again = window, again
        ctx.save_for_backward(q, k, v, bias, out, stats)
        return out

    @staticmethod
    def backward(ctx, grad):
        if torch.is_grad_enabled():  # create_graph=True
            return *_differentiable(ctx, grad), None, None
        from speechattn.attention.kernels.window_backward import backward, backward_bf16

        q, k, v, bias, out, stats = ctx.saved_tensors
        window = ctx.window
        count = len(window.sequences)
        grad = _in_rows(grad)
        grad_q = _rows_like(q, window)
        grad_k, grad_v = (_zeros(x.shape) for x in (k, v))
        table = _bias_table(bias, window)
        grad_bias = None if bias is None else _zeros((count, *table.shape))
        job = _job(q, k, v, out, window, table, stats)._replace(
            grad_out=grad.data_ptr(),
            grad_out_stride=_row_bytes(grad),
            grad_q=grad_q.data_ptr(),
            grad_k=grad_k.data_ptr(),
            grad_v=grad_v.data_ptr(),
            grad_bias=_address(grad_bias),
        )
        compute = backward_bf16 if _in_pairs(q) else backward
        run = functools.partial(compute, job, window.scale, window.sequences)
        keep_alive = q, k, v, out, stats, grad, grad_q, grad_k, grad_v, table, grad_bias
        parallel_for(run, count * q.shape[2], _work(q, window), keep_alive)
        if grad_bias is not None:
            grad_bias = grad_bias.sum(0)[:, LANES:-LANES].flip(1).div(window.scale).to(bias.dtype)
        return grad_q, grad_k.to(k.dtype), grad_v.to(v.dtype), grad_bias, None, None


def _differentiable(ctx, grad: Tensor) -> list[Tensor | None]:
    """Return the gradients of queries, keys, values and bias, as functions of all of these."""
    saved, needed = ctx.saved_tensors[:4], ctx.needs_input_grad[:4]
    # Views, because queries, keys and values may be one tensor, whose gradients must stay apart.
    given = [None if x is None else x.view_as(x) for x in saved]
    wanted = [x for x, is_needed in zip(given, needed) if is_needed]
    q, *others = given
    # Numbers that were added to a head do not count in the scale of its scores.
    out = ctx.again(q * (ctx.window.scale * math.sqrt(q.shape[-1])), *others)
    found = iter(torch.autograd.grad(out, wanted, grad, create_graph=True))
    return [next(found) if is_needed else None for is_needed in needed]


def _forward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias: Tensor | None,
    window: _Window,
    stats: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the result, and queries, keys and values as they were used.

    Args:
        q, k, v, bias, window: see :func:`attend`.
        stats: where the highest scores and the inverse sums are stored for the backward pass.
    """
    q, k, v = _in_rows(q), _in_rows(k), _in_rows(v)
    out, table = _rows_like(q, window), _bias_table(bias, window)
    job = _job(q, k, v, out, window, table, stats)
    compute = forward_bf16 if _in_pairs(q) else forward
    run = functools.partial(compute, job, window.scale, window.sequences)
    stretches = int((-(-window.sequences[:, 1] // STRETCH)).sum())
    parallel_for(run, stretches, _work(q, window), (q, k, v, out, table, stats))
    return out, q, k, v


def _rows_like(q: Tensor, window: _Window) -> Tensor:
    """Return room for rows like those of q, zeros where some belong to no sequence."""
    make = torch.zeros if window.is_padded else torch.empty
    return make(q.shape, dtype=q.dtype, device="cpu")


def _zeros(shape: Sequence[int]) -> Tensor:
    return torch.zeros(shape, dtype=torch.float32, device="cpu")


def _work(q: Tensor, window: _Window) -> int:
    """Return the number of multiplications, roughly."""
    return q.numel() * (window.left + 1 + window.right)


def _job(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    window: _Window,
    table: Tensor | None,
    stats: Tensor | None,
) -> WindowJob:
    return WindowJob(
        q=q.data_ptr(),
        q_stride=_row_bytes(q),
        k=k.data_ptr(),
        k_stride=_row_bytes(k),
        v=v.data_ptr(),
        v_stride=_row_bytes(v),
        out=out.data_ptr(),
        out_stride=_row_bytes(out),
        heads=q.shape[2],
        dim=q.shape[3],
        is_bf16=int(q.dtype == torch.bfloat16),
        left=window.left,
        right=window.right,
        offset=window.offset,
        row_max=_address(stats),
        row_max_width=0 if stats is None else stats.shape[-1],
        inverse_sum_shift=0 if stats is None else FLOAT_BYTES * stats[0].numel(),
        bias=_address(table),
    )


def _sequences(
    q: Tensor, k: Tensor, lengths: Tensor | None, concatenated: Sequence[int] | None
) -> np.ndarray:
    """Return first query row, queries, first key row and keys of each sequence."""
    if concatenated is not None:
        return sequence_table(concatenated)
    batch, queries = q.shape[:2]
    keys = k.shape[1]
    if batch == 1 and lengths is None:
        return np.array([[0, queries, 0, keys]], np.int64)
    number = np.arange(batch, dtype=np.int64)
    counts = (queries, keys) if lengths is None else (lengths.cpu().numpy().astype(np.int64),) * 2
    columns = np.broadcast_arrays(number * queries, counts[0], number * keys, counts[1])
    return np.stack(columns, 1)


def _in_rows(x: Tensor) -> Tensor:
    """Return the tensor, or a copy, with rows at equal distances and heads without gaps."""
    batch, frames, heads, d = x.shape
    of_batch, of_frame, of_head, of_number = x.stride()
    fits = of_number == 1 and (heads == 1 or of_head == d)
    fits = fits and (batch == 1 or of_batch == frames * of_frame)
    # contiguous() would leave the stride of a single frame as it is.
    return x if fits else x.clone(memory_format=torch.contiguous_format)


def _row_bytes(x: Tensor) -> int:
    return x.stride(1) * x.element_size()


def _address(x: Tensor | None) -> int:
    return 0 if x is None else x.data_ptr()


def _in_pairs(x: Tensor) -> bool:
    """Return whether the processor's products of bfloat16 are used."""
    return DOT_BF16 and x.dtype == torch.bfloat16


def _bias_table(bias: Tensor | None, window: _Window) -> Tensor | None:
    """Return a bias as :class:`WindowJob` needs it."""
    if bias is None:
        return None
    return F.pad(bias.detach().float() / window.scale, (LANES, LANES)).flip(1).contiguous()
