"""The report of ``speechattn bench windows``: one table in Markdown, everything as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from speechattn.bench.transcribe_report import MIB, UNKNOWN
from speechattn.evaluation.bootstrap import Rate, units
from speechattn.markdown import table
from speechattn.studies.windows_outcome import Outcome
from speechattn.studies.windows_results import USEFUL, Draws, counterpart, ladder
from speechattn.studies.windows_training import HOUR_FRAMES, UTTERANCE_FRAMES
from speechattn.studies.windows_variants import ANY_UPDATES
from speechattn.timing import FRAMES_PER_SECOND

ALL = "all"  # seeds
COLUMNS = (
    *("variant", "kind", "window_frames", "seed"),
    *("frame_accuracy", "frame_accuracy_low", "frame_accuracy_high", "per", "per_low", "per_high"),
    *("dev_frame_accuracy", "training_seconds", "steps", "weights", "multiply_adds_a_frame"),
    *("receptive_field_ms", "look_ahead_ms", "frames_per_second"),
)


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
    if any(outcome.variant.encoder.any_window for outcome in outcomes):
        parts.append(
            f"The model for any window is trained for {ANY_UPDATES} times as many updates."
        )
    parts.append(table(header, [_cells(outcome) for outcome in outcomes]))
    if len(outcomes[0].corpora) > 1:
        parts.append(_by_corpus(outcomes))
    parts += _findings(outcomes)
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _by_corpus(outcomes: Sequence[Outcome]) -> str:
    corpora = outcomes[0].corpora
    rows = [
        (
            outcome.variant.name,
            *(f"{100 * outcome.frame_accuracy(corpus=corpus).rate:.1f}" for corpus in corpora),
            *(f"{100 * outcome.per(corpus=corpus).rate:.1f}" for corpus in corpora),
        )
        for outcome in outcomes
    ]
    header = [f"{what}, {corpus}" for what in ("frame accuracy", "PER") for corpus in corpora]
    return table(("encoder", *header), rows)


def _findings(outcomes: Sequence[Outcome]) -> list[str]:
    """What the variants say together, in words and tables."""
    draws = Draws(outcomes)
    own, shared = ladder(outcomes, any_window=False), ladder(outcomes, any_window=True)
    parts = []
    if found := draws.largest_useful(own):
        best, low, high = (f"±{outcome.variant.window}" for outcome in found)
        parts.append(
            f"Largest useful window, the smallest to which no wider one adds {100 * USEFUL:g} points "
            f"of frame accuracy: {best} frames in each block ({low} to {high})."
        )
    by_window = {outcome.variant.window: outcome for outcome in own}
    rows = []
    for outcome in shared:
        if single := by_window.get(outcome.variant.window):
            rows.append((outcome, single))
    for outcome in outcomes:
        if outcome.variant.window is None and (single := counterpart(outcome, own)):
            rows.append((outcome, single))
    if rows:
        parts.append(
            "Differences of frame accuracy in points, on the same draws of the test set, seeds drawn "
            "as well: one model for any window less the model trained for that window, and other "
            "encoders less the window of attention that looks as far ahead."
        )
        cells = [
            (one.variant.name, single.variant.name, _points(draws.difference(one, single)))
            for one, single in rows
        ]
        parts.append(table(("encoder", "less", "difference"), cells))
    return parts


def _points(rate: Rate) -> str:
    return f"{100 * rate.rate:+.1f} ({100 * rate.low:+.1f} to {100 * rate.high:+.1f})"


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
