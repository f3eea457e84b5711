"""The optimizer of a training, or the two that share its weights.

``adamw`` is AdamW for all of them (Loshchilov & Hutter, 2019). ``muon`` leaves the matrices within the
layers to Muon (Jordan et al., 2024), whose updates have singular values of about one, scaled to be as
large as AdamW's (Liu et al., 2025), so that one learning rate suits both; the rest stays with AdamW.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from speechattn.encoder.encoder import Encoder
from speechattn.encoder.packed_linear import DTYPES
from speechattn.training.config import TrainingConfig
from speechattn.training.muon import Muon

MOMENTS = {"optimizer": ("exp_avg", "exp_avg_sq"), "muon": ("momentum_buffer",)}


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
