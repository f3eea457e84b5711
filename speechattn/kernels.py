"""Two ways to carry out attention calls on a CPU, forward and backward, and one for other devices.

- *fused*: PyTorch's flash kernel for CPUs, fed with views. The fastest in float32.
- *products*: two batched matrix products with a softmax between them, in which whatever the
  processor has for half-precision products comes to bear: 1.3 to 1.8 times as fast as the flash
  kernel in bfloat16, three times with gradients. It also gives gradients of masks.

Autograd through overlapping views would copy every block; here the gradients of keys and values
are added back slice by slice (:func:`speechattn.blocks.add_blocks`). A call with many blocks is
done in pieces that stay in the cache, so that memory beyond the inputs and the output is constant.
"""

from __future__ import annotations

import functools
import math

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from speechattn.blocks import Call, add_blocks, pieces, query_view, views

FUSED_BYTES = 1 << 23  # of the results of a piece of the flash kernel
FUSED_BLOCKS = 64  # in a piece of its backward pass, whose gradients are added while in the cache
PRODUCT_BYTES = 1 << 22  # of all blocks in a piece of the products: they are gone over three times
LARGEST_PRODUCT = 1 << 20  # scores of a block and head

_flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_flash_backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward


def run_calls(q: Tensor, k: Tensor, v: Tensor, calls: list[Call]) -> Tensor:
    """Carry out calls over flat tensors of shape (rows, heads, d); every query is in one call."""
    q, k, v = q.contiguous(), k.contiguous(), v.contiguous()
    if q.device.type != "cpu":
        return run_anywhere(q, k, v, calls)
    masks = [call.mask for call in calls]
    learns = torch.is_grad_enabled()
    of_masks = learns and any(mask is not None and mask.requires_grad for mask in masks)
    products = of_masks or _products_are_faster(q, calls)
    if of_masks or (learns and any(x.requires_grad for x in (q, k, v))):
        return (_Products if products else _Fused).apply(q, k, v, calls, *masks)
    out = torch.empty_like(q)
    for call in calls:
        (_products if products else _fused)(q, k, v, call, out)
    return out


def _products_are_faster(q: Tensor, calls: list[Call]) -> bool:
    if q.dtype is not torch.bfloat16 or not fast_bfloat16():
        return False
    # The scores of attention to everything would fill the memory; the flash kernel has none.
    return max(call.rows * call.keys for call in calls) <= LARGEST_PRODUCT


def run_anywhere(q: Tensor, k: Tensor, v: Tensor, calls: list[Call]) -> Tensor:
    """The same with torch's public attention and its autograd, for every other device."""
    out = torch.zeros_like(q)
    for call in calls:
        mask = call.mask4
        if mask is not None:
            mask = mask.expand(call.count, -1, -1, -1)
        blocks = F.scaled_dot_product_attention(*views(q, k, v, call), attn_mask=mask)
        size = call.count * call.rows
        out[call.query : call.query + size] = blocks.transpose(1, 2).reshape(size, *q.shape[1:])
    return out


@functools.cache
def fast_bfloat16() -> bool:
    """Whether oneDNN multiplies bfloat16 on this processor; if not, it goes number by number."""
    return torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()


# --- the flash kernel -----------------------------------------------------------------------------


def _fused(q, k, v, call: Call, out: Tensor, logsumexps: Tensor | None = None) -> None:
    """Write a call's result into ``out``, and into ``logsumexps`` what the gradient needs."""
    most = max(1, FUSED_BYTES // (call.rows * q[0].numel() * q.element_size()))
    for piece in pieces(call, most):
        blocks, logsumexp = _flash(*views(q, k, v, piece), 0.0, False, attn_mask=piece.mask4)
        query_view(out, piece).copy_(blocks)
        if logsumexps is not None:
            # Copied: small tensors kept between large ones freed would break up the memory.
            logsumexps[_place(piece, call)] = logsumexp


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q, k, v, calls, *masks):
        out = torch.empty_like(q)
        wide = torch.promote_types(q.dtype, torch.float32)
        saved = []
        for call in calls:
            shape = call.count, call.rows, q.shape[1]
            saved.append(q.new_empty(shape, dtype=wide).transpose(1, 2))  # as the kernel has it
            _fused(q, k, v, call, out, saved[-1])
        ctx.calls = calls
        ctx.save_for_backward(q, k, v, out, *saved)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        q, k, v, out, *saved = ctx.saved_tensors
        grad = grad.contiguous()
        grads = [torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)]
        for call, logsumexps in zip(ctx.calls, saved, strict=True):
            for piece in pieces(call, FUSED_BLOCKS):
                dq, dk, dv = _flash_backward(
                    query_view(grad, piece),
                    *views(q, k, v, piece),
                    query_view(out, piece),
                    logsumexps[_place(piece, call)],
                    0.0,
                    False,
                    attn_mask=piece.mask4,
                )
                _add(grads, dq, dk, dv, piece)
        return *grads, None, *[None] * len(ctx.calls)


# --- matrix products ------------------------------------------------------------------------------


def _products(q, k, v, call: Call, out: Tensor, weights: Tensor | None = None) -> None:
    """Write a call's result into ``out``, and into ``weights`` what the gradient needs."""
    heads, d = q.shape[1:]
    most = _blocks_at_once(call, q)
    keep = weights is not None
    if not keep:
        weights = q.new_empty(min(most, call.count), heads, call.rows, call.keys)
    for piece in pieces(call, most):
        queries, keys, values = (_flat(x) for x in views(q, k, v, piece))
        part = weights[_place(piece, call) if keep else slice(piece.count)]
        if piece.mask is not None:
            part.copy_(piece.mask4)
        part = part.flatten(0, 1)
        beta = 0 if piece.mask is None else 1
        torch.baddbmm(part, queries, keys.mT, beta=beta, alpha=1 / math.sqrt(d), out=part)
        torch.softmax(part, -1, out=part)
        result = torch.bmm(part, values, out=torch.empty_like(queries))
        query_view(out, piece).copy_(_blocks(result, piece))


class _Products(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q, k, v, calls, *masks):
        out = torch.empty_like(q)
        saved = []
        for call in calls:
            saved.append(q.new_empty(call.count, q.shape[1], call.rows, call.keys))
            _products(q, k, v, call, out, saved[-1])
        ctx.calls = calls
        ctx.save_for_backward(q, k, v, *saved)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        q, k, v, *saved = ctx.saved_tensors
        grad = grad.contiguous()
        grads = [torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)]
        of_masks = []
        with torch.autocast("cpu", enabled=False):  # a backward pass may run under it
            for call, weights, wanted in zip(ctx.calls, saved, ctx.needs_input_grad[4:]):
                parts = []
                for piece in pieces(call, _blocks_at_once(call, q)):
                    part = weights[_place(piece, call)].flatten(0, 1)
                    parts.append(_products_backward(grad, grads, q, k, v, piece, part, wanted))
                of_masks.append(_gradient_of_mask(parts, call.mask) if wanted else None)
        scale = 1 / math.sqrt(q.shape[-1])
        return grads[0].mul_(scale), grads[1].mul_(scale), grads[2], None, *of_masks


def _products_backward(grad, grads, q, k, v, piece, weights, wanted) -> Tensor | None:
    """Add to the gradients (those of q and k lack the scale); returns that of the mask, if wanted,
    summed over whatever the mask is shared by."""
    queries, keys, values = (_flat(x) for x in views(q, k, v, piece))
    of_out = _flat(query_view(grad, piece))
    of_values = torch.bmm(weights.mT, of_out)
    of_weights = torch.bmm(of_out, values.mT)
    of_scores = torch._softmax_backward_data(of_weights, weights, -1, weights.dtype)
    of_queries, of_keys = torch.bmm(of_scores, keys), torch.bmm(of_scores.mT, queries)
    _add(grads, *(_blocks(x, piece) for x in (of_queries, of_keys, of_values)), piece)
    if not wanted:
        return None
    wide = torch.promote_types(q.dtype, torch.float32)
    return _blocks(of_scores, piece).to(wide).sum_to_size(piece.mask4.shape)


def _gradient_of_mask(parts: list[Tensor], mask: Tensor) -> Tensor:
    shared = mask.ndim < 4 or mask.shape[0] == 1
    total = sum(parts) if shared else torch.cat(parts)
    return total.view(mask.shape).to(mask.dtype)


def _blocks_at_once(call: Call, q: Tensor) -> int:
    heads, d = q.shape[1:]
    numbers = call.rows * call.keys + 2 * (call.rows + call.keys) * d
    return max(1, PRODUCT_BYTES // (heads * numbers * q.element_size()))


def _place(piece: Call, call: Call) -> slice:
    """The blocks of a call that are those of its piece."""
    first = (piece.query - call.query) // call.rows
    return slice(first, first + piece.count)


def _flat(blocks: Tensor) -> Tensor:
    """Blocks (count, heads, rows, d) as a contiguous (count * heads, rows, d)."""
    return blocks.contiguous().flatten(0, 1)


def _blocks(flat: Tensor, piece: Call) -> Tensor:
    return flat.unflatten(0, (piece.count, -1))


def _add(grads, dq, dk, dv, piece: Call) -> None:
    query_view(grads[0], piece).copy_(dq)  # a query is in one block only
    add_blocks(grads[1], dk, piece)
    add_blocks(grads[2], dv, piece)
