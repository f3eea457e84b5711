"""The recipe: ``speechattn train [RECIPE] [key=value …]``.

These are the stages, in the order of the data:

- prepare: frames and labels of every set;
- train: a model, its decoder tuned on dev;
- evaluate: scores on every test set;
- transcribe: some test recordings, as files and pictures;
- report: all of it on one page;
- release, if the recipe has a ``release`` folder: the model for distribution.

A stage is skipped if its inputs have not changed. Training goes on where it was interrupted.
``stages=train,evaluate`` runs only these. ``force=true`` runs stages even if nothing has changed,
and training from its first step. The recipe named in ``first_pass`` is run up to its model before
prepare or train, if that model is out of date.

A recipe with a ``task`` is of another kind and has no stages: see ``speechattn/studies``.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import torch

import speechattn
from speechattn.errors import ConfigError
from speechattn.evaluation.details import Details
from speechattn.evaluation.scores import Scores
from speechattn.files import atomic_write_text
from speechattn.inference.checkpoint import Checkpoint, pick_device
from speechattn.inference.model_files import WEIGHTS
from speechattn.training.config import RecipeConfig
from speechattn.training.decoding import decode_set, decoder_grid
from speechattn.training.recipe_data import PREPARED_FROM, RecipeData
from speechattn.training.recipe_file import find_config, read_config
from speechattn.training.report import release, transcribe_examples, write_pictures, write_report
from speechattn.training.stages import (
    STAMPS,
    Stage,
    StageRunner,
    as_before,
    content_fingerprint,
    files_fingerprint,
)
from speechattn.training.train_stage import TrainStage
from speechattn.training.updates.process_group import ProcessGroup

STAGES = ("prepare", "train", "evaluate", "transcribe", "report", "release")
TRAINED_FROM = ("name", "init", "encoder", "training", "augmentation", "decoding", "seed")


def print_line(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)


class Recipe:
    """One recipe in its work folder.

    The stages write ``prepared/train|dev|test``, ``train/`` (checkpoint, history), ``model/``,
    ``evaluate/``, ``transcribe/`` and ``report.md``.

    Args:
        config: all settings of the recipe.
        report: takes one line for the user.
        group: processes that train together; None for this one alone.
    """

    def __init__(
        self,
        config: RecipeConfig,
        report: Callable[[str], None] = print_line,
        group: ProcessGroup | None = None,
    ) -> None:
        self.config = config
        self._report = report
        self.work = Path(config.work_dir)
        self.device = pick_device(config.device)
        self.data = RecipeData(config, self.work, report)
        self.training = TrainStage(
            config,
            self.work,
            self.data,
            self.device,
            lambda: self.runner.fingerprint("prepare"),
            report,
            group,
        )
        decoder_grid(config.decoding)  # refuses an impossible value now, not after training
        if config.threads:
            torch.set_num_threads(config.threads)
        parts = config.to_dict()
        parts["augmentation"] = as_before(parts["augmentation"])
        parts["decoding"] = as_before(parts["decoding"])
        if not config.decoding.texts:
            del parts["decoding"]["text_weight"]  # without effect
        texts = [Path(path) for path in config.decoding.texts]

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
                lambda: [
                    *of(*TRAINED_FROM),
                    *self.data.start_digest,
                    *map(content_fingerprint, texts),
                ],
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
                self.write_report,
                lambda: of(),
                [work / "report.md"],
                ["evaluate", "transcribe"],
            ),
        ]
        if config.release:
            folder, card = Path(config.release), Path(config.card) if config.card else None
            stages.append(
                Stage(
                    "release",
                    lambda: release(work, folder, card),
                    lambda: [*of("release", "card"), files_fingerprint([card] if card else [])],
                    [folder / WEIGHTS],
                    ["evaluate"],
                )
            )
        self.runner = StageRunner(stages, work / STAMPS, report)

    def evaluate(self) -> None:
        """Score the model on every test set."""
        model = Checkpoint.load(self.work / "model", self.device)
        test, scores = self.data.prepared("test"), Scores(model.phones)
        details = Details(model.phones)
        for entry, runs, labels in decode_set(model, test, self.device):
            where = {"speaker": entry.speaker, "corpus": entry.corpus}
            counts = scores.add(test.runs(entry), runs, labels, **where)
            span = {"path": entry.path, "start": entry.start, "end": entry.end}
            details.add(test.runs(entry), runs, counts, utterance=entry.id, **where, **span)
        write_pictures(self.work / "evaluate", scores, self._read_json("train/history.json"))
        atomic_write_text(self.work / "evaluate/scores.md", scores.table() + "\n")
        atomic_write_text(self.work / "evaluate/speakers.md", scores.table("speaker") + "\n")
        found = {"confusions": scores.confusions().tolist(), **details.to_dict()}
        atomic_write_text(self.work / "evaluate/details.json", json.dumps(found) + "\n")
        self._write_json("evaluate/scores.json", scores.to_dict())

    def transcribe(self) -> None:
        """Transcribe some test recordings as the command does, and draw them with the reference."""
        transcribe_examples(
            self.work / "model",
            self.data.prepared("test"),
            self.config.transcribe,
            self.work / "transcribe",
            self.config.device,
        )

    def write_report(self) -> None:
        """Write everything on one page."""
        write_report(self.work, self.config)
        self._report((self.work / "evaluate/scores.md").read_text(encoding="utf-8"))
        for path in sorted((self.work / "transcribe").rglob("*.png")):
            self._report(f"  picture:  {path}\n  TextGrid: {path.with_suffix('.TextGrid')}")
        self._report(f"  model:    {self.work / 'model'}\n  report:   {self.work / 'report.md'}")

    def _write_json(self, name: str, value: dict) -> None:
        atomic_write_text(self.work / name, json.dumps(value, indent=1) + "\n")

    def _read_json(self, name: str) -> dict:
        return json.loads((self.work / name).read_text(encoding="utf-8"))


def first_passes(source: str | Path | None, config: RecipeConfig) -> list[RecipeConfig]:
    """Return the recipes that a recipe builds on, in the order to run them.

    They use its corpora folder, device and threads.

    Args:
        source: file or name that the recipe was read from, as for :func:`read_config`.
        config: the recipe as read, with overrides.

    Raises:
        ConfigError: if one cannot be read, builds on itself, or has the work folder of another.
    """
    passes: list[RecipeConfig] = []
    paths = {find_config(source).resolve()}
    folders = {Path(config.work_dir).resolve()}
    while config.first_pass or config.first_pass_changes:
        changes = [*config.first_pass_changes, "first_pass_changes=[]"]
        if not config.first_pass_changes:
            source, changes = config.first_pass, []
            path = find_config(source).resolve()
            if path in paths:
                raise ConfigError(
                    f"first_pass: {source} builds on itself; the first of all has none "
                    "(first_pass=null)"
                )
            paths.add(path)
        config = dataclasses.replace(
            read_config(source, changes, said="first_pass_changes"),
            corpora=config.corpora,
            device=config.device,
            threads=config.threads,
        )
        if Path(config.work_dir).resolve() in folders:
            raise ConfigError(
                f"first_pass: {source} has work_dir {config.work_dir!r}, as another pass has; "
                "give each its own"
            )
        folders.add(Path(config.work_dir).resolve())
        passes.insert(0, config)
    return passes
