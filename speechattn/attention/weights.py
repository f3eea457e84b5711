"""Weights of truncated attention, to be looked at.

:func:`~speechattn.attention.functional.attend` never holds the weights of all queries at once. For
pictures they are computed here, from the same queries and keys, by PyTorch's plain operations.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from speechattn.attention.masks import WindowMask

MOST_KEYS = 2001  # of a query; more than a picture can show


def window_weights(
    q: Tensor,
    k: Tensor,
    mask: WindowMask,
    *,
    weights: str = "softmax",
    score_vector: Tensor | None = None,
    bias: Callable[[Tensor], Tensor] | None = None,
) -> tuple[Tensor, int]:
    """Compute the weights a_ij of :func:`~speechattn.attention.functional.attend` in a window.

    Args:
        q: queries, shape (positions, heads, d).
        k: keys, shape (positions, heads, d).
        mask: the window. Sides without limit reach as far as there are positions.
        weights: one of :data:`speechattn.attention.functional.WEIGHTS`.
        score_vector: the vector of additive scores, shape (heads, d); None for dot products.
        bias: function from distances, shape (..., 1), to numbers added to the scores, shape
            (heads, ...).

    Returns:
        The weights, shape (heads, positions, left + 1 + right), and the number ``left``. Column
        ``c`` is for the key ``c - left`` positions after the query, and 0 where there is none.

    Raises:
        ValueError: if a query sees more than ``MOST_KEYS`` keys.
    """
    positions, _, d = q.shape
    left = positions - 1 if mask.left is None else min(mask.left, positions - 1)
    right = positions - 1 if mask.right is None else min(mask.right, positions - 1)
    if left + 1 + right > MOST_KEYS:
        raise ValueError(
            f"{mask}: {left + 1 + right} keys for each query; at most {MOST_KEYS} can be shown: "
            "take a shorter stretch or a narrower window"
        )
    offsets = range(-left, right + 1)
    scores = q.new_full((q.shape[1], positions, len(offsets)), -math.inf)
    for column, offset in enumerate(offsets):
        first, last = max(0, -offset), min(positions, positions - offset)
        query, key = q[first:last], k[first + offset : last + offset]
        if score_vector is None:
            score = (query * key).sum(-1) / math.sqrt(d)
        else:
            score = (torch.tanh(query + key) * score_vector).sum(-1)
        scores[:, first:last, column] = score.T
    if bias is not None:
        distances = torch.arange(-left, right + 1, device=q.device)[:, None]
        scores = scores + bias(distances)[:, None]
    if weights == "softmax":
        return torch.softmax(scores, -1), left
    allowed = torch.isfinite(scores)
    kept = torch.where(allowed, scores.clamp(min=0), torch.zeros_like(scores))
    return kept / allowed.sum(-1, keepdim=True), left
