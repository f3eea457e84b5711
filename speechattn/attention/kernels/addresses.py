"""Whether compiled code may work on tensors: it takes their addresses and knows nothing else of them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd import forward_ad

TYPES = (Tensor, torch.nn.Parameter)


def addressable(*tensors: Tensor | None) -> bool:
    """Whether all of them are numbers in this computer's memory, and nobody else is to be told.

    Not on another device, not while tensors stand for others (``torch.export``, ``FakeTensorMode``),
    and not while what is done to them is written down or changed (``torch.compile``,
    ``torch.jit.trace``, ``torch.vmap``, forward-mode gradients).
    """
    for x in tensors:
        if x is not None and not (x.is_cpu and type(x) in TYPES):
            return False
    return not (_is_watched() or torch.compiler.is_compiling() or torch.jit.is_tracing())


def _is_watched() -> bool:
    """Whether a mode or a transformation stands between PyTorch and the numbers."""
    if torch._C._len_torch_dispatch_stack() or forward_ad._current_level >= 0:
        return True
    return torch._C._functorch.peek_interpreter_stack() is not None
