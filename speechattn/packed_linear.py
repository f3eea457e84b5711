"""Linear layers with their weights laid out beforehand for the processor, for inference.

A product of a few rows with a matrix spends much of its time bringing the matrix into the order
that the processor multiplies in. oneDNN, which PyTorch has for CPUs, can do that once. What comes out is the
same to rounding. Where it is not there, or for weights that are not 32-bit floats on a CPU, layers
stay as they are.
"""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn

ROWS = 16  # that the layout is chosen for: a few hundred milliseconds of speech

Module = TypeVar("Module", bound=nn.Module)


class PackedLinear(nn.Module):
    """What a linear layer computes, with a copy of its weights; later changes do not reach it."""

    def __init__(self, linear: nn.Linear):
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        with torch.inference_mode(False), torch.no_grad():
            weight = linear.weight.detach().clone()
            self._weight = torch.ops.mkldnn._reorder_linear_weight(weight, ROWS)
            self._bias = None if linear.bias is None else linear.bias.detach().clone()

    def forward(self, x: Tensor) -> Tensor:
        """x: shape (..., in_features); returns (..., out_features), without gradients."""
        return torch.ops.mkldnn._linear_pointwise(x, self._weight, self._bias, "none", [], "")


def with_packed_linears(model: Module) -> Module:
    """A copy of a model for inference whose linear layers are packed.

    Everything else is shared with the model. The model itself, where packing is not possible.
    """
    linears = [m for m in model.modules() if isinstance(m, nn.Linear)]
    if not torch.backends.mkldnn.is_available() or any(
        (m.weight.device.type, m.weight.dtype) != ("cpu", torch.float32) for m in linears
    ):
        return model
    kept = {id(t): t for t in (*model.parameters(), *model.buffers())}
    packed = {id(linear): PackedLinear(linear) for linear in linears}
    return copy.deepcopy(model, {**kept, **packed}).eval()
