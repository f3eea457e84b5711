"""Linear layers with their weights laid out beforehand for the processor, for inference.

A product of a few rows with a matrix spends much of its time bringing the matrix into the order
that the processor multiplies in, unless it lies so already. What comes out is the same to rounding.
In 32 bits, :mod:`speechattn.attention.kernels.matmul` multiplies; in 16 (sums stay in 32), nearly twice as fast on
processors with instructions for bfloat16, it is oneDNN, which PyTorch has for CPUs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from speechattn.attention.kernels.matmul import Panels
from speechattn.encoder.layers import FeedForward

ROWS = 16  # that oneDNN's layout is chosen for: a few hundred milliseconds of speech


class PackedLinear(nn.Module):
    """What a linear layer computes, with a copy of its weights; later changes do not reach it.

    Args:
        linear: with weights in float32.
        dtype: in which numbers are multiplied.
    """

    def __init__(self, linear: nn.Linear, dtype: torch.dtype = torch.float32):
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self._matrix = _matrix(linear, dtype)

    def forward(self, x: Tensor) -> Tensor:
        """x: shape (..., in_features); returns (..., out_features), without gradients."""
        return self._matrix.taken_out(self._matrix.product(self._matrix.taken_in(x)), x)


class PackedFeedForward(nn.Module):
    """What a feed-forward layer computes, without a way back to 32 bits between its two products.

    Args:
        layer: with weights in float32.
        dtype: in which numbers are multiplied.
    """

    right = FeedForward.right

    def __init__(self, layer: FeedForward, dtype: torch.dtype = torch.float32):
        super().__init__()
        self._expand, self._contract = (_matrix(m, dtype) for m in (layer.expand, layer.contract))

    def forward(self, x: Tensor, *_: object) -> Tensor:
        """x: shape (..., frames, width); the same comes out, without gradients."""
        y = self._contract.after_relu(self._contract.taken_in(x), self._expand)
        return self._contract.taken_out(y, x)

    advance = together = forward  # every frame for itself


def _matrix(linear: nn.Linear, dtype: torch.dtype) -> _Single | _Half:
    with torch.inference_mode(False), torch.no_grad():
        return (_Single if dtype is torch.float32 else _Half)(linear.weight, linear.bias)


class _Single(Panels):
    """A matrix in float32."""

    def taken_in(self, x: Tensor) -> Tensor:
        """Rows as the product takes them."""
        return x.float()

    def taken_out(self, y: Tensor, x: Tensor) -> Tensor:
        """What comes out for the rows of x, in the type of these."""
        return y.to(x.dtype)


class _Half:
    """A matrix in bfloat16, multiplied by oneDNN."""

    def __init__(self, weight: Tensor, bias: Tensor | None):
        self._weight = _packed(weight.detach().to(torch.bfloat16, copy=True))
        self._bias = None if bias is None else bias.detach().to(torch.bfloat16, copy=True)

    def taken_in(self, x: Tensor) -> Tensor:
        """In whole tiles, in 16 bits."""
        return whole_tiles(x, torch.bfloat16)

    def product(self, whole: Tensor, then: str = "none") -> Tensor:
        """Of whole tiles in 16 bits, and so what comes out; ``then``: ``"relu"``."""
        return torch.ops.mkldnn._linear_pointwise(whole, self._weight, self._bias, then, [], "")

    def after_relu(self, whole: Tensor, first: _Half) -> Tensor:
        """The product of what ``first`` makes of whole tiles, but nothing below 0."""
        return self.product(first.product(whole, "relu"))

    def taken_out(self, y: Tensor, x: Tensor) -> Tensor:
        """As many rows, in the type of x."""
        return y[..., : x.shape[-2], :].to(x.dtype)

    def __getstate__(self) -> dict:
        """For copies and other processes: packed weights cannot be copied, those laid out can."""
        return {**self.__dict__, "_weight": self._weight.to_dense()}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update({**state, "_weight": _packed(state["_weight"])})


def whole_tiles(x: Tensor, dtype: torch.dtype) -> Tensor:
    """In another type, with zero rows at the end, up to a multiple of ``ROWS``.

    oneDNN makes a program for every number of rows, which takes longer than to run it, and keeps it.
    """
    rows = x.shape[-2]
    extra = -rows % ROWS
    if not extra:
        return x.to(dtype)
    whole = x.new_empty((*x.shape[:-2], rows + extra, x.shape[-1]), dtype=dtype)
    whole[..., :rows, :] = x
    whole[..., rows:, :] = 0
    return whole


def _packed(weight: Tensor) -> Tensor:
    with torch.inference_mode(False), torch.no_grad():
        return torch.ops.mkldnn._reorder_linear_weight(weight, ROWS)
