"""Muon: updates of matrices that are made orthogonal (Jordan et al., 2024).

PyTorch's own computes in bfloat16 always, which a processor without instructions for it does ten
times more slowly than in 32 bits; this one computes in what training does.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic iteration, from Jordan et al.
ITERATIONS = 5
MOMENTUM = 0.95
RMS = 0.2  # root mean square of an update's entries, about that of AdamW's (Liu et al., 2025)


def orthogonal(matrix: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """The matrix with its singular values brought to between about 0.7 and 1.2.

    Args:
        matrix: shape (rows, columns); zeros stay zeros.
        dtype: to compute in.

    Returns:
        Shape (rows, columns), of ``dtype``.
    """
    a, b, c = COEFFICIENTS
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    found = wide.to(dtype)
    found = found / found.norm().clamp(min=1e-7)
    for _ in range(ITERATIONS):
        gram = found @ found.T
        found = torch.addmm(found, torch.addmm(gram, gram, gram, beta=b, alpha=c), found, beta=a)
    return found if wide is matrix else found.T


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, then :func:`orthogonal`, scaled so that entries are as large as AdamW's.

    Args:
        matrices: the parameters, each of two dimensions.
        lr: learning rate.
        weight_decay: decoupled, as AdamW's.
        dtype: of the products.
    """

    def __init__(
        self,
        matrices: Iterable[Tensor],
        lr: float,
        weight_decay: float,
        dtype: torch.dtype = torch.float32,
    ):
        super().__init__(matrices, {"lr": lr, "weight_decay": weight_decay})
        self.dtype = dtype

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Update the matrices that have a gradient."""
        for group in self.param_groups:
            for matrix in group["params"]:
                if matrix.grad is None:
                    continue
                state = self.state[matrix]
                if not state:
                    state["momentum_buffer"] = torch.zeros_like(matrix)
                momentum = state["momentum_buffer"].lerp_(matrix.grad, 1 - MOMENTUM)
                update = orthogonal(matrix.grad.lerp(momentum, MOMENTUM), self.dtype)
                matrix.mul_(1 - group["lr"] * group["weight_decay"])
                matrix.add_(update, alpha=-group["lr"] * RMS * max(matrix.shape) ** 0.5)
