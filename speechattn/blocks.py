"""Attention calls over overlapping blocks of rows: the views, the fused CPU kernel, its gradient."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F


class Call(NamedTuple):
    """One fused attention call over ``count`` blocks, block ``n`` being

    queries ``[query + n * rows, query + (n + 1) * rows)`` over
    keys ``[key + n * rows, key + n * rows + keys)``.

    ``mask``: added to the scores, shape (rows, keys) or (count, 1, rows, keys); None if every
    query sees every key.
    """

    query: int
    key: int
    count: int
    rows: int
    keys: int
    mask: torch.Tensor | None


def run_calls(q, k, v, calls: list[Call]) -> torch.Tensor:
    """Carry out calls over flat tensors of shape (rows, heads, d)."""
    q, k, v = q.contiguous(), k.contiguous(), v.contiguous()
    if q.device.type == "cpu":
        return _BlockedAttention.apply(q, k, v, calls)
    return run_anywhere(q, k, v, calls)


def run_anywhere(q, k, v, calls: list[Call]) -> torch.Tensor:
    """The same with torch's public attention and its autograd, for every other device."""
    out = torch.zeros_like(q)
    for call in calls:
        mask = call.mask
        if mask is not None:
            mask = mask.expand(call.count, 1, call.rows, call.keys)
        blocks = F.scaled_dot_product_attention(*_views(q, k, v, call), attn_mask=mask)
        size = call.count * call.rows
        out[call.query : call.query + size] = blocks.transpose(1, 2).reshape(size, *q.shape[1:])
    return out


def _blocks(x: torch.Tensor, start: int, count: int, rows: int, stride: int) -> torch.Tensor:
    """Overlapping blocks of a flat tensor as a view of shape (count, heads, rows, d)."""
    _, heads, d = x.shape
    row = heads * d
    return x.as_strided(
        (count, heads, rows, d),
        (stride * row, d, row, 1),
        x.storage_offset() + start * row,
    )


class _BlockedAttention(torch.autograd.Function):
    """The calls through the fused CPU kernel, forward and backward.

    Autograd through overlapping views would copy every block; here the gradients of keys and
    values are added back slice by slice, slices of one offset never overlapping.
    """

    @staticmethod
    def forward(ctx, q, k, v, calls):
        out = torch.empty_like(q)
        saved = []
        for call in calls:
            blocks, logsumexp = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
                *_views(q, k, v, call), 0.0, False, attn_mask=_mask4(call)
            )
            _blocks(out, call.query, call.count, call.rows, call.rows).copy_(blocks)
            saved += [blocks, logsumexp]
        ctx.calls = calls
        ctx.save_for_backward(q, k, v, *saved)
        return out

    @staticmethod
    def backward(ctx, grad):
        q, k, v, *saved = ctx.saved_tensors
        grad = grad.contiguous()
        grad_q, grad_k, grad_v = (torch.zeros_like(x) for x in (q, k, v))
        for call, out, logsumexp in zip(ctx.calls, saved[::2], saved[1::2]):
            dq, dk, dv = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(
                _blocks(grad, call.query, call.count, call.rows, call.rows),
                *_views(q, k, v, call),
                out,
                logsumexp,
                0.0,
                False,
                attn_mask=_mask4(call),
            )
            _blocks(grad_q, call.query, call.count, call.rows, call.rows).add_(dq)
            for begin in range(0, call.keys, call.rows):
                size = min(call.rows, call.keys - begin)
                piece = slice(begin, begin + size)
                place = (call.key + begin, call.count, size, call.rows)
                _blocks(grad_k, *place).add_(dk[:, :, piece])
                _blocks(grad_v, *place).add_(dv[:, :, piece])
        return grad_q, grad_k, grad_v, None


def _views(q, k, v, call: Call):
    return (
        _blocks(q, call.query, call.count, call.rows, call.rows),
        _blocks(k, call.key, call.count, call.keys, call.rows),
        _blocks(v, call.key, call.count, call.keys, call.rows),
    )


def _mask4(call: Call) -> torch.Tensor | None:
    return call.mask if call.mask is None or call.mask.ndim == 4 else call.mask[None, None]
