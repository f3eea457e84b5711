"""Training of heads that label whole sequences, and their models on disk.

Everything but the head and its loss is that of frame classifiers; see
:mod:`speechattn.inference.checkpoint` for the models of those.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from speechattn.audio.features import FrontEndConfig
from speechattn.encoder.baselines import AnyEncoderConfig
from speechattn.encoder.encoder import Encoder
from speechattn.evaluation.metrics import phone_errors
from speechattn.inference.model_files import (
    WEIGHTS,
    damage_named,
    load_shapes,
    read_model_config,
    read_weights,
    write_model,
)
from speechattn.schema import build
from speechattn.studies.head_config import AnyHead
from speechattn.studies.heads import LabelModel, StringModel, head_model
from speechattn.studies.sequence_data import NO_CLASS, SequenceBatches, SequenceSet
from speechattn.training.batches import Batch, dev_batches
from speechattn.training.config import RecipeConfig
from speechattn.training.config_sections import TrainingConfig
from speechattn.training.losses import Loss
from speechattn.training.train_stage import set_aside_foreign
from speechattn.training.trainer import Trainer

FORMAT = "speechattn-head-model"


class SequenceTrainer(Trainer):
    """One training run, which stops and goes on as any :class:`speechattn.training.trainer.Trainer`.

    Args:
        config: seed, front end, encoder, training and augmentation; a recipe's or a task's.
        train: what to learn from.
        dev: what to measure on.
        head: what to put on the encoder.
        checkpoint: where to keep the state.
        device: where to compute.
        noises: see :class:`speechattn.training.augmentation.Augmenter`.
        start: a model of the same encoder, whose weights those of the same name and shape begin
            with; None for random ones.

    Raises:
        ConfigError: as :class:`speechattn.studies.sequence_data.SequenceBatches`, or if the head does not fit
            the encoder.
    """

    measured = "dev_error_rate"

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
        start: Encoder | None = None,
    ):
        self.head = head
        self._start = {} if start is None else start.state_dict()
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
            self._begin_with_start()

    def _begin_with_start(self) -> None:
        own = self.model.state_dict()
        same = {k: v for k, v in self._start.items() if k in own and v.shape == own[k].shape}
        self.model.load_state_dict({**own, **same})
        for name, value in self.average.items():
            value.copy_(self.model.state_dict()[name])

    def make_batches(
        self, train: SequenceSet, silence: int, noises: Sequence[np.ndarray]
    ) -> SequenceBatches:
        """What is learnt from."""
        return SequenceBatches(train, self.config, noises)

    def make_loss(self, train: SequenceSet) -> Loss:
        """That of the head."""
        return head_loss

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
        if self._start:
            facts.append(_digest(self._start))
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    @property
    def inputs(self) -> list:
        """All that the weights depend on, JSON values."""
        return [self._fingerprint(), self._data()]


def train_head(
    name: str,
    work: Path,
    trainer: Callable[[Path], SequenceTrainer],
    *,
    force: bool,
    say: Callable[[str], None],
) -> tuple[LabelModel | StringModel, float]:
    """Train a head from where it stopped, if it did on the same inputs, and write its model.

    Args:
        name: of the model; ``work/train/NAME`` and ``work/models/NAME`` are written.
        work: folder of a recipe.
        trainer: makes it, given the file of its state.
        force: begin at the first step.
        say: takes one line for the user.

    Returns:
        The model, in evaluation mode, and the seconds of its training.
    """
    checkpoint = work / "train" / name / "checkpoint.safetensors"
    if force:
        checkpoint.unlink(missing_ok=True)
    run = trainer(checkpoint)
    set_aside_foreign(checkpoint, run.inputs, say)
    model = run.run()
    facts = {"seconds": round(run.seconds, 1), "steps": run.step, "history": run.history}
    saved = HeadCheckpoint(name, model, run.config.front_end, run.dev.phones, facts)
    saved.save(work / "models" / name)
    return model, run.seconds


def _digest(weights: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(weights.items()):
        digest.update(f"{name} {value.shape}".encode())
        digest.update(value.detach().cpu().numpy().tobytes())
    return digest.hexdigest()


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


@dataclass
class HeadCheckpoint:
    """Everything it takes to label a recording.

    Attributes:
        name: what the model is called.
        model: encoder and head.
        front_end: what its frames are.
        labels: names of its classes.
        training: how it was made, for the curious.
    """

    name: str
    model: LabelModel | StringModel
    front_end: FrontEndConfig
    labels: tuple[str, ...]
    training: dict = field(default_factory=dict)

    def save(self, folder: str | Path) -> None:
        """Write the folder, whole or not at all; a model that is there is replaced.

        Raises:
            ModelError: if the name is taken by something that is no model folder.
        """
        config = {
            "name": self.name,
            "front_end": self.front_end.to_dict(),
            "encoder": self.model.config.to_dict(),
            "head": self.model.head.to_dict(),
            "labels": list(self.labels),
            "training": self.training,
        }
        write_model(folder, FORMAT, config, self.model)

    @classmethod
    def load(cls, folder: str | Path, device: str | torch.device = "cpu") -> HeadCheckpoint:
        """Read a model folder.

        Raises:
            ModelError: if something is missing, damaged, or written by a newer program.
        """
        folder = Path(folder)
        config = read_model_config(folder, FORMAT)
        with damage_named(folder, "train the model again"):
            front_end = build(FrontEndConfig, config["front_end"], "front_end.")
            labels = tuple(map(str, config["labels"]))
            encoder = build(AnyEncoderConfig, config["encoder"], "encoder.")
            head = build(AnyHead, config["head"], "head.")
            shapes = load_shapes(lambda: head_model(front_end.dim, len(labels), encoder, head))
        weights = read_weights(folder / WEIGHTS, shapes)
        model = head_model(front_end.dim, len(labels), encoder, head)
        model.load_state_dict(weights)
        model.eval().requires_grad_(False).to(device)
        name, training = config.get("name", folder.name), config.get("training", {})
        return cls(name, model, front_end, labels, training)


def head_loss(model: LabelModel | StringModel, batch: Batch, settings: TrainingConfig) -> Tensor:
    """A model's own loss, as :class:`speechattn.training.replicas.Replicas` asks for it."""
    return model.loss(batch, settings)
