"""The optimizer of a training, or the two that share its weights.

``adamw`` is AdamW for all of them (Loshchilov & Hutter, 2019). ``muon`` leaves the matrices within the
layers to Muon (Jordan et al., 2024), whose updates have singular values of about one, scaled to be as
large as AdamW's (Liu et al., 2025), so that one learning rate suits both; the rest stays with AdamW.

Muon: updates of matrices that are made orthogonal (Jordan et al., 2024).

PyTorch's own computes in bfloat16 always, which a processor without instructions for it does ten
times more slowly than in 32 bits; this one computes in what training does.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from speechattn.attention.kernels.runtime import DTYPES
from speechattn.encoder.encoder import Encoder
from speechattn.training.config import TrainingConfig

MOMENTS = {"optimizer": ("exp_avg", "exp_avg_sq"), "muon": ("momentum_buffer",)}


COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic iteration, from Jordan et al.
ITERATIONS = 5
MOMENTUM = 0.95
RMS = 0.2  # root mean square of an update's entries, about that of AdamW's (Liu et al., 2025)


def schedule(step: int, steps: int, warmup: int) -> float:
    """The learning rate of a step as a share of its peak: a line up, then half a cosine to zero.

    Args:
        step: from 0.
        steps: of the training.
        warmup: steps until the peak.
    """
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


class Optimizers:
    """What updates the weights of a model.

    Args:
        model: whose weights are trained.
        settings: optimizer, learning rate, weight decay, and the precision of Muon's products.
    """

    def __init__(self, model: Encoder, settings: TrainingConfig):
        rates = {"lr": settings.learning_rate, "weight_decay": settings.weight_decay}
        matrices = []
        if settings.optimizer == "muon":
            matrices = [p for p in model.layers.parameters() if p.ndim == 2]
        chosen = set(map(id, matrices))
        rest = [p for p in model.parameters() if id(p) not in chosen]
        self.parts: dict[str, torch.optim.Optimizer] = {
            "optimizer": torch.optim.AdamW(rest, betas=(0.9, 0.98), fused=True, **rates)
        }
        if matrices:
            self.parts["muon"] = Muon(matrices, **rates, dtype=DTYPES[settings.precision])

    def step(self, learning_rate: float) -> None:
        """Update all weights by their gradients."""
        for part in self.parts.values():
            for group in part.param_groups:
                group["lr"] = learning_rate
            part.step()

    def tensors(self) -> dict[str, Tensor]:
        """The state by name, for a checkpoint; empty before the first step."""
        return {
            f"{name}.{index}.{key}": value
            for name, part in self.parts.items()
            for index, state in part.state_dict()["state"].items()
            for key, value in state.items()
        }

    def shapes(self) -> dict[str, torch.Size]:
        """Names and shapes of :meth:`tensors` after a step."""
        shapes = {}
        for name, part in self.parts.items():
            for index, parameter in enumerate(part.param_groups[0]["params"]):
                shapes |= {f"{name}.{index}.{key}": parameter.shape for key in MOMENTS[name]}
                if name == "optimizer":
                    shapes[f"{name}.{index}.step"] = torch.Size([])
        return shapes

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Take up a state; names that are not of :meth:`tensors` are passed over."""
        for name, part in self.parts.items():
            state: dict[int, dict] = {}
            for key, value in tensors.items():
                if key.startswith(f"{name}."):
                    _, index, what = key.split(".")
                    state.setdefault(int(index), {})[what] = value
            groups = part.state_dict()["param_groups"]
            part.load_state_dict({"state": state, "param_groups": groups})


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
