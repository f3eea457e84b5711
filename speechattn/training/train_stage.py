"""The train stage of a recipe: a classifier, the decoder around it, and the model's files."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import torch

from speechattn.attention.kernels.runtime import fast_bfloat16
from speechattn.corpora.prepared import PreparedSet
from speechattn.encoder.encoder import PhoneClassifier
from speechattn.encoder.int8 import input_ranges
from speechattn.errors import ConfigError
from speechattn.files import atomic_write_text
from speechattn.inference.checkpoint import Checkpoint
from speechattn.segments import FRAMES_PER_SECOND
from speechattn.training.batches import TrainingBatches
from speechattn.training.config import RecipeConfig
from speechattn.training.decoding import estimate_phone_model, tune_decoder
from speechattn.training.recipe_data import RecipeData
from speechattn.training.stages import fingerprint
from speechattn.training.trainer import WITHOUT_EFFECT, Trainer
from speechattn.training.warm_start import interpolate_weights, load_initial_model

CHECKPOINT = "train/checkpoint.safetensors"  # of the training, in the work folder
SAMPLES = 16  # batches that ranges are taken from


def check_reach(limit: int | None, name: str, prepared: PreparedSet) -> None:
    """Raises ConfigError if the longest utterance of a set, which is taken whole, is too long.

    Found now, and not at the first evaluation, which may be hours away. Training crops its own.

    Args:
        limit: 10 ms frames that the encoder's positions reach, ``encoder.trained_length``; None for
            any length.
        name: of the set.
        prepared: the set.
    """
    longest = max(prepared.entries, key=lambda entry: entry.frames, default=None)
    if limit is not None and longest is not None and longest.frames > limit:
        raise ConfigError(
            f"encoder.trained_length: {limit} frames, but {longest.corpus} {longest.id} of {name} "
            f"({longest.path}) has {longest.frames}: raise it, choose positions that reach any "
            "length (rotary, distance), or leave the utterance out"
        )


def train_model(
    config: RecipeConfig,
    data: RecipeData,
    checkpoint: Path,
    device: torch.device,
    start: PhoneClassifier | None = None,
) -> tuple[Checkpoint, dict]:
    """Train a classifier, learn the phone model, tune the decoder.

    Args:
        config: of the recipe.
        data: its prepared sets.
        checkpoint: where training keeps its state, and goes on from if it is there.
        device: where to compute.
        start: weights to begin with; None for random ones.

    Returns:
        The model, and how it came about: ``steps``, ``seconds``, ``frames``, ``history`` and
        ``decoding``, the settings of the decoder that were tried.
    """
    train, dev, phones = data.prepared("train"), data.prepared("dev"), data.phones
    trainer = Trainer(
        config,
        train,
        dev,
        num_phones=len(phones),
        silence=phones.silence_index,
        checkpoint=checkpoint,
        device=device,
        noises=data.noises(),
        start=start,
    )
    phone_model = estimate_phone_model(
        train, phones, config.decoding
    )  # fails before the long training
    classifier = trainer.run()
    if start is not None:
        classifier = interpolate_weights(start, classifier, config.training.start_share)
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
    model = Checkpoint(
        *(config.name, classifier, config.front_end, phones, phone_model, decoding),
        ranges=input_ranges(classifier, heard(trainer.batches)),
    )
    return model, history


def heard(batches: TrainingBatches) -> Iterator[torch.Tensor]:
    """Frames of some utterances as training heard them: in noise, in rooms, at 8 kHz."""
    for step in range(SAMPLES):
        batch = batches.draft(step).batch
        for frames, length in zip(batch.frames, batch.lengths.tolist()):
            yield frames[:length]


class TrainStage:
    """Trains what a recipe says, from where it stopped if it did.

    Args:
        config: of the recipe.
        work: its work folder; ``train/`` (checkpoint, history) and ``model/`` are written there.
        data: its prepared sets.
        device: where to compute.
        prepared: gives a fingerprint of what the sets were made from.
        say: takes one line for the user.
    """

    def __init__(
        self,
        config: RecipeConfig,
        work: Path,
        data: RecipeData,
        device: torch.device,
        prepared: Callable[[], str],
        say: Callable[[str], None],
    ):
        self.config, self.work, self.data = config, work, data
        self.device, self.say = device, say
        self._prepared = prepared

    def run(self) -> None:
        """Train the classifier, learn the phone model, tune the decoder, write the model.

        Raises:
            ConfigError: if an utterance of dev or test is longer than the encoder's positions reach.
        """
        config = self.config
        train, dev, test = (self.data.prepared(name) for name in ("train", "dev", "test"))
        for name, prepared in (("dev", dev), ("test", test)):
            check_reach(config.encoder.trained_length, name, prepared)
        self._set_aside_foreign_checkpoint()
        hours = train.num_frames / FRAMES_PER_SECOND / 3600
        self.say(f"  {len(train)} utterances, {hours:.2f} hours, on {self.device}")
        half = config.training.precision == "bf16" and self.device.type == "cpu"
        if half and not fast_bfloat16():
            self.say(
                "  training.precision: bf16, which this processor has no instructions for: "
                "training.precision=fp32 is several times as fast here"
            )
        start = (
            load_initial_model(config, self.data.phones, self.device) if config.start_from else None
        )
        model, history = train_model(
            config,
            self.data,
            self.work / CHECKPOINT,
            self.device,
            start.classifier if start else None,
        )
        atomic_write_text(self.work / "train/history.json", json.dumps(history, indent=1) + "\n")
        facts = {key: history[key] for key in ("steps", "seconds", "frames")}
        facts |= {"train": config.train, "seed": config.seed}
        replace(model, training=facts).save(self.work / "model")

    def forget(self) -> None:
        """Let the train stage begin at step 0."""
        (self.work / CHECKPOINT).unlink(missing_ok=True)

    def _set_aside_foreign_checkpoint(self) -> None:
        """Let training go on only from a checkpoint of these very inputs."""
        config = self.config.to_dict()
        training = {k: v for k, v in config["training"].items() if k not in WITHOUT_EFFECT}
        parts = [config["encoder"], training, config["augmentation"]]
        inputs = [self._prepared(), *parts, *self.data.start_digest]
        set_aside_foreign(self.work / CHECKPOINT, inputs, self.say)


def set_aside_foreign(checkpoint: Path, inputs: object, say: Callable[[str], None]) -> None:
    """Let a training go on only from a checkpoint of the same inputs; another one is put aside.

    Args:
        checkpoint: of the training; a mark of its inputs is kept beside it.
        inputs: all that the weights depend on, JSON values.
        say: takes one line for the user.
    """
    mark, found = checkpoint.with_name("inputs.txt"), fingerprint(inputs)
    # Without the mark the trainer compares what it can.
    if checkpoint.exists() and mark.exists() and mark.read_text(encoding="utf-8") != found:
        os.replace(checkpoint, checkpoint.with_name("previous.safetensors"))
        say(f"  settings or data have changed since {checkpoint} was written: training afresh")
    atomic_write_text(mark, found)
