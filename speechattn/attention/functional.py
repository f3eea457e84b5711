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

NaN and infinity are not looked for here, but in :func:`speechattn.attention.functional.attend` and in the layers:
they would spread from a key to queries that are computed beside those that see it.

The attention family: scores, weights, positions and visibility in any combination.

    out_i = sum over the keys j that i sees of  a_ij v_j

What i sees is a :class:`speechattn.attention.masks.AttentionMask`; how a_ij comes about is chosen by name:

    scores    dot       s_ij = q_i . k_j / sqrt(d)              Vaswani et al., 2017
              additive  s_ij = e . tanh(q_i + k_j)              Bahdanau et al., 2015
    weights   softmax   a_ij = exp(s_ij) / sum_j' exp(s_ij')    Vaswani et al., 2017
              relu      a_ij = max(0, s_ij) / n_i               Wortsman et al., 2023

n_i is the number of keys that i sees (the paper, whose sequences are whole, divides by their
length). Under ReLU the weights need not add up to 1. A query that sees nothing gets zeros. Dot
products with softmax in a window go to :func:`truncated_attention`, which is several times as fast
in 32 bits and in bfloat16 as the blocks that do everything else.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from speechattn.attention import flex
from speechattn.attention.blockwise import by_blocks
from speechattn.attention.kernels import autograd
from speechattn.attention.masks import AttentionMask, WindowMask, valid_frames, without_padding
from speechattn.checks import as_int, check_choice, check_finite, check_lengths, check_vectors

SCORES = ("dot", "additive")
WEIGHTS = ("softmax", "relu")


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
    return by_blocks(q, k, v, WindowMask(left, right), **place)


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
    if as_int("offset", offset) + q.shape[1] > k.shape[1]:
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


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    visibility: AttentionMask,
    *,
    scores: str = "dot",
    weights: str = "softmax",
    energy: Tensor | None = None,
    bias: Callable[[Tensor], Tensor] | None = None,
    offset: int = 0,
    lengths: Tensor | None = None,
    known_finite: bool = False,
) -> Tensor:
    """Attention of one kind of the family; the equations are at the top of this module.

    Time and memory are proportional to the pairs that see each other (times d for additive
    scores, of which training keeps every one).

    Args:
        q: queries, shape (batch, queries, heads, d).
        k: keys, shape (batch, keys, heads, d).
        v: values, shape (batch, keys, heads, any width).
        visibility: which keys a query sees.
        scores: of :data:`SCORES`.
        weights: of :data:`WEIGHTS`.
        energy: the vector e of additive scores, shape (heads, d).
        bias: gives numbers to add to the scores, shape (heads, ...), for distances (key minus
            query) of shape (..., axes); see :class:`speechattn.attention.positions.DistanceBias`.
        offset: position of query 0 among the keys, in a stream (windows only).
        lengths: positions of each sequence, shape (batch,), when they differ; what lies beyond
            is not seen, whatever it holds, and gets zeros.
        known_finite: the caller has looked for NaN and infinity already.

    Returns:
        Shape (batch, queries, heads, width of the values).

    Raises:
        ValueError: for shapes, names, lengths or offsets that do not fit, and for NaN or infinity.
        TypeError: if the visibility is none.
    """
    _check_masked(q, k, v, visibility, scores, weights, energy, offset, lengths)
    if lengths is not None and not known_finite:
        q = without_padding(q, lengths, offset)
        k, v = without_padding(k, lengths), without_padding(v, lengths)
    if not known_finite:
        for name, x in (("q", q), ("k", k), ("v", v)):
            check_finite(name, x)
    simple = scores == "dot" and weights == "softmax"
    if simple and isinstance(visibility, WindowMask) and v.shape == k.shape and k.shape[1]:
        one = q.shape[0] == 1 and lengths is None
        if one or q.shape[1] == k.shape[1]:
            return _truncated(q, k, v, visibility, bias, offset, lengths)
    return by_blocks(q, k, v, visibility, weights, energy, bias, offset, lengths)


def _truncated(q, k, v, window, bias, offset, lengths) -> Tensor:
    """Dot products with softmax in a window."""
    left, right, table = window.left, window.right, None
    if bias is not None:
        # All keys are within as many positions as there are.
        left, right = (k.shape[1] if side is None else side for side in (left, right))
        table = bias(torch.arange(-left, right + 1, device=q.device)[:, None])
    return truncated_attention(q, k, v, left, right, offset=offset, lengths=lengths, bias=table)


def _check_masked(q, k, v, visibility, scores, weights, energy, offset, lengths) -> None:
    if not isinstance(visibility, AttentionMask):
        raise TypeError(f"visibility: {visibility!r}; a Visibility, such as Window(left, right)")
    check_choice("scores", scores, SCORES)
    check_choice("weights", weights, WEIGHTS)
    for name, x in (("q", q), ("k", k), ("v", v)):
        if x.ndim != 4:
            raise ValueError(f"{name}: shape {tuple(x.shape)}; (batch, positions, heads, d)")
    if (q.shape[0], *q.shape[2:]) != (k.shape[0], *k.shape[2:]) or k.shape[:3] != v.shape[:3]:
        raise ValueError(
            f"q: shape {tuple(q.shape)}, k: {tuple(k.shape)}, v: {tuple(v.shape)}; "
            "(batch, positions, heads, d), alike but for the positions of q and the d of v"
        )
    if as_int("offset", offset) + q.shape[1] > k.shape[1]:
        raise ValueError(
            f"offset: {offset} with {q.shape[1]} queries and {k.shape[1]} keys; "
            "every query needs a key at its own position"
        )
    check_vectors(q, k, v)
    if (scores == "additive") != (energy is not None):
        raise ValueError(f"energy: {'missing' if energy is None else 'given'} for {scores} scores")
    if energy is not None and energy.shape != q.shape[2:]:
        raise ValueError(f"energy: shape {tuple(energy.shape)}; (heads, d) = {tuple(q.shape[2:])}")
    if lengths is not None:
        check_lengths(lengths, q.shape[0], k.shape[1])
