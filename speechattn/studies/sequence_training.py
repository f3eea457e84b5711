"""Training of heads that label whole sequences.

Only the head, its loss and its labels differ from the training of a frame classifier.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from speechattn.encoder.encoder import Encoder
from speechattn.evaluation.metrics import phone_errors
from speechattn.heads.config import AnyHead
from speechattn.heads.models import HeadModel, LabelModel, StringModel, head_model
from speechattn.inference.head_checkpoint import HeadCheckpoint, SearchOptions
from speechattn.studies.sequence_data import NO_CLASS, SequenceBatches
from speechattn.training.batches import Batch, dev_batches
from speechattn.training.config_sections import TrainingConfig
from speechattn.training.losses import Loss, autocast_for
from speechattn.training.train_stage import set_aside_foreign
from speechattn.training.trainer import Trainer
from speechattn.training.updates.inputs import LabelledSet, TrainingSections


class SequenceTrainer(Trainer):
    """One training run of an encoder with a head; it can be resumed as any other.

    Args:
        config: seed, front end, encoder, training and augmentation.
        train: training set.
        dev: development set.
        head: configuration of the head.
        checkpoint: file that holds the state.
        device: where to compute.
        noises: see :class:`speechattn.training.augmentation.Augmenter`.
        start: model with the same encoder; weights begin with its weights of the same name and
            shape. None for random weights.

    Raises:
        ConfigError: if the head does not fit the encoder, and as
            :class:`speechattn.studies.sequence_data.SequenceBatches`.
    """

    measured = "dev_error_rate"
    lower_is_better = True

    def __init__(
        self,
        config: TrainingSections,
        train: LabelledSet,
        dev: LabelledSet,
        head: AnyHead,
        *,
        checkpoint: Path,
        device: torch.device,
        noises: Sequence[np.ndarray] = (),
        start: HeadModel | None = None,
    ) -> None:
        self.head = head
        self._start: dict[str, Tensor] = {} if start is None else start.state_dict()
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
        if start is not None:
            self._copy_start()

    def _copy_start(self) -> None:
        """Copy the weights that the model shares with the one it starts from."""
        own = self.model.state_dict()
        same = {k: v for k, v in self._start.items() if k in own and v.shape == own[k].shape}
        self.model.load_state_dict({**own, **same})
        for name, value in self.average.items():
            value.copy_(self.model.state_dict()[name])

    def make_batches(
        self, train: LabelledSet, silence: int, noises: Sequence[np.ndarray]
    ) -> SequenceBatches:
        """Make the batches of the training set."""
        return SequenceBatches(train, self.config, noises)

    def make_loss(self, train: LabelledSet) -> Loss:
        """Return the loss of the head."""
        return head_loss

    def make_model(self) -> HeadModel:
        """Make the model, with random weights."""
        config = self.config
        return head_model(config.front_end.dim, self._num_labels, config.encoder, self.head)

    def run(self) -> HeadModel:
        """See :meth:`speechattn.training.trainer.Trainer.run`."""
        return _with_head(super().run())

    def averaged(self) -> HeadModel:
        """Return a model with the running mean of the weights, in evaluation mode."""
        return _with_head(super().averaged())

    def evaluate(self) -> float:
        """Return the label error rate of the averaged model on dev, by the quickest decoding."""
        model, errors, count = self.averaged(), 0, 0
        for frames, labels, lengths in dev_batches(self.dev):
            decoded = quick_labels(model, frames.to(self.device), lengths.to(self.device))
            for row, found in zip(labels, decoded):
                reference = row[row >= 0].tolist()
                errors += sum(phone_errors(reference, found))
                count += len(reference)
        return errors / count

    def _data(self) -> str:
        facts = [super()._data(), self.head.to_dict()]
        if self._start:
            facts.append(_digest(self._start))
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    @property
    def inputs(self) -> list:
        """Everything that the weights depend on, as JSON values."""
        return [self._fingerprint(), self._data()]


def _with_head(model: Encoder) -> HeadModel:
    assert isinstance(model, (LabelModel, StringModel))
    return model


def train_head(
    name: str,
    work: Path,
    trainer: Callable[[Path], SequenceTrainer],
    *,
    force: bool,
    report: Callable[[str], None],
    search: SearchOptions | None = None,
) -> tuple[HeadModel, float]:
    """Train a model and write it; continue a training that was interrupted on the same inputs.

    Args:
        name: name of the model; ``work/train/NAME`` and ``work/models/NAME`` are written.
        work: folder of the recipe.
        trainer: makes the trainer, given its checkpoint file.
        force: begin at the first step.
        report: takes one line for the user.
        search: how the written model searches for strings.

    Returns:
        The model, in evaluation mode, and the seconds of its training.
    """
    checkpoint = work / "train" / name / "checkpoint.safetensors"
    if force:
        checkpoint.unlink(missing_ok=True)
    run = trainer(checkpoint)
    set_aside_foreign(checkpoint, run.inputs, report)
    model = run.run()
    facts = {"seconds": round(run.seconds, 1), "steps": run.step, "history": run.history}
    saved = HeadCheckpoint(
        name, model, run.config.front_end, run.dev.phones, facts, search or SearchOptions()
    )
    saved.save(work / "models" / name)
    return model, run.seconds


def _digest(weights: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(weights.items()):
        digest.update(f"{name} {value.shape}".encode())
        digest.update(value.detach().cpu().numpy().tobytes())
    return digest.hexdigest()


@torch.inference_mode()
def quick_labels(model: HeadModel, frames: Tensor, lengths: Tensor) -> Iterator[Sequence[int]]:
    """Decode a batch greedily: by CTC if the model has it, or else by the decoder.

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


def head_loss(model: HeadModel, batch: Batch, settings: TrainingConfig) -> Tensor:
    """Return the loss of a model's head; a :data:`speechattn.training.losses.Loss`."""
    with autocast_for(batch, settings):
        outputs = model.outputs(batch.frames, batch.lengths)
    return model.loss(outputs, batch.labels, batch.lengths, settings.label_smoothing)
