"""What all studies share: many small trainings, each done once, and a table of their scores.

:func:`run_trials` runs the trials that are out of date and writes the report. :func:`fit` trains a
small model on data that fits in memory. :func:`attention_layers` makes the layers of such models.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from scipy import stats
from torch import Tensor, nn

import speechattn
from speechattn.attention.multihead import MultiHeadAttention
from speechattn.checks import check
from speechattn.encoder.layers import FeedForward, Residual
from speechattn.errors import SpeechattnError, UsageError
from speechattn.files import atomic_write_text
from speechattn.text import figure
from speechattn.training.optim import schedule
from speechattn.training.stages import STAMPS, Stage, StageRunner
from speechattn.training.work_folder import at_work

REPORT, SCORES = "report.md", "scores.csv"  # in the work folder
CONFIDENCE = 0.95  # of the intervals
MOST_SEEDS = 1000
Trial = tuple[str, int]  # name and seed
CLIP_NORM = 1.0  # gradients are scaled down to this norm
INNER = 2  # width inside a feed-forward layer, in widths of the model


@dataclass(frozen=True)
class FitConfig:
    """How every model of a study is trained.

    Attributes:
        steps: number of updates.
        batch: number of examples in each update.
        learning_rate: learning rate of AdamW (Loshchilov & Hutter, 2019) at its peak.
        warmup_steps: updates until the peak; after it the rate follows half a cosine down to zero.
        weight_decay: weight decay of AdamW.
    """

    steps: int = 500
    batch: int = 32
    learning_rate: float = 0.003
    warmup_steps: int = 20
    weight_decay: float = 0.01

    def __post_init__(self) -> None:
        check("training.", self, ("steps", "batch"), lambda v: v >= 1, "from 1 on")
        check("training.", self, ("warmup_steps", "weight_decay"), lambda v: v >= 0, "from 0 on")
        check("training.", self, ("learning_rate",), lambda v: v > 0, "above 0")


@dataclass(frozen=True)
class StudyConfig:
    """Keys that the recipes of all studies have.

    Attributes:
        name: title of the report.
        work_dir: folder for everything the recipe writes.
        seeds: number of trainings of each kind, with consecutive seeds.
        seed: the first of these seeds.
        threads: threads of PyTorch; 0 for its own choice.
    """

    name: str
    work_dir: str
    seeds: int = 3
    seed: int = 0
    threads: int = 0

    def __post_init__(self) -> None:
        check("", self, ("name", "work_dir"), lambda v: v != "", "it cannot be empty")
        check("", self, ("seed", "threads"), lambda v: v >= 0, "from 0 on")
        check("", self, ("seeds",), lambda v: 1 <= v <= MOST_SEEDS, f"from 1 to {MOST_SEEDS}")

    @property
    def all_seeds(self) -> range:
        """The seeds of the trainings of each kind."""
        return range(self.seed, self.seed + self.seeds)


def run_trials(
    config: StudyConfig,
    data: object,
    trials: Mapping[Trial, Callable[[], dict[str, float]]],
    write: Callable[[list[dict]], str],
    *,
    force: bool,
    report: Callable[[str], None],
) -> None:
    """Run the trials that have not been run on these inputs before; write and print the report.

    ``scores.csv`` has a row for every trial. ``runs/`` has a file for every trial, so that it need
    not be run again.

    Args:
        config: recipe of the study. A change of ``name``, ``work_dir``, ``seeds`` or ``seed`` does
            not make a trial out of date.
        data: JSON values that identify the data, such as a digest.
        trials: (name, seed) → function that trains and returns scores by name.
        write: makes the report in Markdown from the rows, each with trial, seed and scores; it may
            also draw pictures.
        force: run all trials again.
        report: takes one line for the user.

    Raises:
        UsageError: if another process is at work in ``work_dir``, or it cannot be written.
        SpeechattnError: if a training fails.
        OSError: if a file cannot be written.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    with at_work(Path(config.work_dir)):
        _run_trials(config, data, trials, write, force, report)


def _run_trials(
    config: StudyConfig,
    data: object,
    trials: Mapping[Trial, Callable[[], dict[str, float]]],
    write: Callable[[list[dict]], str],
    force: bool,
    report: Callable[[str], None],
) -> None:
    """See :func:`run_trials`."""
    work = Path(config.work_dir)
    values = dataclasses.asdict(config)
    settings = {k: v for k, v in values.items() if k not in ("name", "seeds", "seed", "work_dir")}
    facts = [speechattn.__version__, type(config).__module__, settings, data]
    inputs = json.loads(json.dumps(facts))  # keys become text, as they are when read from a file

    def path(trial: Trial) -> Path:
        return work / "runs" / f"{re.sub('[^a-z0-9]+', '-', trial[0].lower())}-{trial[1]}.json"

    def train(trial: Trial) -> None:
        scores = trials[trial]()
        atomic_write_text(path(trial), json.dumps(scores, indent=1) + "\n")
        report("  " + ", ".join(f"{name} {figure(value, 4)}" for name, value in scores.items()))

    def stage(trial: Trial) -> Stage:
        name = f"{trial[0]}, seed {trial[1]}"
        return Stage(name, partial(train, trial), lambda: [inputs, *trial], [path(trial)])

    for trial in trials:
        remove_damaged(path(trial), report)
    stages = [stage(trial) for trial in trials]
    runner = StageRunner(stages, work / STAMPS, report)
    runner.run([stage.name for stage in stages], force)
    rows = [
        {"trial": trial[0], "seed": trial[1], **json.loads(path(trial).read_text("utf-8"))}
        for trial in trials
    ]
    text = f"# {config.name}\n\n{write(rows)}\n"
    atomic_write_text(work / SCORES, _csv(rows))
    atomic_write_text(work / REPORT, text)
    report(text)
    report(f"  report:  {work / REPORT}\n  scores:  {work / SCORES}")


def remove_damaged(path: Path, report: Callable[[str], None]) -> None:
    """Remove a file of results that holds no JSON mapping, so that they are made again."""
    try:
        whole = isinstance(json.loads(path.read_text(encoding="utf-8")), dict)
    except FileNotFoundError:
        return
    except (ValueError, RecursionError):
        whole = False
    if not whole:
        report(f"  {path}: damaged; made again")
        path.unlink()


def missing(package: str) -> UsageError:
    """Return the error for a package that a study needs and that is not installed."""
    return UsageError(f"{package} is not installed; run: pip install 'speechattn[studies]'")


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean over seeds and half the width of its 95 % interval (Student's t).

    The half width is NaN for one seed.
    """
    sample = np.asarray(values, dtype=np.float64)
    if len(sample) < 2:
        return float(sample.mean()), float("nan")
    error = sample.std(ddof=1) / np.sqrt(len(sample))
    return float(sample.mean()), float(error * stats.t.ppf((1 + CONFIDENCE) / 2, len(sample) - 1))


def percent(values: Sequence[float]) -> str:
    """Format the mean of fractions with its interval, in percent."""
    mean, half = interval(values)
    return f"{100 * mean:.1f}" + ("" if np.isnan(half) else f" ± {100 * half:.1f}")


def _csv(rows: Sequence[dict]) -> str:
    text = io.StringIO()
    columns = list(dict.fromkeys(key for row in rows for key in row))
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def fit(
    model: nn.Module,
    loss: Callable[[Tensor], Tensor],
    examples: int,
    settings: FitConfig,
    seed: int,
) -> nn.Module:
    """Train a model for a number of updates.

    Args:
        model: model with initial weights; it is changed in place.
        loss: returns the mean loss of a batch, given the indices of its examples, shape (batch,).
        examples: number of examples; all are drawn once before one is drawn again.
        settings: steps, batch size, learning rate and weight decay.
        seed: seed of the batches and of the model's dropout.

    Returns:
        The same model, in evaluation mode.

    Raises:
        SpeechattnError: if there are no examples, or the loss is no longer finite.
    """
    if examples < 1:
        raise SpeechattnError("training: no examples; give the recipe more data")
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    torch.manual_seed(seed)
    batches = _batches(examples, settings.batch, torch.Generator().manual_seed(seed))
    model.train()
    for step in range(settings.steps):
        share = schedule(step, settings.steps, settings.warmup_steps)
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * share
        optimizer.zero_grad(set_to_none=True)
        value = loss(next(batches))
        if not math.isfinite(value.item()):
            raise SpeechattnError(
                f"training.learning_rate: {settings.learning_rate}: the loss is {value.item()} at "
                f"step {step}; lower the learning rate or lengthen training.warmup_steps"
            )
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
        optimizer.step()
    return model.eval()


def _batches(examples: int, batch: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield batches of indices without end; shuffle anew whenever all have been drawn."""
    waiting = torch.empty(0, dtype=torch.long)
    while True:
        while len(waiting) < batch:
            waiting = torch.cat([waiting, torch.randperm(examples, generator=generator)])
        yield waiting[:batch]
        waiting = waiting[batch:]


def with_feed_forward(width: int, layers: list[nn.Module]) -> nn.ModuleList:
    """Add a feed-forward layer after each layer, and residual connections around all of them.

    Args:
        width: width of the vectors.
        layers: modules that take ``x``, shape (batch, positions, width), and a second argument, and
            return the shape of ``x``.

    Returns:
        Modules that take ``x`` and the second argument.
    """
    pairs = [(layer, FeedForward(width, INNER * width, 0.0)) for layer in layers]
    return nn.ModuleList(Residual(width, layer, 0.0) for pair in pairs for layer in pair)


def attention_layers(
    width: int,
    heads: int,
    count: int,
    *,
    positions: str = "none",
    mask: object = None,
    reach: int | tuple[int, ...] | None = None,
) -> nn.ModuleList:
    """Make layers of self-attention, each followed by a feed-forward layer.

    Args:
        width: width of the vectors.
        heads: number of heads of each attention layer.
        count: number of attention layers.
        positions: as in :class:`speechattn.attention.multihead.MultiHeadAttention`; so are the
            others.
        mask: which positions see which.
        reach: largest distance with a bias of its own.
    """
    layers: list[nn.Module] = [
        MultiHeadAttention(width, heads, positions=positions, mask=mask, reach=reach)
        for _ in range(count)
    ]
    return with_feed_forward(width, layers)


def apply_layers(layers: nn.ModuleList, x: Tensor, second: object = None) -> Tensor:
    """Apply layers one after the other; ``second`` is the second argument of each."""
    for layer in layers:
        x = layer(x, second)
    return x


def weights_of(model: nn.Module) -> int:
    """Count the weights of a model."""
    return sum(parameter.numel() for parameter in model.parameters())
