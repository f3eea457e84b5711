"""The report of ``speechattn bench windows``: one table in Markdown, everything as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from speechattn.bench.transcribe_report import MIB, UNKNOWN
from speechattn.bench.windows_bootstrap import Rate, bootstrap, units
from speechattn.bench.windows_measure import HOUR_FRAMES, UTTERANCE_FRAMES, Measured
from speechattn.bench.windows_variants import Variant
from speechattn.markdown import table
from speechattn.timing import FRAMES_PER_SECOND

ALL = "all"  # seeds
COLUMNS = (
    *("variant", "kind", "window_frames", "seed"),
    *("frame_accuracy", "frame_accuracy_low", "frame_accuracy_high", "per", "per_low", "per_high"),
    *("dev_frame_accuracy", "training_seconds", "steps", "weights", "multiply_adds_a_frame"),
    *("receptive_field_ms", "look_ahead_ms", "frames_per_second"),
)


@dataclass
class Outcome:
    """A variant, trained with every seed, and what it takes.

    Attributes:
        variant: the encoder.
        runs: seed → what :meth:`speechattn.bench.windows_train.VariantRun.run` gives.
        measured: what it costs.
    """

    variant: Variant
    runs: dict[int, dict]
    measured: Measured

    def rows(self, seed: int | None = None) -> list[dict]:
        """Test utterances of one seed, or of all."""
        seeds = self.runs if seed is None else [seed]
        return [row for number in seeds for row in self.runs[number]["utterances"]]

    def frame_accuracy(self, seed: int | None = None) -> Rate | None:
        """Share of 10 ms frames that the classifier has right."""
        rows = self.rows(seed)
        parts = [row["classifier_correct"] for row in rows]
        return bootstrap(units(rows)[1], parts, [row["classified_frames"] for row in rows])

    def per(self, seed: int | None = None) -> Rate | None:
        """Phone error rate of the decoded path, silence dropped."""
        rows = self.rows(seed)
        parts = [row["substitutions"] + row["insertions"] + row["deletions"] for row in rows]
        return bootstrap(units(rows)[1], parts, [row["phones"] for row in rows])


def markdown_report(outcomes: Sequence[Outcome], facts: dict[str, str], quick: bool) -> str:
    """The whole report.

    Args:
        outcomes: of all variants, at least one.
        facts: what was trained, and where.
        quick: whether it is a first picture only.
    """
    unit = units(outcomes[0].rows(next(iter(outcomes[0].runs))))[0]
    note = (
        "In per cent, with intervals of 95 % from drawing the test set's "
        f"{unit} anew; seeds are pooled. Frames are 10 ms, silence is a class; PER is of the "
        "decoded path, silence dropped. Windows of attention are in every block. Multiply-adds and "
        "frames a second: an utterance of 10 s. Look-ahead: front end included. Memory: the most "
        "a process had that did nothing else, PyTorch included, at 10 s and at one hour; "
        f"{UNKNOWN} where that would have taken too long."
    )
    header = ("encoder", "frame accuracy", "PER", "weights", "million multiply-adds a frame")
    header += ("receptive field (ms)", "look-ahead (ms)", "frames a second")
    header += ("MiB at 10 s", "MiB at 1 h")
    parts = ["# Windows and encoders", table(("", ""), facts.items()), note]
    if quick:
        parts.append("A first picture: after so few updates rates are far from final.")
    parts.append(table(header, [_cells(outcome) for outcome in outcomes]))
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _cells(outcome: Outcome) -> tuple[str, ...]:
    found = outcome.measured
    return (
        outcome.variant.name,
        _percent(outcome.frame_accuracy()),
        _percent(outcome.per()),
        f"{found.weights:,}",
        f"{found.multiply_adds / 1e6:.3g}",
        _number(found.receptive_field_ms, "all"),
        _number(found.look_ahead_ms, "all"),
        f"{found.frames_per_second:,.0f}",
        _mib(found.memory.get(UTTERANCE_FRAMES)),
        _mib(found.memory.get(HOUR_FRAMES)),
    )


def csv_report(outcomes: Sequence[Outcome]) -> str:
    """A row for every variant and seed and one for all seeds, with the header :data:`COLUMNS`.

    Memory follows in columns named after the length in seconds. No limit, and what is not known,
    are empty.
    """
    lengths = sorted({frames for outcome in outcomes for frames in outcome.measured.memory})
    memory = [f"peak_bytes_{frames // FRAMES_PER_SECOND}_s" for frames in lengths]
    buffer = io.StringIO()
    rows = csv.writer(buffer, lineterminator="\n")
    rows.writerow([*COLUMNS, *memory])
    for outcome in outcomes:
        for seed in (*outcome.runs, None):
            cells = _csv_cells(outcome, seed)
            cells += [outcome.measured.memory.get(frames) for frames in lengths]
            rows.writerow(["" if cell is None else cell for cell in cells])
    return buffer.getvalue()


def _csv_cells(outcome: Outcome, seed: int | None) -> list:
    nothing = (None, None, None)
    found, runs = outcome.measured, list(outcome.runs.values())
    if seed is not None:
        runs = [outcome.runs[seed]]
    means = [sum(run[key] for run in runs) / len(runs) for key in ("dev_frame_accuracy", "seconds")]
    return [
        *(outcome.variant.name, outcome.variant.encoder.kind, outcome.variant.window),
        ALL if seed is None else seed,
        *(outcome.frame_accuracy(seed) or nothing),
        *(outcome.per(seed) or nothing),
        *means,
        *(runs[0]["steps"], found.weights, found.multiply_adds),
        *(found.receptive_field_ms, found.look_ahead_ms, found.frames_per_second),
    ]


def _percent(rate: Rate | None) -> str:
    if rate is None:
        return UNKNOWN
    return f"{100 * rate.rate:.1f} ({100 * rate.low:.1f} to {100 * rate.high:.1f})"


def _number(value: float | None, missing: str) -> str:
    return missing if value is None else f"{value:,g}"


def _mib(value: int | None) -> str:
    return UNKNOWN if value is None else f"{value / MIB:,.0f}"
