"""Linear layers with their weights laid out beforehand for the processor, for inference on CPUs.

A product of a few rows with a matrix spends much of its time on bringing the matrix into the order
in which the processor multiplies, unless it lies in that order already. Results are the same to
rounding. In float32, :mod:`speechattn.attention.kernels.matmul` multiplies. In bfloat16 (with sums
in float32), nearly twice as fast on processors with instructions for it, oneDNN does
(:mod:`speechattn.encoder.onednn`).
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor, nn

from speechattn.attention import kernels
from speechattn.encoder.layers import FeedForward
from speechattn.encoder.onednn import ROWS, Bf16Matrix


class PackedLinear(nn.Module):
    """A linear layer with a copy of its weights, which later changes do not reach.

    Args:
        linear: layer with weights in float32.
        dtype: type in which numbers are multiplied, float32 or bfloat16.
    """

    def __init__(self, linear: nn.Linear, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.dtype = dtype
        self._matrix = _matrix(linear, dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Return (..., out_features) for x of shape (..., in_features), without gradients."""
        return self._matrix.linear(x)


class PackedFeedForward(nn.Module):
    """A feed-forward layer that stays in its number type between its two products.

    Args:
        layer: layer with weights in float32.
        dtype: type in which numbers are multiplied, float32 or bfloat16.
    """

    right = FeedForward.right

    def __init__(self, layer: FeedForward, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self._expand, self._contract = _matrix(layer.expand, dtype), _matrix(layer.contract, dtype)

    def forward(self, x: Tensor, *_: object) -> Tensor:
        """Return the same shape, (..., frames, width), without gradients."""
        return self._contract.linear_after_relu(x, self._expand)

    forward_chunk = forward_varlen = forward  # each frame is processed alone


class _Matrix(Protocol):
    """The weights of a linear layer, laid out."""

    def linear(self, x: Tensor) -> Tensor:
        """Return the output of the layer, in the type of x."""
        ...

    def linear_after_relu(self, x: Tensor, first: Any) -> Tensor:
        """Return the output of this layer for the ReLU of that of ``first``, of the same class."""
        ...


def _matrix(linear: nn.Linear, dtype: torch.dtype) -> _Matrix:
    with torch.inference_mode(False), torch.no_grad():
        if dtype is torch.float32:
            return _Float32Matrix(linear.weight, linear.bias)
        return _Bfloat16Matrix(linear.weight, linear.bias)


class _Float32Matrix:
    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self._panels = kernels.matmul.Panels(weight, bias)

    def linear(self, x: Tensor) -> Tensor:
        return self._panels.product(x.float()).to(x.dtype)

    def linear_after_relu(self, x: Tensor, first: _Float32Matrix) -> Tensor:
        return self._panels.after_relu(x.float(), first._panels).to(x.dtype)


class _Bfloat16Matrix:
    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self._matrix = Bf16Matrix(weight, bias)

    def linear(self, x: Tensor) -> Tensor:
        y = self._matrix.product(whole_tiles(x, torch.bfloat16))
        return y[..., : x.shape[-2], :].to(x.dtype)

    def linear_after_relu(self, x: Tensor, first: _Bfloat16Matrix) -> Tensor:
        inner = first._matrix.product(whole_tiles(x, torch.bfloat16), relu=True)
        return self._matrix.product(inner)[..., : x.shape[-2], :].to(x.dtype)


def whole_tiles(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Return x in another type, padded with zero rows to a multiple of ``ROWS``.

    oneDNN compiles, and caches, a program for every number of rows, which takes longer than to run
    it.

    Args:
        x: shape (..., rows, numbers).
        dtype: type of the result.
    """
    rows = x.shape[-2]
    extra = -rows % ROWS
    if not extra:
        return x.to(dtype)
    padded = x.new_empty((*x.shape[:-2], rows + extra, x.shape[-1]), dtype=dtype)
    padded[..., :rows, :] = x
    padded[..., rows:, :] = 0
    return padded
