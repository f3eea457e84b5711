"""Training of a small model on data that fits in memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from speechattn.errors import SpeechattnError
from speechattn.training.config import check
from speechattn.training.optim import schedule

CLIP_NORM = 1.0  # gradients are scaled down to this norm


@dataclass(frozen=True)
class FitConfig:
    """How every model of a task is trained.

    Attributes:
        steps: updates.
        batch: examples in each of them.
        learning_rate: of AdamW (Loshchilov & Hutter, 2019), at its peak.
        warmup_steps: updates until the peak; a half cosine to zero follows.
        weight_decay: of AdamW.
    """

    steps: int = 500
    batch: int = 32
    learning_rate: float = 0.003
    warmup_steps: int = 20
    weight_decay: float = 0.01

    def __post_init__(self) -> None:
        check("training.", self, ("steps", "batch"), lambda v: v >= 1, "from 1 on")
        check("training.", self, ("warmup_steps", "weight_decay"), lambda v: v >= 0, "from 0 on")
        check("training.", self, ("learning_rate",), lambda v: v > 0, "above 0")


def fit(
    model: nn.Module,
    loss: Callable[[Tensor], Tensor],
    examples: int,
    settings: FitConfig,
    seed: int,
) -> nn.Module:
    """Train a model for a number of updates.

    Args:
        model: whose parameters are trained, in place.
        loss: mean loss of a batch, given the numbers of its examples, shape (batch,).
        examples: how many there are to draw from; every one comes before one comes again.
        settings: steps, batch and learning rate.
        seed: of the batches and of what the model draws; its weights are drawn before.

    Returns:
        The model, in evaluation mode.

    Raises:
        SpeechattnError: if there are no examples, or the loss is no longer finite.
    """
    if examples < 1:
        raise SpeechattnError("training: no examples; give the recipe more data")
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    torch.manual_seed(seed)
    batches = _batches(examples, settings.batch, torch.Generator().manual_seed(seed))
    model.train()
    for step in range(settings.steps):
        share = schedule(step, settings.steps, settings.warmup_steps)
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * share
        optimizer.zero_grad(set_to_none=True)
        value = loss(next(batches))
        if not math.isfinite(value.item()):
            raise SpeechattnError(
                f"training.learning_rate: {settings.learning_rate}: the loss is {value.item()} at "
                f"step {step}; lower the learning rate or lengthen training.warmup_steps"
            )
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
        optimizer.step()
    return model.eval()


def _batches(examples: int, batch: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Numbers of examples without end, in a new order each time all have come."""
    waiting = torch.empty(0, dtype=torch.long)
    while True:
        while len(waiting) < batch:
            waiting = torch.cat([waiting, torch.randperm(examples, generator=generator)])
        yield waiting[:batch]
        waiting = waiting[batch:]
