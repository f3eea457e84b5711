"""Linear layers with their weights laid out beforehand for the processor, for inference.

A product of a few rows with a matrix spends much of its time bringing the matrix into the order
that the processor multiplies in. oneDNN, which PyTorch has for CPUs, can do that once. What comes out is the
same to rounding. Where it is not there, or for weights that are not 32-bit floats on a CPU, layers
stay as they are. Processors with instructions for bfloat16 can multiply in 16 bits (sums stay in 32),
nearly twice as fast.
"""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speechattn.errors import ConfigError
from speechattn.kernels import fast_bfloat16

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}
ROWS = 16  # that the layout is chosen for: a few hundred milliseconds of speech

Module = TypeVar("Module", bound=nn.Module)


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
        rows = x.shape[-2]
        args = _whole_tiles(x.to(self._dtype)), self._weight, self._bias
        out = torch.ops.mkldnn._linear_pointwise(*args, "none", [], "")
        return out[..., :rows, :].to(x.dtype)

    def __getstate__(self) -> dict:
        """For copies and other processes: packed weights cannot be copied, those laid out can."""
        return {**super().__getstate__(), "_weight": self._weight.to_dense()}

    def __setstate__(self, state: dict) -> None:
        super().__setstate__({**state, "_weight": _packed(state["_weight"])})


def _whole_tiles(x: Tensor) -> Tensor:
    """Zero rows at the end, up to a multiple of ``ROWS``.

    oneDNN makes a program for every number of rows, which takes longer than to run it, and keeps it.
    """
    extra = -x.shape[-2] % ROWS
    return F.pad(x, (0, 0, 0, extra)) if extra else x


def _packed(weight: Tensor) -> Tensor:
    with torch.inference_mode(False), torch.no_grad():
        return torch.ops.mkldnn._reorder_linear_weight(weight, ROWS)


def with_packed_linears(model: Module, precision: str = "fp32") -> Module:
    """A copy of a model for inference whose linear layers are packed.

    Everything else is shared with the model. The model itself, where packing is not possible.

    Args:
        model: any module.
        precision: ``"fp32"``, or ``"bf16"`` to multiply matrices in 16 bits.

    Raises:
        ConfigError: for another precision, or one that this processor or device does not have.
    """
    if precision not in PRECISIONS:
        raise ConfigError(f"precision: {precision!r}; choose from {', '.join(PRECISIONS)}")
    linears = [m for m in model.modules() if isinstance(m, nn.Linear)]
    possible = torch.backends.mkldnn.is_available() and all(
        (m.weight.device.type, m.weight.dtype) == ("cpu", torch.float32) for m in linears
    )
    if precision == "bf16" and not (possible and fast_bfloat16()):
        raise ConfigError(
            "precision: bf16; this processor or device has no such products here; use fp32"
        )
    if not possible:
        return model
    kept = {id(t): t for t in (*model.parameters(), *model.buffers())}
    packed = {id(linear): PackedLinear(linear, PRECISIONS[precision]) for linear in linears}
    return copy.deepcopy(model, {**kept, **packed}).eval()
