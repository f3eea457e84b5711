"""One vector for a whole sequence: by attention with learned queries, or as the mean."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from speechattn.attention.family import without_padding
from speechattn.attention.functional import valid_frames
from speechattn.checks import check_lengths, whole_number


class AttentionPooling(nn.Module):
    """Every head weighs the vectors by a learned query and adds up its part of them.

    c_h = sum over t of a_ht x_ht, with a_h = softmax over t of u_h . x_ht / sqrt(d); the heads'
    parts of the vectors lie side by side (India, Safari and Hernando, 2019: Self multi-head
    attention for speaker recognition).

    Args:
        width: of the vectors.
        heads: must divide it.

    Raises:
        ValueError: if they do not.
    """

    def __init__(self, width: int, heads: int = 4):
        super().__init__()
        whole_number("width", width, 1)
        if width % whole_number("heads", heads, 1):
            raise ValueError(f"heads: {heads}; they must divide the width, {width}")
        self.query = nn.Parameter(torch.zeros(heads, width // heads))  # at first, the mean

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Pool.

        Args:
            x: shape (batch, vectors, width).
            lengths: vectors of each sequence, shape (batch,), when they differ; at least 1 each.

        Returns:
            Shape (batch, width).

        Raises:
            ValueError: if a sequence has no vector.
        """
        x = _checked(x, lengths)
        parts = x.unflatten(-1, (len(self.query), -1))
        weights = self.weights(parts, lengths)
        return torch.einsum("bth,bthd->bhd", weights, parts).flatten(1)

    def weights(self, parts: Tensor, lengths: Tensor | None) -> Tensor:
        """a, shape (batch, vectors, heads), of vectors (batch, vectors, heads, d)."""
        scores = (parts * self.query).sum(-1) / math.sqrt(self.query.shape[1])
        if lengths is not None:
            beyond = ~valid_frames(lengths, parts.shape[1])[:, :, None]
            scores = scores.masked_fill(beyond, -torch.inf)
        return scores.softmax(1)


class MeanPooling(nn.Module):
    """The mean of the vectors."""

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """As :meth:`AttentionPooling.forward`."""
        x = _checked(x, lengths)
        if lengths is None:
            return x.mean(1)
        return x.sum(1) / lengths.to(x.device)[:, None]


def _checked(x: Tensor, lengths: Tensor | None) -> Tensor:
    """Vectors, zeros beyond the lengths; raises ValueError if a sequence has none."""
    if lengths is not None:
        check_lengths(lengths, *x.shape[:2])
        x = without_padding(x, lengths)
    if x.shape[1] == 0 or (lengths is not None and (lengths < 1).any()):
        raise ValueError("x: a sequence without vectors; there is nothing to pool")
    return x
