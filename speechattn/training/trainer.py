"""Trainer: updates, running mean of the weights, evaluation on dev, checkpoints to resume from."""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from speechattn.encoder.encoder import Encoder, PhoneClassifier
from speechattn.errors import ModelError, SpeechattnError
from speechattn.training.batch_source import BatchSource
from speechattn.training.batches import PADDING, TrainingBatches, dev_batches
from speechattn.training.losses import Loss, PhoneLoss, frame_transitions
from speechattn.training.optim import Optimizers, schedule
from speechattn.training.replicas import Replicas
from speechattn.training.trainer_state import (
    TrainingFacts,
    check_tensors,
    comparable_settings,
    damaged,
    nonfinite_tensor,
    read_state,
    write_state,
)
from speechattn.training.updates.early_stopping import EarlyStopping
from speechattn.training.updates.event_log import EventLog
from speechattn.training.updates.inputs import LabelledSet, TrainingSections
from speechattn.training.updates.interruption import Interruption
from speechattn.training.updates.process_group import ProcessGroup
from speechattn.training.updates.step_progress import StepProgress
from speechattn.training.updates.window_draws import batch_windows


class Trainer:
    """One training run, with all its state in one checkpoint file.

    Every update draws its batch, augmentation and dropout from the seed and the number of the
    update. A resumed run therefore gives the same losses as one that was never interrupted.

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
        teacher: model whose posteriors are learned beside the labels, on the same device; None for
            labels alone.
        group: processes that share the batches of an update; None for this one alone.
        log: takes the loss of every update and the results on dev; None for no log.

    Attributes:
        step: number of updates done.
        seconds: time spent on them.
        history: rows of step, mean loss since the row before, and the result of :meth:`evaluate`
            under the name in :attr:`measured`.
        losses: losses of the updates since the last row.
        stopping: results on dev and the best weights, with ``patience``.
    """

    measured = "dev_frame_accuracy"
    lower_is_better = False

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
        teacher: PhoneClassifier | None = None,
        group: ProcessGroup | None = None,
        log: EventLog | None = None,
    ) -> None:
        self.config, self.dev, self.checkpoint, self.device = config, dev, checkpoint, device
        self.group, self._log = group or ProcessGroup(), log
        self._teacher = None if teacher is None else teacher.eval().requires_grad_(False)
        self.group.check(config.training.accumulate)
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
        own = config.training.accumulate, self.group.rank, self.group.size
        # On a GPU, all cores but one make batches; on a CPU they compute.
        processes = max(1, (os.cpu_count() or 2) - 1) if device.type == "cuda" else 0
        self._source = BatchSource(self.batches, *own, processes=processes)
        self.step = 0
        self.seconds = 0.0
        self.history: list[dict] = []
        self.losses: list[float] = []
        self.stopping = EarlyStopping(config.training.patience, self.lower_is_better)

    def make_batches(
        self, train: LabelledSet, silence: int, noises: Sequence[np.ndarray]
    ) -> TrainingBatches:
        """Make the batches of the training set."""
        return TrainingBatches(train, self.config, silence, noises)

    def make_loss(self, train: LabelledSet) -> Loss:
        """Return the loss to minimise."""
        transitions = None
        if self.config.training.sequence_weight:
            labels = (train.labels(entry) for entry in train.entries)
            transitions = frame_transitions(labels, self._num_labels).to(self.device)
        return PhoneLoss(transitions, self._teacher)

    def make_model(self) -> Encoder:
        """Make the model, with random weights."""
        return PhoneClassifier(self.config.front_end.dim, self._num_labels, self.config.encoder)

    def run(self) -> Encoder:
        """Train to the end, from the checkpoint if there is one.

        At Ctrl-C or SIGTERM it writes the checkpoint after the running update, and ends.

        Returns:
            The model with averaged weights.

        Raises:
            ModelError: if the checkpoint is damaged or of another training.
            SpeechattnError: if the loss or the weights are no longer finite; the checkpoint stays
                as it was before.
        """
        settings = self.config.training
        self.resume()
        if settings.patience and not self.step:
            self.stopping.take(0, self.group.from_first(self.evaluate), self.average)
        clock = time.monotonic()
        first = self.group.is_first
        bar = StepProgress("train", settings.steps, unit="step", done=self.step, shown=first)
        with bar as progress, Interruption(self.group) as interruption:
            while self.step < settings.steps and not self.stopping.is_exhausted:
                self.losses.append(self.update())
                progress.note(f"loss {self.losses[-1]:.3f}")
                progress.update()
                self._log_values({"loss": self.losses[-1], "learning_rate": self.learning_rate})
                done = self.step == settings.steps
                if done or self.step % settings.evaluate_every == 0:
                    line = self._add_row()
                    if first:
                        progress.write(line)
                    done = done or self.stopping.is_exhausted
                stop = interruption.is_asked()
                if done or stop or self.step % settings.checkpoint_every == 0:
                    now = time.monotonic()
                    self.seconds, clock = self.seconds + now - clock, now
                    self.group.from_first(self.save)
                if stop:
                    interruption.carry_out()
        model = self.averaged()
        self.stopping.kept_in(model)
        return model

    def _add_row(self) -> str:
        """Evaluate on dev and add a row to the history; return it as a line for the user."""
        row = {
            "step": self.step,
            "loss": sum(self.losses) / len(self.losses),
            self.measured: self.group.from_first(self.evaluate),
        }
        self.history.append(row)
        self.losses = []
        self._log_values({self.measured: row[self.measured]})
        self.stopping.take(self.step, row[self.measured], self.average)
        return (
            f"step {row['step']}: loss {row['loss']:.3f}, "
            f"{self.measured.replace('_', ' ')} {100 * row[self.measured]:.1f} %"
        )

    def _log_values(self, values: dict[str, float]) -> None:
        if self._log is not None:
            self._log.add(self.step, values)

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next update."""
        settings = self.config.training
        share = schedule(self.step, settings.steps, settings.warmup_steps)
        return settings.learning_rate * share

    def update(self) -> float:
        """Update the weights once and return the loss."""
        batches = self._source.of_update(self.step)
        labels = sum(int((batch.labels != PADDING).sum()) for batch in batches.values())
        count, loss = self.group.total(labels), 0.0
        for place, (number, batch) in enumerate(batches.items()):
            seed, windows = self.config.seed + number, batch_windows(self.config, number)
            on_device = batch.to(self.device)
            loss += self.replicas.backward(on_device, seed, windows, count=count, add=place > 0)
        self.group.add_up(self.replicas.gradients())
        loss = self.group.total(loss)
        if not math.isfinite(loss):
            raise self._diverged(f"the loss is {loss}")
        with self.replicas.one_core():
            self._apply_gradients()
        return loss

    def _apply_gradients(self) -> None:
        """Update the weights and their running mean with the gradients."""
        settings = self.config.training
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), settings.clip_norm)
        self.optimizers.step(self.learning_rate)
        self.step += 1
        # At first the mean spans about the last tenth of the updates so far, so that it soon leaves
        # the initial weights behind; later it spans what average_decay says.
        decay = min(settings.average_decay, self.step / (self.step + 10))
        parameters = [p.detach() for p in self.model.parameters()]
        torch._foreach_lerp_(list(self.average.values()), parameters, 1 - decay)

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
        tensors |= {f"best.{k}": v for k, v in self.stopping.weights.items()}
        tensors |= self.optimizers.tensors()
        if name := nonfinite_tensor(tensors):
            raise self._diverged(f"{name} holds NaN or Inf")
        facts = TrainingFacts(
            self.step, self.seconds, self.history, self._fingerprint(), self._data(), self.losses,
            self.stopping.results.get(0),
        )  # fmt: skip
        write_state(self.checkpoint, facts, tensors)

    def resume(self) -> None:
        """Go on from the checkpoint, if there is one and this has not been done."""
        if not self.step and self.checkpoint.exists():
            self.load()

    def load(self) -> None:
        """Read the state from the checkpoint.

        Raises:
            ModelError: if the checkpoint is damaged or belongs to another training.
        """
        facts, tensors = read_state(self.checkpoint)
        known, known_steps = comparable_settings(facts.config)
        own, own_steps = comparable_settings(self._fingerprint())
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
        rows = {row["step"]: row[self.measured] for row in self.history}
        self.stopping.restore(facts.start_result, rows, part("best."))

    def _shapes(self, step: int) -> dict[str, torch.Size]:
        """Return names and shapes of all tensors in a checkpoint after ``step`` updates."""
        shapes = {f"weights.{k}": v.shape for k, v in self.model.state_dict().items()}
        shapes |= {f"average.{k}": v.shape for k, v in self.average.items()}
        if self.config.training.patience:
            shapes |= {f"best.{k}": v.shape for k, v in self.average.items()}
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
