"""Checks that the input of a layer is a tensor of PyTorch, of the type of the layer's weights."""

from __future__ import annotations

import torch
from torch import Tensor


def check_tensor(name: str, x: object) -> None:
    """Raise a TypeError that names the argument unless it is a tensor."""
    if not isinstance(x, Tensor):
        raise TypeError(
            f"{name}: {type(x).__name__}; a torch tensor is needed, as torch.as_tensor makes of it"
        )


def check_type(name: str, x: Tensor, dtype: torch.dtype) -> None:
    """Raise a ValueError that names the argument unless it has the type of a layer's weights."""
    under_autocast = torch.is_autocast_enabled(x.device.type) and x.is_floating_point()
    if x.dtype != dtype and not under_autocast:
        raise ValueError(f"{name}: {x.dtype}, and the layer's weights {dtype}; they must agree")
