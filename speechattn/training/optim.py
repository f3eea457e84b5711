"""Optimizers and the schedule of the learning rate.

``adamw`` is AdamW for all weights (Loshchilov & Hutter, 2019). ``muon`` updates the matrices within
the layers with Muon (Jordan et al., 2024) and all other weights with AdamW. The updates of Muon
have singular values of about one. They are scaled to the size of AdamW's (Liu et al., 2025), so
that one learning rate suits both.

PyTorch's own Muon always computes in bfloat16. Without instructions for it, a processor is then ten
times slower than in 32 bits. The Muon here computes in the precision of the training.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from concurrent.futures import Executor
from functools import partial
from typing import cast

import torch
from torch import Tensor

from speechattn.attention.kernels.runtime import DTYPES
from speechattn.encoder.encoder import Encoder
from speechattn.training.config_sections import TrainingConfig

# State of each parameter by the name of its optimizer.
MOMENTS = {"optimizer": ("exp_avg", "exp_avg_sq"), "muon": ("momentum_buffer",)}
COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic iteration, from Jordan et al.
ITERATIONS = 5
MOMENTUM = 0.95
RMS = 0.2  # root mean square of an update's entries, about that of AdamW's (Liu et al., 2025)


def schedule(step: int, steps: int, warmup: int) -> float:
    """Return the learning rate of a step as a share of its peak.

    It rises in a line, then falls as half a cosine to zero.

    Args:
        step: number of the step, from 0.
        steps: steps of the training.
        warmup: steps until the peak.
    """
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


class Optimizers:
    """The optimizers that together update the weights of a model.

    Args:
        model: model to train.
        settings: optimizer, learning rate, weight decay, and the precision of Muon's products.
        threads: where Muon computes, a matrix at a time; None for the caller's thread.

    Attributes:
        parts: AdamW as ``optimizer`` and, where there is one, Muon as ``muon``.
    """

    def __init__(
        self, model: Encoder, settings: TrainingConfig, threads: Executor | None = None
    ) -> None:
        rate, decay = settings.learning_rate, settings.weight_decay
        matrices = []
        if settings.optimizer == "muon":
            named = model.layers.named_parameters()
            matrices = [p for name, p in named if p.ndim == 2 and not name.endswith("bias.table")]
        chosen = set(map(id, matrices))
        rest = [p for p in model.parameters() if id(p) not in chosen]
        adamw = torch.optim.AdamW(rest, rate, (0.9, 0.98), weight_decay=decay, fused=True)
        self.parts: dict[str, torch.optim.Optimizer] = {"optimizer": adamw}
        if matrices:
            self.parts["muon"] = Muon(matrices, rate, decay, DTYPES[settings.precision], threads)

    def step(self, learning_rate: float) -> None:
        """Update all weights with their gradients."""
        for part in self.parts.values():
            for group in part.param_groups:
                group["lr"] = learning_rate
            part.step()

    def tensors(self) -> dict[str, Tensor]:
        """Return the state by name, for a checkpoint; it is empty before the first step."""
        return {
            f"{name}.{index}.{key}": value
            for name, part in self.parts.items()
            for index, state in part.state_dict()["state"].items()
            for key, value in state.items()
        }

    def shapes(self) -> dict[str, torch.Size]:
        """Return names and shapes of :meth:`tensors` after a step."""
        shapes: dict[str, torch.Size] = {}
        for name, part in self.parts.items():
            for index, parameter in enumerate(part.param_groups[0]["params"]):
                shapes |= {f"{name}.{index}.{key}": parameter.shape for key in MOMENTS[name]}
                if name == "optimizer":
                    shapes[f"{name}.{index}.step"] = torch.Size([])
        return shapes

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Set the state; names that are not of :meth:`tensors` are ignored."""
        for name, part in self.parts.items():
            state: dict[int, dict] = {}
            for key, value in tensors.items():
                if key.startswith(f"{name}."):
                    _, index, moment = key.split(".")
                    state.setdefault(int(index), {})[moment] = value
            groups = part.state_dict()["param_groups"]
            part.load_state_dict({"state": state, "param_groups": groups})


def orthogonal(matrix: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Bring the singular values of a matrix to between about 0.7 and 1.2.

    Args:
        matrix: shape (rows, columns); zeros stay zeros.
        dtype: type to compute in.

    Returns:
        Shape (rows, columns), of ``dtype``.
    """
    a, b, c = COEFFICIENTS
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    x = wide.to(dtype)
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x if wide is matrix else x.T


class Muon(torch.optim.Optimizer):
    """Muon: Nesterov momentum made :func:`orthogonal`, with entries as large as AdamW's.

    Args:
        matrices: parameters, each of two dimensions.
        lr: learning rate.
        weight_decay: decoupled weight decay, as AdamW's.
        dtype: type of the products.
        threads: where to compute, a matrix at a time. The products are small: on a processor, cores
            that share one wait for each other longer than they compute. None for the caller's
            thread.
    """

    def __init__(
        self,
        matrices: Iterable[Tensor],
        lr: float,
        weight_decay: float,
        dtype: torch.dtype = torch.float32,
        threads: Executor | None = None,
    ) -> None:
        super().__init__(matrices, {"lr": lr, "weight_decay": weight_decay})
        self.dtype, self.threads = dtype, threads

    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update the matrices that have a gradient."""
        for group in self.param_groups:
            matrices = [p for p in group["params"] if p.grad is not None]
            every = self.threads.map if self.threads is not None else map
            update = partial(self._update, lr=group["lr"], weight_decay=group["weight_decay"])
            list(every(update, matrices))

    @torch.no_grad()
    def _update(self, matrix: Tensor, lr: float, weight_decay: float) -> None:
        gradient = cast("Tensor", matrix.grad)
        state = self.state[matrix]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(matrix)
        momentum = state["momentum_buffer"].lerp_(gradient, 1 - MOMENTUM)
        update = orthogonal(gradient.lerp(momentum, MOMENTUM), self.dtype)
        matrix.mul_(1 - lr * weight_decay)
        matrix.add_(update, alpha=-lr * RMS * max(matrix.shape) ** 0.5)
