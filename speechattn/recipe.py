"""The recipe: ``python -m speechattn.recipe [CONFIG] [key=value …]``.

Stages, in the order of the data: prepare (frames and labels of every set), train (a model, its
decoder tuned on dev), evaluate (scores on every test set), transcribe (some test recordings, as
files and pictures), report (all of it on one page). A stage is skipped when its inputs have not
changed; training goes on where it was interrupted. ``stages=train,evaluate`` runs some of them,
``force=true`` runs them even when nothing has changed, training from its first step.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

import speechattn
from speechattn.atomic import atomic_write_text
from speechattn.checkpoint import Checkpoint, pick_device
from speechattn.config import RecipeConfig
from speechattn.configfile import read_config
from speechattn.decoder import decode
from speechattn.errors import ConfigError, SpeechattnError, UsageError
from speechattn.evaluate import Scores
from speechattn.phonemodel import PhoneModel
from speechattn.recipe_data import RecipeData
from speechattn.report import transcribe_examples, write_pictures, write_report
from speechattn.stages import Stage, StageRunner, fingerprint
from speechattn.text import one_line
from speechattn.train import Trainer
from speechattn.tune import decoder_grid, log_posteriors, tune_decoder

CHECKPOINT = "train/checkpoint.safetensors"  # of the training, in the work folder
STAGES = ("prepare", "train", "evaluate", "transcribe", "report")


class Recipe:
    """One recipe in its work folder.

    ``prepared/train|dev|test``, ``train/`` (checkpoint, history), ``model/``, ``evaluate/``,
    ``transcribe/`` and ``report.md`` are what its stages write.
    """

    def __init__(self, config: RecipeConfig):
        self.config = config
        self.work = Path(config.work_dir)
        self.device = pick_device(config.device)
        self.data = RecipeData(config, self.work, say)
        decoder_grid(config.decoding)  # an impossible value shows now, not after training
        if config.threads:
            torch.set_num_threads(config.threads)
        parts = config.to_dict()

        def of(*names: str) -> list:
            return [speechattn.__version__, *(parts[name] for name in names)]

        work = self.work
        stages = [
            Stage(
                "prepare",
                self.data.prepare,
                lambda: [
                    *of("train", "dev", "test", "hold_out", "front_end", "synth", "seed"),
                    self.data.fingerprint,
                ],
                [work / "prepared" / name / "index.json" for name in ("train", "dev", "test")],
            ),
            Stage(
                "train",
                self.train,
                lambda: of("name", "encoder", "training", "augmentation", "decoding", "seed"),
                [work / "model" / "config.json", work / "model" / "model.safetensors"],
                ["prepare"],
            ),
            Stage(
                "evaluate", self.evaluate, lambda: of(), [work / "evaluate/scores.json"], ["train"]
            ),
            Stage(
                "transcribe",
                self.transcribe,
                lambda: of("transcribe"),
                [work / "transcribe/transcripts.jsonl"],
                ["train"],
            ),
            Stage(
                "report",
                self.report,
                lambda: of(),
                [work / "report.md"],
                ["evaluate", "transcribe"],
            ),
        ]
        self.runner = StageRunner(stages, work / "stamps.json", say)

    def train(self) -> None:
        """Train the classifier, learn the phone model, tune the decoder, write the model."""
        config = self.config
        self._set_aside_foreign_checkpoint()
        train, dev = self.data.prepared("train"), self.data.prepared("dev")
        say(f"  {len(train)} utterances, {train.num_frames / 360_000:.2f} hours, on {self.device}")
        trainer = Trainer(
            config,
            train,
            dev,
            num_phones=len(self.data.phones),
            silence=self.data.phones.silence_index,
            checkpoint=self.work / CHECKPOINT,
            device=self.device,
        )
        classifier = trainer.run()
        phone_model = PhoneModel.learn(
            (train.runs(entry) for entry in train.entries), len(self.data.phones)
        )
        decoding, tried = tune_decoder(
            classifier,
            phone_model,
            dev,
            config.decoding,
            self.data.phones.silence_index,
            self.device,
        )
        history = {
            "steps": trainer.step,
            "seconds": round(trainer.seconds, 1),
            "frames": trainer.batches.num_frames,
            "history": trainer.history,
            "decoding": tried,
        }
        self._write_json("train/history.json", history)
        facts = {key: history[key] for key in ("steps", "seconds", "frames")}
        facts |= {"train": config.train, "seed": config.seed}
        Checkpoint(
            config.name,
            classifier,
            config.front_end,
            self.data.phones,
            phone_model,
            decoding,
            facts,
        ).save(self.work / "model")

    def evaluate(self) -> None:
        """Score the model on every test set."""
        model = Checkpoint.load(self.work / "model", self.device)
        test, scores = self.data.prepared("test"), Scores(model.phones)
        for entry in test.entries:
            frames = log_posteriors(model.classifier, test.frames(entry), self.device)
            scores.add(
                test.runs(entry),
                decode(frames, model.phone_model, model.decoding),
                np.argmax(frames, 1),
                speaker=entry.speaker,
                corpus=entry.corpus,
            )
        write_pictures(self.work / "evaluate", scores, self._read_json("train/history.json"))
        atomic_write_text(self.work / "evaluate/scores.md", scores.table() + "\n")
        atomic_write_text(self.work / "evaluate/speakers.md", scores.table("speaker") + "\n")
        self._write_json("evaluate/scores.json", scores.to_dict())

    def transcribe(self) -> None:
        """Transcribe some test recordings as a user would, and draw them beside the reference."""
        transcribe_examples(
            self.work / "model",
            self.data.prepared("test"),
            self.config.transcribe,
            self.work / "transcribe",
            self.config.device,
        )

    def report(self) -> None:
        """Put everything on one page."""
        write_report(self.work, self.config)
        say((self.work / "evaluate/scores.md").read_text(encoding="utf-8"))
        for path in sorted((self.work / "transcribe").rglob("*.png")):
            say(f"  picture:  {path}\n  TextGrid: {path.with_suffix('.TextGrid')}")
        say(f"  model:    {self.work / 'model'}\n  report:   {self.work / 'report.md'}")

    def forget_training(self) -> None:
        """Let the train stage begin at step 0."""
        (self.work / CHECKPOINT).unlink(missing_ok=True)

    def _set_aside_foreign_checkpoint(self) -> None:
        """Let training go on only from a checkpoint of these very inputs."""
        config = self.config.to_dict()
        parts = [config[name] for name in ("encoder", "training", "augmentation")]
        inputs = fingerprint([self.runner.fingerprint("prepare"), *parts])
        mark, checkpoint = self.work / "train/inputs.txt", self.work / CHECKPOINT
        # Without the mark the trainer compares what it can.
        if checkpoint.exists() and mark.exists() and mark.read_text(encoding="utf-8") != inputs:
            os.replace(checkpoint, checkpoint.with_name("previous.safetensors"))
            say(f"  settings or data have changed since {checkpoint} was written: training afresh")
        atomic_write_text(mark, inputs)

    def _write_json(self, name: str, value: dict) -> None:
        atomic_write_text(self.work / name, json.dumps(value, indent=1) + "\n")

    def _read_json(self, name: str) -> dict:
        return json.loads((self.work / name).read_text(encoding="utf-8"))


def say(text: str) -> None:
    """One line for the user, at once, after whatever progress bar was there."""
    print(text, flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit status: 0 done, 1 a stage failed, 2 wrong usage."""
    parser = argparse.ArgumentParser(
        prog="python -m speechattn.recipe",
        description="Prepare, train, evaluate, transcribe and report, as a recipe says.",
        epilog="Everything a recipe holds can be overridden: training.steps=500, seed=1 …",
    )
    parser.add_argument(
        "config",
        nargs="?",
        help="a YAML file, or the name of a recipe that comes with the package (default: default)",
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="see the recipe's keys")
    arguments = parser.parse_args(argv)
    config, overrides = arguments.config, list(arguments.overrides)
    if config and "=" in config:
        config, overrides = None, [config, *overrides]
    try:
        names, force, overrides = _stage_arguments(overrides)
        recipe = Recipe(read_config(config, overrides))
    except SpeechattnError as error:
        print(f"speechattn.recipe: error: {one_line(str(error))}", file=sys.stderr)
        return 2
    try:
        if force and "train" in names:
            recipe.forget_training()
        recipe.runner.run(names, force)
    except UsageError as error:
        print(f"speechattn.recipe: error: {one_line(str(error))}", file=sys.stderr)
        return 2
    except (SpeechattnError, OSError) as error:
        print(f"speechattn.recipe: error: {one_line(str(error))}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("speechattn.recipe: interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


def _stage_arguments(overrides: list[str]) -> tuple[list[str], bool, list[str]]:
    """Take ``stages=`` and ``force=`` out of the overrides; they are not part of a recipe."""
    names, force, rest = list(STAGES), False, []
    for override in overrides:
        key, _, value = override.partition("=")
        if key == "stages":
            names = value.split(",")
            for name in names:
                if name not in STAGES:
                    raise ConfigError(f"stages: {name!r}; the stages are {', '.join(STAGES)}")
        elif key == "force":
            if value not in ("true", "false"):
                raise ConfigError(f"force: {value!r}; true or false")
            force = value == "true"
        else:
            rest.append(override)
    return names, force, rest


if __name__ == "__main__":
    sys.exit(main())
