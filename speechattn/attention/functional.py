"""Attention as a function: :func:`attend` checks its arguments once and chooses the implementation.

    out_i = sum over the keys j that query i may see of  a_ij v_j

A mask says which keys those are (:class:`speechattn.attention.masks.AttentionMask`). Scores s_ij
and weights a_ij are chosen by name:

    scores    dot       s_ij = q_i . k_j / sqrt(d)              Vaswani et al., 2017
              additive  s_ij = e . tanh(q_i + k_j)              Bahdanau et al., 2015
    weights   softmax   a_ij = exp(s_ij) / sum_j' exp(s_ij')    Vaswani et al., 2017
              relu      a_ij = max(0, s_ij) / n_i               Wortsman et al., 2023

n_i is the number of keys that query i may see. (The paper divides by the length of the sequence.)
ReLU weights need not add up to 1. A query that may see no key gets zeros. A bias by distance (Shaw
et al., 2018; Raffel et al., 2020) can be added to the scores.

There are three implementations. Dot products with softmax in a window (truncated attention: Povey
et al., "A time-restricted self-attention layer for ASR", 2018) have compiled code on CPUs, for
float32 and bfloat16 (:mod:`speechattn.attention.kernels.autograd`), and FlexAttention on CUDA
(:mod:`speechattn.attention.flex`). Everything else is computed from PyTorch's operations on blocks
of queries (:mod:`speechattn.attention.blockwise`). Time and memory are proportional to the number
of pairs that the mask allows; padding costs nothing on CPUs.

Gradients can be differentiated again (``create_graph=True``), except FlexAttention's. PyTorch's
operations compute them then.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from speechattn.attention import flex, kernels
from speechattn.attention.blockwise import by_blocks
from speechattn.attention.inputs import check_tensor
from speechattn.attention.masks import AttentionMask, WindowMask, valid_frames, without_padding
from speechattn.attention.names import SCORES as SCORES
from speechattn.attention.names import WEIGHTS as WEIGHTS
from speechattn.attention.positions import DistanceBias
from speechattn.checks import as_int, check_choice, check_finite, check_lengths, check_vectors


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: AttentionMask,
    *,
    scores: str = "dot",
    weights: str = "softmax",
    score_vector: Tensor | None = None,
    bias: Callable[[Tensor], Tensor] | None = None,
    offset: int = 0,
    lengths: Tensor | None = None,
    known_finite: bool = False,
) -> Tensor:
    """Compute attention; the equations are at the top of this module.

    Time and memory are proportional to the pairs that the mask allows (times d for additive scores,
    all of which training keeps).

    Args:
        q: queries, shape (batch, queries, heads, d).
        k: keys, shape (batch, keys, heads, d).
        v: values, shape (batch, keys, heads, any width).
        mask: which keys a query may see.
        scores: one of :data:`SCORES`.
        weights: one of :data:`WEIGHTS`.
        score_vector: the vector e of additive scores, shape (heads, d), of the type of q.
        bias: function from distances (key minus query), shape (..., axes), to numbers that are
            added to the scores, shape (heads, ...); see
            :class:`speechattn.attention.positions.DistanceBias`.
        offset: position of query 0 among the keys, in a stream (windows only).
        lengths: positions of each sequence, shape (batch,), when they differ. What lies beyond a
            length is ignored, whatever it holds, and its outputs are zero.
        known_finite: whether the caller has already checked for NaN and infinity.

    Returns:
        Shape (batch, queries, heads, width of the values).

    Raises:
        ValueError: for shapes, names, lengths or offsets that do not fit, and for NaN or infinity.
        TypeError: if ``mask`` is not a mask, or something else is no tensor.
    """
    _check(q, k, v, mask, scores, weights, score_vector, offset, lengths)
    if not known_finite:
        if lengths is not None:
            q = without_padding(q, lengths, offset)
            k, v = without_padding(k, lengths), without_padding(v, lengths)
        for name, x in (("q", q), ("k", k), ("v", v), ("score_vector", score_vector)):
            if x is not None:
                check_finite(name, x)
    return attend_unchecked(
        q,
        k,
        v,
        mask,
        scores=scores,
        weights=weights,
        score_vector=score_vector,
        bias=bias,
        offset=offset,
        lengths=lengths,
    )


def truncated_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    left: int | None,
    right: int | None,
    *,
    offset: int = 0,
    lengths: Tensor | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    """Compute attention in which query i sees keys ``i + offset - left`` to ``i + offset + right``.

    This is :func:`attend` with dot products, softmax and a window. It does not check for NaN and
    infinity; they may spread from a key to queries that are computed together with those that see
    it. On CPUs, gradients of any order are right.

    Args:
        q: queries, shape (batch, queries, heads, d).
        k: keys, shape (batch, keys, heads, d).
        v: values, shape (batch, keys, heads, any width).
        left: frames of the past that a query sees; None for all.
        right: frames of the future that a query sees; None for all.
        offset: position of query 0 among the keys (in a stream, keys of earlier chunks come first).
        lengths: frames of each sequence, shape (batch,), when they differ. Beyond its length a
            sequence has no keys, and its outputs are zero.
        bias: numbers added to the scores, shape (heads, left + right + 1). Column ``n`` is for keys
            ``n - left`` frames after the query. Gradients reach it.

    Returns:
        Shape (batch, queries, heads, width of the values).

    Raises:
        ValueError: for shapes, types, windows, offsets or lengths that do not fit each other.
        TypeError: if q, k or v is no tensor.
    """
    mask = WindowMask(left, right)
    add_bias = None if bias is None else _bias_by_distance(bias, q, left, right)
    return attend(q, k, v, mask, bias=add_bias, offset=offset, lengths=lengths, known_finite=True)


@kernels.runtime.apart
def attend_unchecked(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: AttentionMask,
    *,
    scores: str = "dot",
    weights: str = "softmax",
    score_vector: Tensor | None = None,
    bias: Callable[[Tensor], Tensor] | None = None,
    offset: int = 0,
    lengths: Tensor | None = None,
    concatenated: Sequence[int] | None = None,
) -> Tensor:
    """Compute what :func:`attend` does, for arguments that are known to be right.

    Args:
        q, k, v, mask, scores, weights, score_vector, bias, offset, lengths: see :func:`attend`.
        concatenated: lengths of the sequences that are concatenated in a batch of one, or None.
            Each is computed as if it were alone.
    """
    if (
        scores == "dot"
        and weights == "softmax"
        and isinstance(mask, WindowMask)
        and k.shape == v.shape
        and k.shape[1]
        and (q.shape[1] == k.shape[1] or (q.shape[0] == 1 and lengths is None))
    ):
        return _attend_in_window(q, k, v, mask, bias, offset, lengths, concatenated)
    if concatenated is None:
        return by_blocks(q, k, v, mask, weights, score_vector, bias, offset, lengths)
    parts = zip(*(x.split(list(concatenated), 1) for x in (q, k, v)))
    return torch.cat(
        [by_blocks(a, b, c, mask, weights, score_vector, bias) for a, b, c in parts], 1
    )


def _attend_in_window(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: WindowMask,
    bias: Callable[[Tensor], Tensor] | None,
    offset: int,
    lengths: Tensor | None,
    concatenated: Sequence[int] | None,
) -> Tensor:
    """Compute attention with dot products and softmax in a window."""
    if not (q.shape[0] and q.shape[1]):
        return q * 0
    keys = k.shape[1]
    left = keys if mask.left is None else min(mask.left, keys)
    right = keys if mask.right is None else min(mask.right, keys)
    table = None
    if isinstance(bias, DistanceBias):
        table = bias.in_window(left, right)
    elif bias is not None:
        table = bias(torch.arange(-left, right + 1, device=q.device)[:, None])
    by_operations = functools.partial(
        _by_operations,
        left=left,
        right=right,
        offset=offset,
        lengths=lengths,
        concatenated=concatenated,
    )
    if kernels.autograd.is_offered(q, k, v, table):
        return kernels.autograd.attend(
            q, k, v, left, right, again=by_operations, offset=offset, lengths=lengths,
            concatenated=concatenated, bias=table,
        )  # fmt: skip
    return by_operations(q, k, v, table)


def _by_operations(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    table: Tensor | None,
    *,
    left: int,
    right: int,
    offset: int,
    lengths: Tensor | None,
    concatenated: Sequence[int] | None,
) -> Tensor:
    """Compute attention in a window by PyTorch's operations, with biases of the distances."""
    if concatenated is not None:
        parts = zip(*(x.split(list(concatenated), 1) for x in (q, k, v)))
        compute = functools.partial(
            _by_operations, left=left, right=right, offset=0, lengths=None, concatenated=None
        )
        outputs = [compute(a, b, c, table) for a, b, c in parts if a.numel()]
        return torch.cat(outputs, 1) if outputs else q * 0
    keys = k.shape[1]
    padding = None
    if lengths is not None:
        lengths = lengths.to(q.device)
        padding = ~valid_frames(lengths, keys)[:, :, None, None]
        q, k, v = (x.masked_fill(padding, 0) for x in (q, k, v))  # NaN in padding must not spread
    if flex.is_offered(q):
        out = flex.attend(q, k, v, left, right, offset=offset, lengths=lengths, bias=table)
        return out if padding is None else out.masked_fill(padding, 0)
    add_bias = None if table is None else _lookup(table, left, right)
    return by_blocks(
        q, k, v, WindowMask(left, right), bias=add_bias, offset=offset, lengths=lengths
    )


def _lookup(table: Tensor, left: int, right: int) -> Callable[[Tensor], Tensor]:
    """Return the function from distances, shape (..., 1), to the columns of a table of biases."""
    return lambda distance: table[:, (distance[..., 0] + left).clamp(0, left + right)]


def _check(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: AttentionMask,
    scores: str,
    weights: str,
    score_vector: Tensor | None,
    offset: int,
    lengths: Tensor | None,
) -> None:
    """Check the arguments of :func:`attend`, all but the numbers in the tensors."""
    if not isinstance(mask, AttentionMask):
        raise TypeError(f"mask: {mask!r}; an AttentionMask, such as WindowMask(left, right)")
    check_choice("scores", scores, SCORES)
    check_choice("weights", weights, WEIGHTS)
    for name, x in (("q", q), ("k", k), ("v", v)):
        check_tensor(name, x)
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
    if (scores == "additive") != (score_vector is not None):
        presence = "missing" if score_vector is None else "given"
        raise ValueError(f"score_vector: {presence} for {scores} scores")
    if score_vector is not None:
        check_tensor("score_vector", score_vector)
        if score_vector.shape != q.shape[2:] or score_vector.dtype != q.dtype:
            raise ValueError(
                f"score_vector: shape {tuple(score_vector.shape)} of {score_vector.dtype}; "
                f"(heads, d) = {tuple(q.shape[2:])} of {q.dtype}"
            )
    if lengths is not None:
        check_lengths(lengths, q.shape[0], k.shape[1])


def _bias_by_distance(
    bias: Tensor, q: Tensor, left: int | None, right: int | None
) -> Callable[[Tensor], Tensor]:
    """Check a table of biases for a window and return it as a function of the distance."""
    if left is None or right is None:
        raise ValueError(f"bias: given for a window of left={left}, right={right}; it needs limits")
    check_tensor("q", q)
    if q.ndim != 4:
        raise ValueError(f"q: shape {tuple(q.shape)}; (batch, positions, heads, d)")
    shape = q.shape[2], left + right + 1
    if not isinstance(bias, Tensor) or bias.shape != shape:
        given = tuple(bias.shape) if isinstance(bias, Tensor) else repr(bias)
        raise ValueError(f"bias: {given}; a tensor of shape (heads, left + right + 1) = {shape}")
    if not bias.is_floating_point() or not bool(torch.isfinite(bias).all()):
        raise ValueError(f"bias: {bias.dtype} with NaN or infinity, or whole; finite numbers only")
    return _lookup(bias, left, right)
