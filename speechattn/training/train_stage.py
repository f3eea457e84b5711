"""The train stage of a recipe: a classifier, the decoder around it, and the model's files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import torch

from speechattn.corpora.prepared import PreparedSet
from speechattn.encoder.encoder import PhoneClassifier
from speechattn.encoder.int8 import input_ranges
from speechattn.encoder.onednn import fast_bfloat16
from speechattn.errors import ConfigError
from speechattn.files import atomic_write_text
from speechattn.inference.checkpoint import Checkpoint
from speechattn.segments import FRAMES_PER_SECOND
from speechattn.training.batches import TrainingBatches
from speechattn.training.config import RecipeConfig
from speechattn.training.decoding import estimate_phone_model, tune_decoder
from speechattn.training.recipe_data import RecipeData
from speechattn.training.sources.run_record import write_run_record
from speechattn.training.sources.whisper import whisper_classifier
from speechattn.training.stages import as_before, fingerprint
from speechattn.training.trainer import Trainer
from speechattn.training.trainer_state import WITHOUT_EFFECT
from speechattn.training.updates.event_log import EventLog
from speechattn.training.updates.process_group import ProcessGroup
from speechattn.training.warm_start import (
    InitialModel,
    initial_model,
    interpolate_weights,
    load_teacher,
)

CHECKPOINT = "train/checkpoint.safetensors"  # of the training, in the work folder
RANGE_BATCHES = 16  # batches that the ranges of 8-bit layers are measured on


def check_reach(limit: int | None, name: str, prepared: PreparedSet) -> None:
    """Check that the encoder's positions reach to the end of the longest utterance of a set.

    Utterances of dev and test are evaluated whole; those of train are cropped. Without this check,
    the first evaluation would find the error, perhaps hours later.

    Args:
        limit: longest utterance in 10 ms frames, ``encoder.trained_length``; None for any length.
        name: name of the set.
        prepared: the set.

    Raises:
        ConfigError: if the utterance is too long.
    """
    longest = max(prepared.entries, key=lambda entry: entry.frames, default=None)
    if limit is not None and longest is not None and longest.frames > limit:
        raise ConfigError(
            f"encoder.trained_length: {limit} frames, but {longest.corpus} {longest.id} of {name} "
            f"({longest.path}) has {longest.frames}: raise it, choose positions that reach any "
            "length (rotary, distance), or leave the utterance out"
        )


def make_trainer(
    config: RecipeConfig,
    data: RecipeData,
    checkpoint: Path,
    device: torch.device,
    start: InitialModel | None,
    teacher: PhoneClassifier | None = None,
    group: ProcessGroup | None = None,
) -> Trainer:
    """Make the trainer of a recipe; see :func:`train_model`."""
    return Trainer(
        config,
        data.prepared("train"),
        data.prepared("dev"),
        num_phones=len(data.phones),
        silence=data.phones.silence_index,
        checkpoint=checkpoint,
        device=device,
        noises=data.noises(),
        start=start.classifier if start else None,
        teacher=teacher,
        group=group,
        log=event_log(config, checkpoint.parent, group),
    )


def event_log(config: RecipeConfig, folder: Path, group: ProcessGroup | None) -> EventLog | None:
    """Open the event files of TensorBoard, if the recipe wants them.

    Raises:
        UsageError: if TensorBoard is not installed.
    """
    if not config.training.tensorboard or not (group or ProcessGroup()).is_first:
        return None
    return EventLog(folder / "events")


def train_model(
    config: RecipeConfig,
    data: RecipeData,
    checkpoint: Path,
    device: torch.device,
    start: InitialModel | None = None,
    teacher: PhoneClassifier | None = None,
    group: ProcessGroup | None = None,
    begin: Callable[[], None] | None = None,
) -> tuple[Checkpoint, dict]:
    """Train a classifier, estimate the phone model, tune the decoder.

    Args:
        config: recipe.
        data: prepared sets of the recipe.
        checkpoint: file with the state of the training, which goes on from it if it exists.
        device: where to compute.
        start: model that training begins with; None for random weights.
        teacher: model whose posteriors are learned; None for labels alone.
        group: processes that train together; None for this one alone.
        begin: called before the first update, once the checkpoint has proved to be of this recipe.

    Returns:
        The model, and its history: ``steps``, ``seconds``, ``frames``, ``history`` and
        ``decoding``, the decoder options that were tried.
    """
    train, dev, phones = data.prepared("train"), data.prepared("dev"), data.phones
    trainer = make_trainer(config, data, checkpoint, device, start, teacher, group)
    kept = start.decoder if start else None
    # Before the training, so that an error here does not cost hours.
    if kept is not None:
        phone_model = kept.phone_model
    else:
        phone_model = estimate_phone_model(
            train, phones, config.decoding, data.heard_lexicon(), data.report
        )
    trainer.resume()
    if begin is not None:
        begin()
    classifier = trainer.run()
    assert isinstance(classifier, PhoneClassifier)
    if start is not None:
        classifier = interpolate_weights(start.classifier, classifier, config.training.start_share)
    tried: list[dict] = []
    if kept is not None:
        decoding = kept.decoding
    else:
        decoding, tried = tune_decoder(
            classifier, phone_model, dev, config.decoding, phones.silence_index, device
        )
    history = {
        "steps": trainer.step,
        "seconds": round(trainer.seconds, 1),
        "frames": trainer.batches.num_frames,
        "history": trainer.history,
        "decoding": tried,
    }
    if config.training.patience:
        history["best_step"] = trainer.stopping.best_step
        history["results"] = trainer.stopping.results
    model = Checkpoint(
        *(config.name, classifier, config.front_end, phones, phone_model, decoding),
        ranges=input_ranges(classifier, augmented_utterances(trainer.batches)),
    )
    return model, history


def augmented_utterances(batches: TrainingBatches) -> Iterator[torch.Tensor]:
    """Yield the frames of some training utterances with augmentation, shape (frames, dim)."""
    for step in range(RANGE_BATCHES):
        batch = batches.draft(step).batch
        for frames, length in zip(batch.frames, batch.lengths.tolist()):
            yield frames[:length]


class TrainStage:
    """Train stage of a recipe, which goes on where an earlier run stopped.

    It goes on from a checkpoint of the same settings and data. If ``training.steps`` was raised
    since, it also goes on, with the learning rate of the new schedule. After any other change that
    the weights depend on, it trains afresh.

    Args:
        config: recipe.
        work: work folder; ``train/`` (checkpoint, history) and ``model/`` are written there.
        data: prepared sets of the recipe.
        device: where to compute.
        prepared: returns a fingerprint of the inputs of the prepared sets.
        report: takes one line for the user.
        group: processes that train together; None for this one alone.
    """

    def __init__(
        self,
        config: RecipeConfig,
        work: Path,
        data: RecipeData,
        device: torch.device,
        prepared: Callable[[], str],
        report: Callable[[str], None],
        group: ProcessGroup | None = None,
    ) -> None:
        self.group = group or ProcessGroup()
        self.config, self.work, self.data = config, work, data
        self.device, self.report = device, report
        self._prepared = prepared

    def run(self) -> None:
        """Train the classifier, estimate the phone model, tune the decoder, write the model.

        Raises:
            ConfigError: if an utterance of dev or test is too long for the encoder's positions.
        """
        config = self.config
        train, dev, test = (self.data.prepared(name) for name in ("train", "dev", "test"))
        for name, prepared in (("dev", dev), ("test", test)):
            check_reach(config.encoder.trained_length, name, prepared)
        start, teacher = self._start(), self._teacher()  # before a checkpoint is set aside for them
        self._set_aside_foreign_checkpoint()
        hours = train.num_frames / FRAMES_PER_SECOND / 3600
        self.report(f"  {len(train)} utterances, {hours:.2f} hours, on {self.device}")
        half = config.training.precision == "bf16" and self.device.type == "cpu"
        if half and not fast_bfloat16():
            self.report(
                "  training.precision: bf16, which this processor has no instructions for: "
                "training.precision=fp32 is several times as fast here"
            )
        for note in start.notes if start else ():
            self.report(f"  {note}")
        self.group.from_first(lambda: str(self.work))  # calls the other processes to help
        model, history = train_model(
            *(config, self.data, self.work / CHECKPOINT, self.device, start, teacher, self.group),
            begin=lambda: write_run_record(config, self.work, self.data, self.group.size),
        )
        if start and config.training.patience and history["best_step"] == 0:
            self.report("  dev did not improve: the weights are those that training began with")
        atomic_write_text(self.work / "train/history.json", json.dumps(history, indent=1) + "\n")
        facts = {key: history[key] for key in ("steps", "seconds", "frames")}
        facts |= {"train": config.train, "seed": config.seed}
        replace(model, training=facts).save(self.work / "model")

    def _start(self) -> InitialModel | None:
        """The model that training begins with, if there is one."""
        config = self.config
        if config.whisper:
            phones, train = len(self.data.phones), self.data.prepared("train")
            shape = config.encoder, config.front_end
            classifier = whisper_classifier(config.whisper, *shape, phones, train).to(self.device)
            return InitialModel(classifier, None, (f"{config.whisper}: its encoder is taken",))
        if not config.start_from:
            return None
        return initial_model(self.config, self.data.phones, self.device)

    def _teacher(self) -> PhoneClassifier | None:
        """The model whose posteriors are learned, if there is one."""
        if not self.config.teacher:
            return None
        return load_teacher(self.config, self.data.phones, self.device).classifier

    def help_out(self) -> None:
        """Train beside process 0, which does everything else; the data are prepared."""
        checkpoint = self.work / CHECKPOINT
        models = self._start(), self._teacher()
        make_trainer(self.config, self.data, checkpoint, self.device, *models, self.group).run()

    def forget(self) -> None:
        """Delete the checkpoint, so that training begins at step 0."""
        (self.work / CHECKPOINT).unlink(missing_ok=True)

    def _set_aside_foreign_checkpoint(self) -> None:
        """Set a checkpoint aside that was made from other inputs."""
        config = self.config.to_dict()
        without = (*WITHOUT_EFFECT, "steps")
        training = {k: v for k, v in as_before(config["training"]).items() if k not in without}
        parts = [config["encoder"], training, as_before(config["augmentation"])]
        inputs = [self._prepared(), *parts, *self.data.start_digest]
        steps = self.config.training.steps
        set_aside_foreign(self.work / CHECKPOINT, inputs, self.report, steps)


def set_aside_foreign(
    checkpoint: Path, inputs: object, report: Callable[[str], None], steps: int = 0
) -> None:
    """Rename a checkpoint that was made from other inputs, so that training begins afresh.

    Args:
        checkpoint: checkpoint of the training; ``inputs.txt`` beside it has a fingerprint of its
            inputs and its number of steps.
        inputs: everything that the weights depend on except the number of steps, as JSON values.
        report: takes one line for the user.
        steps: number of steps of the training; a checkpoint of more steps is set aside as well.
    """
    mark, current = checkpoint.with_name("inputs.txt"), fingerprint(inputs)
    # If there is no mark, the trainer compares what it can.
    if checkpoint.exists() and mark.exists():
        known, _, known_steps = mark.read_text(encoding="utf-8", errors="replace").partition(" ")
        if known != current or (known_steps.isdecimal() and int(known_steps) > steps):
            checkpoint.replace(checkpoint.with_name("previous.safetensors"))
            report(
                f"  settings or data have changed since {checkpoint} was written: training afresh"
            )
    atomic_write_text(mark, f"{current} {steps}")
