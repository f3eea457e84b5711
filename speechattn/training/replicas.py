"""Data-parallel training in threads: each computes the gradients of a part of the batch.

Layers of this size keep the cores of a processor waiting for each other when they share every
product. Here every thread takes some of the utterances through its own copy of the model, which
shares the weights, and computes on one core. The gradients are added up.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import cast

import torch
from torch import Tensor

from speechattn.encoder.encoder import Encoder
from speechattn.encoder.layers import SequenceDropout
from speechattn.inference.host import compute_on
from speechattn.training.batches import PADDING, Batch
from speechattn.training.config_sections import TrainingConfig
from speechattn.training.losses import Loss, frame_loss


def single_core_threads(count: int) -> ThreadPoolExecutor:
    """Make threads in which PyTorch computes on one core each; that number is set by thread."""
    return ThreadPoolExecutor(count, initializer=compute_on, initargs=(1,))


class Replicas:
    """A model and copies of it that share its weights.

    The number of copies changes results only by rounding and by the draws of dropout.

    Args:
        model: model that receives the gradients.
        settings: ``replicas``, label smoothing and precision.
        loss: loss of a model on a batch, added up over its labels; cross-entropy if None.

    Attributes:
        threads: threads of one core each, one for each copy; None if there is one copy.
    """

    def __init__(self, model: Encoder, settings: TrainingConfig, loss: Loss | None = None) -> None:
        self.settings, self.loss = settings, loss or frame_loss
        self.models = [model, *(_sharing(model) for _ in range(settings.replicas - 1))]
        self._own_window = getattr(model.config, "window", ())
        device = next(model.parameters()).device
        self._generators = [torch.Generator(device) for _ in self.models]
        for each, generator in zip(self.models, self._generators):
            for layer in each.modules():
                if isinstance(layer, SequenceDropout):
                    layer.generator = generator
        self.threads = single_core_threads(len(self.models)) if len(self.models) > 1 else None

    def backward(
        self,
        batch: Batch,
        seed: int,
        windows: Sequence[tuple] = (),
        *,
        count: float | None = None,
        add: bool = False,
    ) -> float:
        """Compute the gradients of the mean loss over a batch's labels.

        Args:
            batch: on the device of the model.
            seed: seed of dropout.
            windows: attention windows, each for a part of the batch; at least as many as replicas,
                or none for the model's own window. If the batch has two views, they are for the
                second ones; the first have the model's own, and the second learn from them.
            count: labels that the loss is divided by; None for those of the batch.
            add: add to the gradients of the batch before.

        Returns:
            The loss.
        """
        if count is None:
            count = int((batch.labels != PADDING).sum())
        parts = list(batch.parts(len(windows) or len(self.models)))
        for number, generator in enumerate(self._generators):
            generator.manual_seed(seed * len(self.models) + number)
        shares = [range(number, len(parts), len(self.models)) for number in range(len(self.models))]
        for number, model in enumerate(self.models):
            if number or not add:
                model.zero_grad(set_to_none=True)
        work = [
            (model, [(parts[i], windows[i] if windows else None) for i in share], count)
            for model, share in zip(self.models, shares)
            if share
        ]
        if self.threads is None:
            losses = [self._backward(*work[0])]
        else:
            cores = torch.get_num_threads()
            losses = list(self.threads.map(lambda item: self._backward(*item), work))
            torch.set_num_threads(cores)  # for threads to come; these have their own number
        own, *others = map(_gradients, self.models[: len(work)])
        for other in others:
            torch._foreach_add_(own, other)
        return sum(losses)

    @contextmanager
    def one_core(self) -> Iterator[None]:
        """Let the caller compute on one core, if there are copies.

        Its operations are short. Cores that share one would wait for each other longer than they
        compute, above all beside other programs.
        """
        cores = torch.get_num_threads()
        if self.threads is not None:
            torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(cores)

    def gradients(self) -> list[Tensor]:
        """Return the gradients of the weights, after :meth:`backward`."""
        return _gradients(self.models[0])

    def _backward(self, model: Encoder, parts: list, count: float) -> float:
        model.train()
        total = 0.0
        for batch, window in parts:
            seen: Callable[[Tensor, Tensor], Tensor] = model
            if window is not None and batch.second_view_delay is not None:
                seen = partial(_through_two_windows, model, (self._own_window, window))
                batch = replace(batch, one_way=True)
            elif window is not None:
                model.set_window(window)
            loss = self.loss(seen, batch, self.settings) / count
            loss.backward()
            total += loss.item()
        return total


def _through_two_windows(
    model: Encoder, windows: tuple[tuple, tuple], frames: Tensor, lengths: Tensor
) -> Tensor:
    """Return the scores of two views of utterances, each half of a batch with its own window."""
    scores = []
    for window, x, counts in zip(windows, frames.chunk(2), lengths.chunk(2)):
        model.set_window(window)
        scores.append(model(x, counts))
    return torch.cat(scores)


def _gradients(model: Encoder) -> list[Tensor]:
    return cast("list[Tensor]", [p.grad for p in model.parameters()])


def _sharing(model: Encoder) -> Encoder:
    """Copy a model; the copy has its own gradients but the same memory for weights."""
    shared = {id(p): torch.nn.Parameter(p.detach()) for p in model.parameters()}
    return copy.deepcopy(model, {**shared, **{id(b): b for b in model.buffers()}})
