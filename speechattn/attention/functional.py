"""Truncated self-attention: every frame looks at a window around it.

    out_i = sum_j softmax_j(q_i . k_j / sqrt(d) + b_(j-i)) v_j      for  i - left <= j <= i + right

(scaled dot product: Vaswani et al., 2017; truncated to a window: Povey et al., "A time-restricted
self-attention layer for ASR", 2018).

Three ways lead there. On CPUs, :mod:`speechattn.attention.kernels.autograd` has code of its own for float32 and
bfloat16; on CUDA, :mod:`speechattn.attention.flex` does it; for every other device and type of number there are
PyTorch's operations on blocks (:mod:`speechattn.attention.blockwise`). A batch of sequences of different lengths
costs no more than their frames. A bias by distance (Shaw et al., 2018; Raffel et al., 2020) is added
to the scores. Time and memory are linear in the number of frames times the window; a window without
limits costs the square of the frames, as it must.

NaN and infinity are not looked for here, but in :func:`speechattn.attention.family.attend` and in the layers:
they would spread from a key to queries that are computed beside those that see it.
"""

from __future__ import annotations

import torch

from speechattn.attention import flex
from speechattn.attention.blockwise import by_blocks
from speechattn.attention.kernels import autograd
from speechattn.attention.masks import Window
from speechattn.checks import check_lengths, check_vectors, whole_number


def truncated_attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    left: int | None,
    right: int | None,
    *,
    offset: int = 0,
    lengths: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
) -> torch.Tensor:
    """Attention in which query i sees keys ``i + offset - left`` to ``i + offset + right``.

    Args:
        q: queries, shape (batch, queries, heads, d).
        k: keys, shape (batch, keys, heads, d).
        v: values, like ``k``.
        left: frames of the past a query sees; None for all.
        right: frames of the future a query sees; None for all.
        offset: position of query 0 among the keys (streaming: keys kept from earlier chunks).
        lengths: frames of each sequence, shape (batch,), when they differ; beyond its length a
            sequence has no keys, and its outputs are zero.
        bias: numbers b added to the scores, shape (heads, left + right + 1): column ``n`` is for
            keys ``n - left`` frames after the query. Gradients reach it.

    Returns:
        Shape (batch, queries, heads, d).

    Raises:
        ValueError: for shapes, types, windows, offsets or lengths that do not fit each other.
    """
    _check(q, k, v, left, right, offset, lengths, bias)
    batch, queries = q.shape[:2]
    keys = k.shape[1]
    if queries == 0 or batch == 0:
        return q * 0
    if bias is not None:
        bias = bias[:, left - min(left, keys) : left + min(right, keys) + 1]
    left = keys if left is None else min(left, keys)
    right = keys if right is None else min(right, keys)
    if (offset or queries != keys) and (batch > 1 or lengths is not None):
        raise ValueError(
            f"offset {offset}, {queries} queries, {keys} keys in a batch of {batch}: "
            "a batch has as many queries as keys and no offset; stream one sequence at a time"
        )
    place = {"offset": offset, "lengths": lengths, "bias": bias}
    if autograd.is_offered(q, k, v, bias):
        return autograd.attend(q, k, v, left, right, **place)
    if lengths is not None:
        lengths = place["lengths"] = lengths.to(q.device)
        beyond = ~valid_frames(lengths, keys)[:, :, None, None]
        q, k, v = (x.masked_fill(beyond, 0) for x in (q, k, v))  # NaN in padding must not spread
    if flex.is_offered(q):
        out = flex.attend(q, k, v, left, right, **place)
        return out if lengths is None else out.masked_fill(beyond, 0)
    if bias is not None:
        place["bias"] = lambda distance: bias[:, (distance[..., 0] + left).clamp(0, left + right)]
    return by_blocks(q, k, v, Window(left, right), **place)


def valid_frames(lengths: torch.Tensor, frames: int) -> torch.Tensor:
    """True where a frame lies within its sequence, shape (batch, frames)."""
    return torch.arange(frames, device=lengths.device) < lengths[:, None]


def _check(q, k, v, left, right, offset, lengths, bias) -> None:
    if q.ndim != 4 or k.ndim != 4:
        raise ValueError(
            f"q: shape {tuple(q.shape)}, k: shape {tuple(k.shape)}; "
            "both are (batch, frames, heads, d)"
        )
    if k.shape != v.shape:
        raise ValueError(f"k: shape {tuple(k.shape)}, v: shape {tuple(v.shape)}; they must agree")
    if (q.shape[0], *q.shape[2:]) != (k.shape[0], *k.shape[2:]):
        raise ValueError(
            f"q: shape {tuple(q.shape)}, k: shape {tuple(k.shape)}; batch, heads and d must agree"
        )
    check_vectors(q, k, v)
    for name, value in (("left", left), ("right", right)):
        if value is not None and (type(value) is not int or value < 0):
            raise ValueError(
                f"{name}: {value!r} frames; a whole number from 0 on, or None for no limit"
            )
    if whole_number("offset", offset) + q.shape[1] > k.shape[1]:
        raise ValueError(
            f"offset: {offset} with {q.shape[1]} queries and {k.shape[1]} keys; "
            "every query needs a key at its own position"
        )
    if lengths is not None:
        check_lengths(lengths, q.shape[0], q.shape[1])
    if bias is not None:
        _check_bias(bias, q, left, right)


def _check_bias(bias, q, left, right) -> None:
    if left is None or right is None:
        raise ValueError(f"bias: given for a window of left={left}, right={right}; it needs limits")
    shape = q.shape[2], left + right + 1
    if not isinstance(bias, torch.Tensor) or bias.shape != shape:
        found = tuple(bias.shape) if isinstance(bias, torch.Tensor) else repr(bias)
        raise ValueError(f"bias: {found}; a tensor of shape (heads, left + right + 1) = {shape}")
    if not bias.is_floating_point() or not bool(torch.isfinite(bias).all()):
        raise ValueError(f"bias: {bias.dtype} with NaN or infinity, or whole; finite numbers only")
