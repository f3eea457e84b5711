"""Attention with every mask, kind of scores and device, from PyTorch's operations on blocks.

Time, and the memory that training keeps, are proportional to the pairs that the mask allows. The
equations are in :mod:`speechattn.attention.functional`, the blocks in
:mod:`speechattn.attention.masks`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from speechattn.attention.masks import AttentionMask, Block

MAX_ELEMENTS = 1 << 24  # of the largest intermediate tensor: 64 MiB in float32


def by_blocks(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: AttentionMask,
    weights: str = "softmax",
    score_vector: Tensor | None = None,
    bias: Callable[[Tensor], Tensor] | None = None,
    offset: int = 0,
    lengths: Tensor | None = None,
) -> Tensor:
    """Compute what :func:`speechattn.attention.functional.attend` does, without its checks.

    Scores are additive if there is a score vector. Values beyond the lengths must be finite.

    Args:
        q, k, v, mask, weights, score_vector, bias, offset, lengths: see
            :func:`speechattn.attention.functional.attend`.
    """
    batch, queries, heads, d = q.shape
    keys = k.shape[1]
    out = v.new_zeros(batch, queries, heads, v.shape[-1])
    coordinates = mask.coordinates(keys, q.device)
    elements_per_pair = batch * heads * (1 if score_vector is None else d)
    for block in mask.blocks(keys, q.device, offset=offset, queries=queries):
        for piece in block.pieces(max(1, MAX_ELEMENTS // max(1, elements_per_pair))):
            score = score_pairs(q[:, piece.queries], k[:, piece.keys], score_vector)
            if bias is not None:
                key_at = coordinates[piece.keys][:, None]
                query_at = coordinates[piece.queries + offset][:, :, None]
                score = score + bias(key_at - query_at)
            weight = weigh_scores(score, _allowed(piece, offset, lengths), weights)
            result = torch.einsum("bhcrk,bckhd->bcrhd", weight.to(v.dtype), v[:, piece.keys])
            out[:, piece.queries] = result.to(out.dtype)
    return out


def score_pairs(q: Tensor, k: Tensor, score_vector: Tensor | None) -> Tensor:
    """Return scores (batch, heads, count, rows, keys) of (batch, count, rows or keys, heads, d)."""
    if score_vector is None:
        return torch.einsum("bcrhd,bckhd->bhcrk", q, k) / math.sqrt(q.shape[-1])
    sums = torch.tanh(q[:, :, :, None] + k[:, :, None])
    return (sums * score_vector).sum(-1).permute(0, 4, 1, 2, 3)


def _allowed(block: Block, offset: int, lengths: Tensor | None) -> Tensor:
    """Return the allowed pairs within the lengths, shape (batch or 1, 1, count, rows, keys)."""
    if lengths is None:
        return block.allowed[None, None]
    lengths = lengths.to(block.allowed.device)[:, None, None]
    valid = (block.keys < lengths)[:, :, None] & (block.queries + offset < lengths)[..., None]
    return (block.allowed & valid)[:, None]


def weigh_scores(score: Tensor, allowed: Tensor, weights: str) -> Tensor:
    """Return the weights of the keys, 0 where a query may not see one; ``weights`` as above."""
    if weights == "relu":
        return F.relu(score) * allowed / allowed.sum(-1, keepdim=True).clamp(min=1)
    # The lowest number instead of -inf, so that a row without keys gives no NaN, nor its gradient.
    score = score.masked_fill(~allowed, torch.finfo(score.dtype).min)
    return score.softmax(-1) * allowed
