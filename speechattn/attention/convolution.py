"""Convolution is the special case of self-attention in which every head looks at one distance.

With relative positions a head can put all its weight on the key at distance δ, whatever q and k
say. One head for each tap of a kernel, its values turned by the matrix of that tap, and the heads
added up by the output matrix:

    out_i = sum_h  x_{i + δ_h} W_h        (Cordonnier et al., 2020, theorem 1)

which is the convolution. What follows builds that layer from given weights.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from speechattn.attention.masks import WindowMask
from speechattn.attention.multihead import MultiHeadAttention
from speechattn.attention.sparse_masks import ImageMask

# Score of all distances but a head's own, whose score is 0: exp() of it is exactly 0 in float32.
_AWAY = -1e4


class AttentionConvolution(nn.Module):
    """A self-attention layer with the weights of a convolution, which gives its result.

    Like a convolution with ``padding=kernel // 2`` and stride 1 it returns as many positions as it
    gets: zeros are laid around the input and the outputs that belong to them are dropped.

    Args:
        weight: of ``Conv1d``, shape (out, in, kernel), or ``Conv2d``, shape (out, in, kernel rows,
            kernel columns); the kernel is odd.
        bias: shape (out,).

    Attributes:
        attention: the layer; an ordinary one, in no way told that it is a convolution.

    Raises:
        ValueError: for other shapes or an even kernel.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None):
        super().__init__()
        if weight.ndim not in (3, 4) or any(size % 2 == 0 for size in weight.shape[2:]):
            raise ValueError(
                f"weight: shape {tuple(weight.shape)}; (out, in, kernel) or (out, in, kernel rows, "
                "kernel columns), odd kernels"
            )
        if bias is not None and bias.shape != weight.shape[:1]:
            raise ValueError(f"bias: shape {tuple(bias.shape)}; ({weight.shape[0]},)")
        self.reach = tuple(size // 2 for size in weight.shape[2:])
        out, width = weight.shape[:2]
        taps = list(itertools.product(*(range(size) for size in weight.shape[2:])))
        self.attention = MultiHeadAttention(
            width,
            len(taps),
            positions="distance",
            reach=self.reach,
            head_width=width,
            width_out=out,
            visibility=WindowMask(*self.reach * 2) if weight.ndim == 3 else None,
        )
        self._fill(weight, bias, taps)

    @torch.no_grad()
    def _fill(self, weight: Tensor, bias: Tensor | None, taps: list[tuple[int, ...]]) -> None:
        layer, width = self.attention, weight.shape[1]
        for parameter in (layer.project.weight, layer.project.bias, layer.join.bias):
            parameter.zero_()  # Wq = Wk = 0: only the distance decides
        values = layer.project.weight[2 * len(taps) * width :]
        layer.bias.table.fill_(_AWAY)
        for head, tap in enumerate(taps):
            rows = slice(head * width, (head + 1) * width)
            values[rows] = torch.eye(width)
            layer.join.weight[:, rows] = weight[(slice(None), slice(None), *tap)]
            layer.bias.table[(head, *tap)] = 0.0
        if bias is not None:
            layer.join.bias.copy_(bias)

    def forward(self, x: Tensor) -> Tensor:
        """The convolution of x.

        Args:
            x: shape (batch, time, in), or (batch, height, width, in) for an image.

        Returns:
            The same shape, with ``out`` for ``in``.

        Raises:
            ValueError: for another shape.
        """
        if x.ndim != len(self.reach) + 2:
            raise ValueError(f"x: shape {tuple(x.shape)}; {len(self.reach) + 2} dimensions")
        # Zeros that really are there: weights that add up to 1 could not fade at the edge.
        padding = [side for reach in reversed(self.reach) for side in (reach, reach)]
        padded = nn.functional.pad(x, (0, 0, *padding))
        size = padded.shape[1:-1]
        visibility = ImageMask(*size, reach=self.reach) if len(size) == 2 else None
        out = self.attention(padded.flatten(1, -2), visibility=visibility)
        out = out.unflatten(1, size)
        for axis, reach in enumerate(self.reach, 1):
            out = out.narrow(axis, reach, out.shape[axis] - 2 * reach)
        return out
