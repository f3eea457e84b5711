"""Linear layers with their weights laid out beforehand for the processor, for inference.

A product of a few rows with a matrix spends much of its time bringing the matrix into the order
that the processor multiplies in. oneDNN, which PyTorch has for CPUs, can do that once. What comes
out is the same to rounding. Processors with instructions for bfloat16 can multiply in 16 bits (sums
stay in 32), nearly twice as fast.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor, nn

from speechattn.layers import FeedForward

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
ROWS = 16  # that the layout is chosen for: a few hundred milliseconds of speech


class PackedLinear(nn.Module):
    """What a linear layer computes, with a copy of its weights; later changes do not reach it.

    Args:
        linear: with weights in float32.
        dtype: in which numbers are multiplied.
    """

    def __init__(self, linear: nn.Linear, dtype: torch.dtype = torch.float32):
        super().__init__()
        self._dtype = dtype
        self.in_features, self.out_features = linear.in_features, linear.out_features
        with torch.inference_mode(False), torch.no_grad():
            self._weight = _packed(linear.weight.detach().to(dtype, copy=True))
            self._bias = None if linear.bias is None else linear.bias.detach().to(dtype, copy=True)

    def forward(self, x: Tensor) -> Tensor:
        """x: shape (..., in_features); returns (..., out_features), without gradients."""
        return self.product(whole_tiles(x, self._dtype))[..., : x.shape[-2], :].to(x.dtype)

    def product(self, whole: Tensor, then: str = "none") -> Tensor:
        """Of whole tiles in the layer's type, and so what comes out; ``then``: ``"relu"``."""
        return torch.ops.mkldnn._linear_pointwise(whole, self._weight, self._bias, then, [], "")

    def __getstate__(self) -> dict:
        """For copies and other processes: packed weights cannot be copied, those laid out can."""
        return {**super().__getstate__(), "_weight": self._weight.to_dense()}

    def __setstate__(self, state: dict) -> None:
        super().__setstate__({**state, "_weight": _packed(state["_weight"])})


class PackedFeedForward(nn.Module):
    """What a feed-forward layer computes, without a way back to 32 bits between its two products.

    Args:
        layer: with weights in float32.
        dtype: in which numbers are multiplied.
    """

    right = FeedForward.right

    def __init__(self, layer: FeedForward, dtype: torch.dtype = torch.float32):
        super().__init__()
        self._dtype = dtype
        self.expand, self.contract = (
            PackedLinear(m, dtype) for m in (layer.expand, layer.contract)
        )

    def forward(self, x: Tensor, *_: object) -> Tensor:
        """x: shape (..., frames, width); the same comes out, without gradients."""
        inner = self.expand.product(whole_tiles(x, self._dtype), "relu")
        return self.contract.product(inner)[..., : x.shape[-2], :].to(x.dtype)

    advance = together = forward  # every frame for itself


@functools.cache
def fast_bfloat16() -> bool:
    """Whether oneDNN multiplies bfloat16 on this processor; if not, it goes number by number."""
    return torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()


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
