"""Training of heads that label whole sequences; all but the head and its loss is that of frames."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from speechattn.batches import dev_batches
from speechattn.config import RecipeConfig
from speechattn.headconfig import AnyHead
from speechattn.headmodels import LabelModel, StringModel, head_loss, head_model
from speechattn.metrics import phone_errors
from speechattn.sequences import NO_CLASS, SequenceBatches, SequenceSet
from speechattn.train import Trainer


class SequenceTrainer(Trainer):
    """One training run, which stops and goes on as any :class:`speechattn.train.Trainer`.

    Args:
        config: seed, front end, encoder, training and augmentation; a recipe's or a task's.
        train: what to learn from.
        dev: what to measure on.
        head: what to put on the encoder.
        checkpoint: where to keep the state.
        device: where to compute.
        noises: see :class:`speechattn.augment.Augmenter`.

    Raises:
        ConfigError: as :class:`speechattn.sequences.SequenceBatches`, or if the head does not fit
            the encoder.
    """

    measured = "dev_error_rate"
    loss = staticmethod(head_loss)

    def __init__(
        self,
        config: RecipeConfig,
        train: SequenceSet,
        dev: SequenceSet,
        head: AnyHead,
        *,
        checkpoint: Path,
        device: torch.device,
        noises: Sequence[np.ndarray] = (),
    ):
        self.head = head
        super().__init__(
            config,
            train,
            dev,
            num_phones=len(train.phones),
            silence=NO_CLASS,
            checkpoint=checkpoint,
            device=device,
            noises=noises,
        )

    def make_batches(
        self, train: SequenceSet, silence: int, noises: Sequence[np.ndarray]
    ) -> SequenceBatches:
        """What is learnt from."""
        return SequenceBatches(train, self.config, noises)

    def make_model(self) -> LabelModel | StringModel:
        """What learns, with random weights."""
        config = self.config
        return head_model(config.front_end.dim, self._num_labels, config.encoder, self.head)

    def evaluate(self) -> float:
        """Share of errors of the averaged model on dev, by the quickest decoding there is."""
        model, errors, count = self.averaged(), 0, 0
        for frames, labels, lengths in dev_batches(self.dev):
            found = quick_labels(model, frames.to(self.device), lengths.to(self.device))
            for wanted, got in zip(labels, found):
                wanted = wanted[wanted >= 0].tolist()
                errors += sum(phone_errors(wanted, got))
                count += len(wanted)
        return errors / count

    def _data(self) -> str:
        facts = [super()._data(), self.head.to_dict()]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


@torch.inference_mode()
def quick_labels(
    model: LabelModel | StringModel, frames: Tensor, lengths: Tensor
) -> Iterator[Sequence[int]]:
    """Labels of every sequence of a batch: the likeliest, by CTC where there is one, or the decoder's.

    Args:
        model: in evaluation mode.
        frames: shape (batch, frames, input_dim).
        lengths: frames of each sequence, shape (batch,).
    """
    if isinstance(model, LabelModel):
        yield from model(frames, lengths).argmax(-1, keepdim=True).tolist()
        return
    for vectors in model.each(frames, lengths):
        by_ctc = model.classify is not None
        found = model.ctc_strings(vectors) if by_ctc else model.decoder_strings(vectors, beam=1)
        yield found[0].labels
