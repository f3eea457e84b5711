"""Trainer: updates, running mean of the weights, evaluation on dev, checkpoints to resume from."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from speechattn.audio.features import FrontEndConfig
from speechattn.encoder.config import EncoderConfig
from speechattn.encoder.encoder import Encoder, PhoneClassifier
from speechattn.errors import ModelError, SpeechattnError
from speechattn.progress import Progress
from speechattn.training.batches import (
    Batch,
    LabelledSet,
    TrainingBatches,
    TrainingSections,
    UnmaskedBatch,
    dev_batches,
    draw_window,
)
from speechattn.training.config_sections import AugmentationConfig, TrainingConfig
from speechattn.training.losses import Loss, SequenceLoss, frame_loss, frame_transitions
from speechattn.training.optim import Optimizers, schedule
from speechattn.training.replicas import Replicas, single_core_threads
from speechattn.training.trainer_state import (
    TrainingFacts,
    check_tensors,
    damaged,
    nonfinite_tensor,
    read_state,
    write_state,
)

MIN_WINDOWS = 4  # windows in each batch of a model for any window; a multiple of the replicas
# Training settings that do not change the weights in a checkpoint.
WITHOUT_EFFECT = ("evaluate_every", "checkpoint_every", "start_share")


class Trainer:
    """One training run, with all its state in one checkpoint file.

    Every update draws its batch, augmentation and dropout from the seed and the number of the
    update. A run that was interrupted and resumed therefore gives the same losses as one that was
    not.

    A checkpoint of fewer ``training.steps`` than the recipe now has, finished or not, is taken up
    as well. From there on the learning rate follows the schedule of the new number of steps. Any
    other change that the weights depend on is refused.

    Args:
        config: recipe.
        train: training set.
        dev: development set.
        num_phones: classes.
        silence: class of silence.
        checkpoint: file that holds the state.
        device: where to compute.
        noises: recorded noises, see :class:`speechattn.training.augmentation.Augmenter`.
        start: model whose weights training begins with; None for random ones.

    Attributes:
        step: number of updates done.
        seconds: time spent on them.
        history: rows of step, mean loss since the row before, and the result of :meth:`evaluate`
            under the name in :attr:`measured`.
        losses: losses of the updates since the last row.
    """

    measured = "dev_frame_accuracy"

    def __init__(
        self,
        config: TrainingSections,
        train: LabelledSet,
        dev: LabelledSet,
        *,
        num_phones: int,
        silence: int,
        checkpoint: Path,
        device: torch.device,
        noises: Sequence[np.ndarray] = (),
        start: PhoneClassifier | None = None,
    ) -> None:
        self.config, self.dev, self.checkpoint, self.device = config, dev, checkpoint, device
        self._names, self._num_labels = train.phones, num_phones
        self.batches = self.make_batches(train, silence, noises)
        torch.manual_seed(config.seed)
        model = self.make_model()
        if start is not None:
            model.load_state_dict(start.state_dict())
        else:
            mean, std = self.batches.statistics()
            model.mean.copy_(torch.from_numpy(mean))
            model.std.copy_(torch.from_numpy(std))
        self.model = model.to(device)
        self.average = {name: p.detach().clone() for name, p in self.model.named_parameters()}
        self.replicas = Replicas(self.model, config.training, self.make_loss(train))
        self.optimizers = Optimizers(self.model, config.training, self.replicas.threads)
        self._draft_thread = single_core_threads(1)
        self._draft: tuple[int, Future[UnmaskedBatch]] | None = None
        self.step = 0
        self.seconds = 0.0
        self.history: list[dict] = []
        self.losses: list[float] = []

    def make_batches(
        self, train: LabelledSet, silence: int, noises: Sequence[np.ndarray]
    ) -> TrainingBatches:
        """Make the batches of the training set."""
        return TrainingBatches(train, self.config, silence, noises)

    def make_loss(self, train: LabelledSet) -> Loss:
        """Return the loss to minimise."""
        if not self.config.training.sequence_weight:
            return frame_loss
        labels = (train.labels(entry) for entry in train.entries)
        return SequenceLoss(frame_transitions(labels, self._num_labels).to(self.device))

    def make_model(self) -> Encoder:
        """Make the model, with random weights."""
        return PhoneClassifier(self.config.front_end.dim, self._num_labels, self.config.encoder)

    def run(self) -> Encoder:
        """Train to the end, from the checkpoint if there is one.

        Returns:
            The model with averaged weights.

        Raises:
            ModelError: if the checkpoint is damaged or of another training.
            SpeechattnError: if the loss or the weights are no longer finite; the checkpoint stays
                as it was before.
        """
        settings = self.config.training
        if self.checkpoint.exists():
            self.load()
        clock = time.monotonic()
        with Progress("train", settings.steps, unit="step", done=self.step) as progress:
            while self.step < settings.steps:
                self.losses.append(self.update())
                progress.note(f"loss {self.losses[-1]:.3f}")
                progress.update()
                done = self.step == settings.steps
                if done or self.step % settings.evaluate_every == 0:
                    progress.write(self._add_row())
                if done or self.step % settings.checkpoint_every == 0:
                    now = time.monotonic()
                    self.seconds, clock = self.seconds + now - clock, now
                    self.save()
        return self.averaged()

    def _add_row(self) -> str:
        """Evaluate on dev and add a row to the history; return it as a line for the user."""
        row = {
            "step": self.step,
            "loss": sum(self.losses) / len(self.losses),
            self.measured: self.evaluate(),
        }
        self.history.append(row)
        self.losses = []
        return (
            f"step {row['step']}: loss {row['loss']:.3f}, "
            f"{self.measured.replace('_', ' ')} {100 * row[self.measured]:.1f} %"
        )

    def update(self) -> float:
        """Update the weights once and return the loss."""
        batch = self._next_batch().to(self.device)
        loss = self.replicas.backward(batch, self.config.seed + self.step, self._windows())
        if not math.isfinite(loss):
            raise self._diverged(f"the loss is {loss}")
        with self.replicas.one_core():
            self._apply_gradients()
        return loss

    def _apply_gradients(self) -> None:
        """Update the weights and their running mean with the gradients."""
        settings = self.config.training
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), settings.clip_norm)
        share = schedule(self.step, settings.steps, settings.warmup_steps)
        self.optimizers.step(settings.learning_rate * share)
        self.step += 1
        # At first the mean spans about the last tenth of the updates so far, so that it soon leaves
        # the initial weights behind; later it spans what average_decay says.
        decay = min(settings.average_decay, self.step / (self.step + 10))
        parameters = [p.detach() for p in self.model.parameters()]
        torch._foreach_lerp_(list(self.average.values()), parameters, 1 - decay)

    def _windows(self) -> list[tuple]:
        """Draw windows for the parts of this update's batch; none if the encoder has its own."""
        encoder, settings = self.config.encoder, self.config.training
        if not encoder.any_window:
            return []
        count = -(-MIN_WINDOWS // settings.replicas) * settings.replicas
        return [draw_window(encoder, self.config.seed, count * self.step + i) for i in range(count)]

    def _next_batch(self) -> Batch:
        """Return the batch of this update; another thread begins with the next one."""
        if self._draft is None or self._draft[0] != self.step:
            self._draft = self._submit_draft(self.step)
        batch = self.batches.masked(self._draft[1].result())
        self._draft = self._submit_draft(self.step + 1)
        return batch

    def _submit_draft(self, step: int) -> tuple[int, Future[UnmaskedBatch]]:
        return step, self._draft_thread.submit(self.batches.draft, step)

    def averaged(self) -> Encoder:
        """Return a model with the running mean of the weights, in evaluation mode."""
        model = self.make_model().to(self.device)
        model.load_state_dict({**self.model.state_dict(), **self.average})
        return model.eval()

    def evaluate(self) -> float:
        """Return the frame accuracy of the averaged model on dev; silence is a class."""
        model, right, total = self.averaged(), 0, 0
        for frames, labels, lengths in dev_batches(self.dev):
            with torch.inference_mode():
                scores = model(frames.to(self.device), lengths.to(self.device))
            right += int((scores.argmax(-1).cpu() == labels).sum())
            total += int(lengths.sum())
        return right / total

    def _diverged(self, what: str) -> SpeechattnError:
        return SpeechattnError(
            f"training.learning_rate: {self.config.training.learning_rate}: {what} at step "
            f"{self.step}; lower the learning rate or lengthen training.warmup_steps"
        )

    def save(self) -> None:
        """Write the state to the checkpoint, whole or not at all.

        Raises:
            SpeechattnError: if a part of it is no longer finite; nothing is written.
        """
        tensors = {f"weights.{k}": v for k, v in self.model.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in self.average.items()}
        tensors |= self.optimizers.tensors()
        if name := nonfinite_tensor(tensors):
            raise self._diverged(f"{name} holds NaN or Inf")
        facts = TrainingFacts(
            self.step, self.seconds, self.history, self._fingerprint(), self._data(), self.losses
        )
        write_state(self.checkpoint, facts, tensors)

    def load(self) -> None:
        """Read the state from the checkpoint.

        Raises:
            ModelError: if the checkpoint is damaged or belongs to another training.
        """
        facts, tensors = read_state(self.checkpoint)
        known, known_steps = _comparable(facts.config)
        own, own_steps = _comparable(self._fingerprint())
        for what, same in (
            ("configuration", known == own and known_steps <= own_steps),
            ("training set or phone set", facts.data in (None, self._data())),
        ):
            if not same:
                raise ModelError(
                    f"{self.checkpoint}: belongs to another {what}; delete it to start afresh, "
                    "or give the run another work_dir"
                )
        if facts.step > self.config.training.steps:
            raise damaged(self.checkpoint, f"step {facts.step}")
        check_tensors(self.checkpoint, tensors, self._shapes(facts.step))

        def part(prefix: str) -> dict[str, Tensor]:
            return {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}

        self.model.load_state_dict(part("weights."))
        for name, value in part("average.").items():
            self.average[name].copy_(value)
        self.optimizers.load(tensors)
        self.step, self.seconds = facts.step, facts.seconds
        self.history, self.losses = facts.history, facts.losses

    def _shapes(self, step: int) -> dict[str, torch.Size]:
        """Return names and shapes of all tensors in a checkpoint after ``step`` updates."""
        shapes = {f"weights.{k}": v.shape for k, v in self.model.state_dict().items()}
        shapes |= {f"average.{k}": v.shape for k, v in self.average.items()}
        return shapes | (self.optimizers.shapes() if step else {})

    def _fingerprint(self) -> list:
        """Return what a checkpoint must agree with, as plain values."""
        parts = ("seed", "front_end", "encoder", "augmentation", "training")
        config = self.config.to_dict()
        return json.loads(json.dumps([*(config[p] for p in parts), self.batches.num_frames]))

    def _data(self) -> str:
        """Return a digest of the training frames, their labels and the names of the labels."""
        facts = [self.batches.digest, self._num_labels, self._names]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _comparable(fingerprint: list) -> tuple[list, int]:
    """Split a fingerprint into what must agree and the number of steps.

    Settings that do not change the weights are left out. A setting that the checkpoint does not
    know, because it is of an earlier version, has its default there.
    """
    kinds = (None, FrontEndConfig, EncoderConfig, AugmentationConfig, TrainingConfig, None)
    parts, steps = [], 0
    for kind, part in zip(kinds, fingerprint):
        if kind is not None and isinstance(part, dict):
            defaults = json.loads(json.dumps(asdict(kind())))
            part = {k: v for k, v in {**defaults, **part}.items() if k not in WITHOUT_EFFECT}
            if kind is TrainingConfig:
                steps = part.pop("steps")
        parts.append(part)
    return [*parts, *fingerprint[len(kinds) :]], steps
