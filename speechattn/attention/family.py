"""The attention family: scores, weights, positions and visibility in any combination.

    out_i = sum over the keys j that i sees of  a_ij v_j

What i sees is a :class:`speechattn.attention.masks.Visibility`; how a_ij comes about is chosen by name:

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

from speechattn.attention.blockwise import by_blocks
from speechattn.attention.functional import truncated_attention
from speechattn.attention.masks import Visibility, Window
from speechattn.checks import check_choice, check_finite, check_lengths, check_vectors, whole_number

SCORES = ("dot", "additive")
WEIGHTS = ("softmax", "relu")


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    visibility: Visibility,
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
    _check(q, k, v, visibility, scores, weights, energy, offset, lengths)
    if lengths is not None and not known_finite:
        q = without_padding(q, lengths, offset)
        k, v = without_padding(k, lengths), without_padding(v, lengths)
    if not known_finite:
        for name, x in (("q", q), ("k", k), ("v", v)):
            check_finite(name, x)
    simple = scores == "dot" and weights == "softmax"
    if simple and isinstance(visibility, Window) and v.shape == k.shape and k.shape[1]:
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


def _check(q, k, v, visibility, scores, weights, energy, offset, lengths) -> None:
    if not isinstance(visibility, Visibility):
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
    if whole_number("offset", offset) + q.shape[1] > k.shape[1]:
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


def without_padding(x: Tensor, lengths: Tensor, first: int = 0) -> Tensor:
    """Zeros beyond the lengths; x: shape (batch, positions, ...), from position ``first`` on."""
    position = first + torch.arange(x.shape[1], device=x.device)
    beyond = position >= lengths.to(x.device)[:, None]
    return x.masked_fill(beyond.view(*beyond.shape, *[1] * (x.ndim - 2)), 0)
