"""The recipe: ``python -m speechattn.recipe [CONFIG] [key=value …]``.

Stages, in the order of the data: prepare (frames and labels of every set), train (a model, its
decoder tuned on dev), evaluate (scores on every test set), transcribe (some test recordings, as
files and pictures), report (all of it on one page) and, where the recipe says so, release (the
model as it is handed on). A stage is skipped when its inputs have not
changed; training goes on where it was interrupted. ``stages=train,evaluate`` runs some of them,
``force=true`` runs them even when nothing has changed, training from its first step. The recipe
named in ``first_pass`` is run up to its model before prepare or train, where that is out of date.

A recipe with a ``task`` is of another kind: see :mod:`speechattn.studies`. It has no stages.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable
from pathlib import Path

import torch

import speechattn
from speechattn.errors import ConfigError
from speechattn.evaluation.scores import Scores
from speechattn.files import atomic_write_text
from speechattn.inference.checkpoint import Checkpoint, pick_device
from speechattn.inference.model_files import WEIGHTS
from speechattn.training.config import RecipeConfig
from speechattn.training.decoding import decode_set, decoder_grid
from speechattn.training.recipe_data import PREPARED_FROM, RecipeData
from speechattn.training.recipe_file import find_config, read_config
from speechattn.training.report import release, transcribe_examples, write_pictures, write_report
from speechattn.training.stages import Stage, StageRunner, files_fingerprint
from speechattn.training.train_stage import TrainStage

STAGES = ("prepare", "train", "evaluate", "transcribe", "report", "release")
TRAINED_FROM = ("name", "encoder", "training", "augmentation", "decoding", "seed")


class Recipe:
    """One recipe in its work folder.

    ``prepared/train|dev|test``, ``train/`` (checkpoint, history), ``model/``, ``evaluate/``,
    ``transcribe/`` and ``report.md`` are what its stages write.

    Args:
        config: what the recipe holds.
        say: takes one line for the user.
    """

    def __init__(
        self,
        config: RecipeConfig,
        say: Callable[[str], None] = functools.partial(print, flush=True),
    ):
        self.config = config
        self.say = say
        self.work = Path(config.work_dir)
        self.device = pick_device(config.device)
        self.data = RecipeData(config, self.work, say)
        self.training = TrainStage(
            config,
            self.work,
            self.data,
            self.device,
            lambda: self.runner.fingerprint("prepare"),
            say,
        )
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
                lambda: [*of(*PREPARED_FROM), self.data.fingerprint],
                self.data.outputs,
            ),
            Stage(
                "train",
                self.training.run,
                lambda: [*of(*TRAINED_FROM), *self.data.start_digest],
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
        if config.release:
            folder, card = Path(config.release), config.card and Path(config.card)
            stages.append(
                Stage(
                    "release",
                    lambda: release(work, folder, card),
                    lambda: [*of("release", "card"), files_fingerprint([card] if card else [])],
                    [folder / WEIGHTS],
                    ["evaluate"],
                )
            )
        self.runner = StageRunner(stages, work / "stamps.json", say)

    def evaluate(self) -> None:
        """Score the model on every test set."""
        model = Checkpoint.load(self.work / "model", self.device)
        test, scores = self.data.prepared("test"), Scores(model.phones)
        for entry, runs, labels in decode_set(model, test, self.device):
            scores.add(test.runs(entry), runs, labels, speaker=entry.speaker, corpus=entry.corpus)
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
        self.say((self.work / "evaluate/scores.md").read_text(encoding="utf-8"))
        for path in sorted((self.work / "transcribe").rglob("*.png")):
            self.say(f"  picture:  {path}\n  TextGrid: {path.with_suffix('.TextGrid')}")
        self.say(f"  model:    {self.work / 'model'}\n  report:   {self.work / 'report.md'}")

    def _write_json(self, name: str, value: dict) -> None:
        atomic_write_text(self.work / name, json.dumps(value, indent=1) + "\n")

    def _read_json(self, name: str) -> dict:
        return json.loads((self.work / name).read_text(encoding="utf-8"))


def first_passes(source: str | Path | None, config: RecipeConfig) -> list[RecipeConfig]:
    """The recipes that one builds on, in the order to run them.

    They take over where its corpora lie and what it computes on.

    Args:
        source: file or name that the recipe was read from, as for :func:`read_config`.
        config: what was read, and overridden.

    Raises:
        ConfigError: if one cannot be read, builds on itself, or has the work folder of another.
    """
    passes, paths = [], {find_config(source).resolve()}
    folders = {Path(config.work_dir).resolve()}
    while config.first_pass:
        name, path = config.first_pass, find_config(config.first_pass).resolve()
        if path in paths:
            raise ConfigError(
                f"first_pass: {name} builds on itself; the first of all has none (first_pass=null)"
            )
        paths.add(path)
        config = dataclasses.replace(
            read_config(name), corpora=config.corpora, device=config.device, threads=config.threads
        )
        if Path(config.work_dir).resolve() in folders:
            raise ConfigError(
                f"first_pass: {name} has work_dir {config.work_dir!r}, as another pass has; "
                "give each its own"
            )
        folders.add(Path(config.work_dir).resolve())
        passes.insert(0, config)
    return passes
