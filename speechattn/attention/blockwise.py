"""Attention of every kind of the family on every device, from PyTorch's operations on blocks.

What is computed is proportional to the pairs that see each other, and so is what training keeps of
it. See :mod:`speechattn.attention.functional` for the equations and :mod:`speechattn.attention.masks` for the blocks.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from speechattn.attention.masks import AttentionMask, Block

_NUMBERS_AT_ONCE = 1 << 24  # of the largest tensor inside: 64 MiB in float32


def by_blocks(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    visibility: AttentionMask,
    weights: str = "softmax",
    energy: Tensor | None = None,
    bias: Callable[[Tensor], Tensor] | None = None,
    offset: int = 0,
    lengths: Tensor | None = None,
) -> Tensor:
    """As :func:`speechattn.attention.functional.attend`, which checks the arguments; additive if with an energy.

    Values beyond the lengths must be finite.
    """
    batch, queries, heads, d = q.shape
    keys = k.shape[1]
    out = v.new_zeros(batch, queries, heads, v.shape[-1])
    place = visibility.coordinates(keys, q.device)
    many = batch * heads * (1 if energy is None else d)
    for block in visibility.blocks(keys, q.device, offset=offset, queries=queries):
        for piece in block.pieces(max(1, _NUMBERS_AT_ONCE // max(1, many))):
            score = _scores(q[:, piece.queries], k[:, piece.keys], energy)
            if bias is not None:
                to, at = place[piece.keys][:, None], place[piece.queries + offset][:, :, None]
                score = score + bias(to - at)
            weight = _weights(score, _seen(piece, offset, lengths), weights)
            mixed = torch.einsum("bhcrk,bckhd->bcrhd", weight.to(v.dtype), v[:, piece.keys])
            out[:, piece.queries] = mixed.to(out.dtype)
    return out


def _scores(q: Tensor, k: Tensor, energy: Tensor | None) -> Tensor:
    """Scores (batch, heads, count, rows, keys) of blocks (batch, count, rows or keys, heads, d)."""
    if energy is None:
        return torch.einsum("bcrhd,bckhd->bhcrk", q, k) / math.sqrt(q.shape[-1])
    sums = torch.tanh(q[:, :, :, None] + k[:, :, None])
    return (sums * energy).sum(-1).permute(0, 4, 1, 2, 3)


def _seen(block: Block, offset: int, lengths: Tensor | None) -> Tensor:
    """What is seen in a block within the lengths, shape (batch or 1, 1, count, rows, keys)."""
    if lengths is None:
        return block.seen[None, None]
    lengths = lengths.to(block.seen.device)[:, None, None]
    there = (block.keys < lengths)[:, :, None] & (block.queries + offset < lengths)[..., None]
    return (block.seen & there)[:, None]


def _weights(score: Tensor, seen: Tensor, weights: str) -> Tensor:
    if weights == "relu":
        return F.relu(score) * seen / seen.sum(-1, keepdim=True).clamp(min=1)
    # The lowest number instead of -inf: a row that sees nothing has no NaN, nor has its gradient.
    hidden = score.masked_fill(~seen, torch.finfo(score.dtype).min)
    return hidden.softmax(-1) * seen
