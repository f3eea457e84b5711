"""What the tasks share: many small trainings, each done once, and a table of their scores."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from scipy import stats

import speechattn
from speechattn.errors import UsageError
from speechattn.files import atomic_write_text
from speechattn.studies.fit import FitConfig
from speechattn.training.config import check
from speechattn.training.stages import Stage, StageRunner

REPORT, SCORES = "report.md", "scores.csv"  # in the work folder
CONFIDENCE = 0.95  # of the intervals
MOST_SEEDS = 1000
Trial = tuple[str, int]  # name of what is trained, and the seed


@dataclass(frozen=True)
class TaskConfig:
    """What every task's recipe holds.

    Attributes:
        name: heads the report.
        work_dir: everything the recipe writes lies here.
        seeds: trainings of each kind.
        seed: the first of their seeds.
        threads: of torch; 0 for its own choice.
        training: of each model.
    """

    name: str
    work_dir: str
    seeds: int = 3
    seed: int = 0
    threads: int = 0
    training: FitConfig = field(default_factory=FitConfig)

    def __post_init__(self) -> None:
        check("", self, ("name", "work_dir"), lambda v: v != "", "it cannot be empty")
        check("", self, ("seed", "threads"), lambda v: v >= 0, "from 0 on")
        check("", self, ("seeds",), lambda v: 1 <= v <= MOST_SEEDS, f"from 1 to {MOST_SEEDS}")

    @property
    def all_seeds(self) -> range:
        """The seeds of each kind's trainings."""
        return range(self.seed, self.seed + self.seeds)


def run_trials(
    config: TaskConfig,
    data: object,
    trials: Mapping[Trial, Callable[[], dict[str, float]]],
    report: Callable[[list[dict]], str],
    *,
    force: bool,
    say: Callable[[str], None],
) -> None:
    """Train what has not been trained on these inputs before, then write and print the report.

    ``scores.csv`` has a row for every trial, and ``runs/`` a file, which is what is found again.

    Args:
        config: of the task; everything in it but ``name``, ``seeds`` and ``seed`` counts as input.
        data: JSON values that tell the data apart from other data, such as a digest.
        trials: (name, seed) → trains and returns the scores by name.
        report: Markdown from rows of trial, seed and scores; may draw pictures beside it.
        force: train everything again.
        say: takes one line for the user.

    Raises:
        SpeechattnError: if a training fails.
        OSError: if a file cannot be written.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    work = Path(config.work_dir)
    held = dataclasses.asdict(config)
    inputs = {k: v for k, v in held.items() if k not in ("name", "seeds", "seed", "work_dir")}
    # Through JSON, so that the fingerprint is that of what a file could hold.
    inputs = json.loads(json.dumps([speechattn.__version__, type(config).__module__, inputs, data]))

    def path(trial: Trial) -> Path:
        return work / "runs" / f"{re.sub('[^a-z0-9]+', '-', trial[0].lower())}-{trial[1]}.json"

    def train(trial: Trial) -> None:
        scores = trials[trial]()
        atomic_write_text(path(trial), json.dumps(scores, indent=1) + "\n")
        say("  " + ", ".join(f"{name} {value:.4g}" for name, value in scores.items()))

    stages = [
        Stage(
            f"{trial[0]}, seed {trial[1]}",
            lambda trial=trial: train(trial),
            lambda trial=trial: [inputs, *trial],
            [path(trial)],
        )
        for trial in trials
    ]
    StageRunner(stages, work / "stamps.json", say).run([stage.name for stage in stages], force)
    rows = [
        {"trial": trial[0], "seed": trial[1], **json.loads(path(trial).read_text("utf-8"))}
        for trial in trials
    ]
    text = f"# {config.name}\n\n{report(rows)}\n"
    atomic_write_text(work / SCORES, _csv(rows))
    atomic_write_text(work / REPORT, text)
    say(text)
    say(f"  report:  {work / REPORT}\n  scores:  {work / SCORES}")


def missing(package: str) -> UsageError:
    """The error for a package that a task needs and that is not installed."""
    return UsageError(f"{package} is not installed; run: pip install 'speechattn[tasks]'")


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean over seeds, and half the width of its 95 % interval (Student's t); NaN for one seed."""
    values = np.asarray(values, dtype=np.float64)
    if len(values) < 2:
        return float(values.mean()), float("nan")
    error = values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean()), float(error * stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1))


def percent(values: Sequence[float]) -> str:
    """Fractions as their mean with its interval, in percent."""
    mean, half = interval(values)
    return f"{100 * mean:.1f}" + ("" if np.isnan(half) else f" ± {100 * half:.1f}")


def _csv(rows: Sequence[dict]) -> str:
    text = io.StringIO()
    columns = list(dict.fromkeys(key for row in rows for key in row))
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
