"""Convolution as the special case of self-attention in which every head sees one distance.

With a bias by distance, a head can put all its weight on the key at distance δ, whatever q and k
are. Take one head for each tap of a kernel, and let the output matrix multiply its values by the
matrix of that tap and add up the heads:

    out_i = sum_h  x_{i + δ_h} W_h        (Cordonnier et al., 2020, theorem 1)

This is the convolution. The class below builds that layer from the weights of a convolution.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from speechattn.attention.inputs import check_tensor
from speechattn.attention.masks import WindowMask
from speechattn.attention.multihead import MultiHeadAttention
from speechattn.attention.sparse_masks import ImageMask

# Bias of all distances but the head's own, which has 0. Its exp() is exactly 0 in float32.
_NEVER = -1e4


class AttentionConvolution(nn.Module):
    """A self-attention layer that computes a convolution.

    Like a convolution with ``padding=kernel // 2`` and stride 1, it returns as many positions as it
    gets: the input is padded with zeros, and the outputs of the padding are dropped. Weights do not
    say whether they are of a convolution with dilation or groups, which cannot be had here.

    Args:
        weight: weights of ``Conv1d``, shape (out, in, kernel), or of ``Conv2d``, shape (out, in,
            kernel rows, kernel columns); the kernel is odd. The layer has their type and device.
        bias: shape (out,), of the same type.

    Attributes:
        attention: the layer, an ordinary :class:`MultiHeadAttention`.

    Raises:
        ValueError: for other shapes or types, or an even kernel.
        TypeError: for what is no tensor.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        super().__init__()
        check_tensor("weight", weight)
        if weight.ndim not in (3, 4) or any(size % 2 == 0 for size in weight.shape[2:]):
            raise ValueError(
                f"weight: shape {tuple(weight.shape)}; (out, in, kernel) or (out, in, kernel rows, "
                "kernel columns), odd kernels"
            )
        if not weight.is_floating_point():
            raise ValueError(f"weight: {weight.dtype}; floating-point numbers")
        if bias is not None:
            check_tensor("bias", bias)
            if bias.shape != weight.shape[:1] or bias.dtype != weight.dtype:
                raise ValueError(
                    f"bias: shape {tuple(bias.shape)} of {bias.dtype}; "
                    f"({weight.shape[0]},) of {weight.dtype}, as the weight"
                )
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
            mask=WindowMask(self.reach[0], self.reach[0]) if weight.ndim == 3 else None,
        ).to(weight.device, weight.dtype)
        self._fill(weight, bias, taps)

    @torch.no_grad()
    def _fill(self, weight: Tensor, bias: Tensor | None, taps: list[tuple[int, ...]]) -> None:
        layer, width = self.attention, weight.shape[1]
        assert layer.bias is not None
        for parameter in (layer.project.weight, layer.project.bias, layer.join.bias):
            parameter.zero_()  # Wq = Wk = 0: only the distance decides
        values = layer.project.weight[2 * len(taps) * width :]
        layer.bias.table.fill_(_NEVER)
        for head, tap in enumerate(taps):
            rows = slice(head * width, (head + 1) * width)
            values[rows] = torch.eye(width)
            index: tuple[int | slice, ...] = (slice(None), slice(None), *tap)
            layer.join.weight[:, rows] = weight[index]
            layer.bias.table[(head, *tap)] = 0.0
        if bias is not None:
            layer.join.bias.copy_(bias)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the convolution of x.

        Args:
            x: shape (batch, time, in), or (batch, height, width, in) for an image.

        Returns:
            The same shape, with ``out`` for ``in``.

        Raises:
            ValueError: for another shape or type, and for NaN or infinity.
            TypeError: if x is no tensor.
        """
        check_tensor("x", x)
        width = self.attention.project.in_features
        if x.ndim != len(self.reach) + 2 or x.shape[-1] != width:
            axes = "time" if len(self.reach) == 1 else "height, width"
            raise ValueError(
                f"x: shape {tuple(x.shape)}; (batch, {axes}, {width}), as the weight has {width} "
                "numbers in (those of a convolution with groups have fewer, and will not do)"
            )
        # Real zeros: attention weights add up to 1, so they cannot fade at the edge.
        padding = [side for reach in reversed(self.reach) for side in (reach, reach)]
        padded = nn.functional.pad(x, (0, 0, *padding))
        size = padded.shape[1:-1]
        mask = None
        if len(size) == 2:
            mask = ImageMask(size[0], size[1], reach=(self.reach[0], self.reach[1]))
        out = self.attention(padded.flatten(1, -2), mask=mask)
        out = out.unflatten(1, size)
        for axis, reach in enumerate(self.reach, 1):
            out = out.narrow(axis, reach, out.shape[axis] - 2 * reach)
        return out
