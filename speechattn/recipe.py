"""The recipe: ``python -m speechattn.recipe [CONFIG] [key=value …]``.

Stages, in the order of the data: prepare (frames and labels of every set), train (a model, its
decoder tuned on dev), evaluate (scores on every test set), transcribe (some test recordings, as
files and pictures), report (all of it on one page). A stage is skipped when its inputs have not
changed; training goes on where it was interrupted. ``stages=train,evaluate`` runs some of them,
``force=true`` runs them even when nothing has changed.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shutil
import sys
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

import speechattn
from speechattn.atomic import atomic_write_text
from speechattn.checkpoint import Checkpoint, pick_device
from speechattn.config import RecipeConfig
from speechattn.configfile import read_config
from speechattn.corpus import Corpus, read_corpus
from speechattn.decoder import decode
from speechattn.errors import ConfigError, SpeechattnError
from speechattn.evaluate import Scores
from speechattn.phonemodel import PhoneModel
from speechattn.phones import arpabet, read_phone_table
from speechattn.prepare import PreparedSet, held_out, prepare_set
from speechattn.report import transcribe_examples, write_pictures, write_report
from speechattn.stages import Stage, StageRunner, files_fingerprint, fingerprint
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
        self.phones = read_phone_table(config.phones) if config.phones else arpabet()
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
                self.prepare,
                lambda: [
                    *of("train", "dev", "test", "hold_out", "front_end", "synth", "seed"),
                    self.phones.to_dict(),
                    self._corpora_fingerprint,
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

    def prepare(self) -> None:
        """Read the corpora and compute the frames and labels of every set."""
        config = self.config
        if config.synth:
            self._synthesise()
        share = config.hold_out
        train = [self._corpus(entry) for entry in config.train]
        sets = {
            "train": [_part(corpus, share, False) for corpus in train],
            "dev": [self._corpus(entry) for entry in config.dev],
            "test": [self._corpus(entry) for entry in config.test],
        }
        if share:
            sets["dev"] += [_part(corpus, share, True) for corpus in train]
        for name, corpora in sets.items():
            problems = prepare_set(
                self.work / "prepared" / name,
                corpora,
                phones=self.phones,
                front_end=config.front_end,
                progress=f"prepare {name}",
            )
            for problem in problems:
                say(f"  left out of {name}: {problem}")

    def train(self) -> None:
        """Train the classifier, learn the phone model, tune the decoder, write the model."""
        config = self.config
        self._set_aside_foreign_checkpoint()
        train, dev = self._prepared("train"), self._prepared("dev")
        say(f"  {len(train)} utterances, {train.num_frames / 360_000:.2f} hours, on {self.device}")
        trainer = Trainer(
            config,
            train,
            dev,
            num_phones=len(self.phones),
            silence=self.phones.silence_index,
            checkpoint=self.work / CHECKPOINT,
            device=self.device,
        )
        classifier = trainer.run()
        phone_model = PhoneModel.learn(
            (train.runs(entry) for entry in train.entries), len(self.phones)
        )
        decoding, tried = tune_decoder(
            classifier, phone_model, dev, config.decoding, self.phones.silence_index, self.device
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
            self.phones,
            phone_model,
            decoding,
            facts,
        ).save(self.work / "model")

    def evaluate(self) -> None:
        """Score the model on every test set."""
        model = Checkpoint.load(self.work / "model", self.device)
        test, scores = self._prepared("test"), Scores(model.phones)
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
            self._prepared("test"),
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

    @property
    def corpora(self) -> Path:
        """The folder the corpora lie in; a synthesised one lies in the work folder."""
        return self.work / "corpora" if self.config.synth else Path(self.config.corpora)

    def _corpus(self, entry: str) -> Corpus:
        name, split = entry.split("/")
        return read_corpus(
            self.corpora / name, phones=self.phones, split=None if split == "all" else split
        )

    @cached_property
    def _corpora_fingerprint(self) -> str | None:
        """As they were when the recipe began; looking at thousands of files takes its time."""
        if self.config.synth:
            return None  # made from the configuration alone
        config = self.config
        names = {entry.split("/")[0] for entry in (*config.train, *config.dev, *config.test)}
        files = [p for name in names for p in (self.corpora / name).rglob("*") if p.is_file()]
        return files_fingerprint(files)

    def _synthesise(self) -> None:
        from speechattn.synth import synthesize_corpus

        folder = self.corpora / "espeak"
        if folder.exists():  # of other settings, or this stage would have been skipped
            shutil.rmtree(folder)
        sizes = self.config.synth
        synthesize_corpus(
            folder,
            utterances=sizes.train,
            dev_utterances=sizes.dev,
            test_utterances=sizes.test,
            seed=self.config.seed,
        )

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

    def _prepared(self, name: str) -> PreparedSet:
        return PreparedSet(self.work / "prepared" / name)

    def _write_json(self, name: str, value: dict) -> None:
        atomic_write_text(self.work / name, json.dumps(value, indent=1) + "\n")

    def _read_json(self, name: str) -> dict:
        return json.loads((self.work / name).read_text(encoding="utf-8"))


def _part(corpus: Corpus, share: float, kept_back: bool) -> Corpus:
    """The utterances of a training corpus that are kept back for dev, or all others."""
    chosen = [u for u in corpus.utterances if held_out(u, share) == kept_back]
    problems = () if kept_back else corpus.problems  # said once
    return dataclasses.replace(corpus, utterances=tuple(chosen), problems=problems)


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
        recipe.runner.run(names, force)
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
