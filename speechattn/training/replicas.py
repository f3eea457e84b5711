"""Gradients of a batch from several threads, each with a part of it.

Layers of this size leave the cores of a processor waiting for each other when every product is
divided among them. Here every thread takes some of the utterances through a model of its own, which
shares the weights, and computes on one core; the gradients are added up.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from speechattn.encoder.encoder import Encoder, set_window
from speechattn.encoder.layers import SequenceDropout
from speechattn.training.batches import PADDING, Batch
from speechattn.training.config import TrainingConfig
from speechattn.training.losses import Loss, frame_loss


def single_core_threads(count: int) -> ThreadPoolExecutor:
    """Threads in which PyTorch computes on one core each; it keeps that number by thread."""
    return ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,))


class Replicas:
    """A model and copies of it that share its weights.

    What comes out depends on the number of copies by rounding and by what dropout draws, on nothing else.

    Args:
        model: in whose parameters the gradients are left.
        settings: ``replicas``, label smoothing and precision.
        loss: of a model on a batch, added up over its labels; it may take the settings into account.
    """

    def __init__(self, model: Encoder, settings: TrainingConfig, loss: Loss | None = None):
        self.settings, self.loss = settings, loss or frame_loss
        self.models = [model, *(_sharing(model) for _ in range(settings.replicas - 1))]
        device = next(model.parameters()).device
        self._generators = [torch.Generator(device) for _ in self.models]
        for each, generator in zip(self.models, self._generators):
            for layer in each.modules():
                if isinstance(layer, SequenceDropout):
                    layer.generator = generator
        self._threads = single_core_threads(len(self.models)) if len(self.models) > 1 else None

    def backward(self, batch: Batch, seed: int, windows: Sequence[tuple] = ()) -> float:
        """Leave the gradients of the mean loss over a batch's labels; returns the loss.

        Args:
            batch: on the device of the model.
            seed: of dropout.
            windows: of attention, each for a part of the batch, at least as many as replicas; none:
                the model's own for all.
        """
        count = (batch.labels != PADDING).sum()
        parts = list(batch.parts(len(windows) or len(self.models)))
        for number, generator in enumerate(self._generators):
            generator.manual_seed(seed * len(self.models) + number)
        shares = [range(number, len(parts), len(self.models)) for number in range(len(self.models))]
        work = [
            (model, [(parts[i], windows[i] if windows else None) for i in share], count)
            for model, share in zip(self.models, shares)
            if share
        ]
        if self._threads is None:
            losses = [self._backward(*work[0])]
        else:
            cores = torch.get_num_threads()
            losses = list(self._threads.map(lambda item: self._backward(*item), work))
            torch.set_num_threads(cores)  # for threads to come; these have their own number
        own, *others = ([*model.parameters()] for model in self.models[: len(work)])
        for other in others:
            torch._foreach_add_([p.grad for p in own], [p.grad for p in other])
        return sum(losses)

    def _backward(self, model: Encoder, parts: list, count: Tensor) -> float:
        model.train()
        model.zero_grad(set_to_none=True)
        total = 0.0
        for batch, window in parts:
            if window is not None:
                set_window(model, window)
            loss = self.loss(model, batch, self.settings) / count
            loss.backward()
            total += loss.item()
        return total


def _sharing(model: Encoder) -> Encoder:
    """A copy with parameters of its own, for gradients of its own, over the same numbers."""
    shared = {id(p): torch.nn.Parameter(p.detach()) for p in model.parameters()}
    return copy.deepcopy(model, {**shared, **{id(b): b for b in model.buffers()}})
