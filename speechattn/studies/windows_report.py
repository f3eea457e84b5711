"""The report of ``speechattn bench windows``: tables in Markdown, all results in CSV, pictures.

The pictures show accuracy by window and by cost, and memory by length.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from speechattn.bench.transcription.report import MIB, UNKNOWN
from speechattn.evaluation.charts import label_points
from speechattn.evaluation.metrics import Rate, resampling_units
from speechattn.evaluation.pictures import DPI, RIGHT, WRONG, save_figure
from speechattn.segments import FRAMES_PER_SECOND, SHIFT_MS
from speechattn.studies.windows_costs import HOUR_FRAMES, UTTERANCE_FRAMES
from speechattn.studies.windows_results import USEFUL, Draws, Outcome, counterpart, ladder
from speechattn.studies.windows_variants import ANY_UPDATES, FULL
from speechattn.text import figure, table

ALL = "all"  # in the column of the seed
COLUMNS = (
    *("variant", "kind", "window_frames", "seed"),
    *("frame_accuracy", "frame_accuracy_low", "frame_accuracy_high", "per", "per_low", "per_high"),
    *("dev_frame_accuracy", "training_seconds", "steps", "weights", "multiply_adds_a_frame"),
    *("receptive_field_ms", "look_ahead_ms", "frames_per_second"),
)
ANY = "#8a5aa8"  # colour of the model for any window
COLOURS = {"attention": RIGHT, "frames": "#7a7a7a", "cnn": WRONG, "rnn": "#4a9a5b"}
MARKERS = "os^vD<>ph*XP"


def markdown_report(outcomes: Sequence[Outcome], facts: dict[str, str], quick: bool) -> str:
    """Write the whole report.

    Args:
        outcomes: outcomes of all variants, at least one.
        facts: what was trained, and where.
        quick: whether the benchmark was a quick one.
    """
    unit = resampling_units(outcomes[0].rows(next(iter(outcomes[0].runs))))[0]
    note = (
        "In per cent, with intervals of 95 % from drawing the test set's "
        f"{unit} anew; seeds are pooled. Frames are 10 ms, silence is a class; PER is of the "
        "decoded path, silence dropped. Windows of attention are in every block. Multiply-adds and "
        "frames a second: an utterance of 10 s. Look-ahead: front end included. Memory: the most "
        "a process had that did nothing else, PyTorch included, at 10 s and at one hour; "
        f"{UNKNOWN} where that would have taken too long."
    )
    header = ["encoder", "frame accuracy", "PER", "weights", "million multiply-adds a frame"]
    header += ["receptive field (ms)", "look-ahead (ms)", "frames a second"]
    header += ["MiB at 10 s", "MiB at 1 h"]
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
    """Return a table of the rates on each corpus of the test set."""
    corpora = outcomes[0].corpora
    rows = [
        (
            outcome.variant.name,
            *(_rate_alone(outcome.frame_accuracy(corpus=corpus)) for corpus in corpora),
            *(_rate_alone(outcome.per(corpus=corpus)) for corpus in corpora),
        )
        for outcome in outcomes
    ]
    header = [f"{what}, {corpus}" for what in ("frame accuracy", "PER") for corpus in corpora]
    return table(("encoder", *header), rows)


def _rate_alone(rate: Rate | None) -> str:
    return UNKNOWN if rate is None else f"{100 * rate.rate:.1f}"


def _findings(outcomes: Sequence[Outcome]) -> list[str]:
    """Return the comparisons between variants, in sentences and tables."""
    draws = Draws(outcomes)
    own, shared = ladder(outcomes, any_window=False), ladder(outcomes, any_window=True)
    parts = []
    if useful := draws.largest_useful(own):
        best, low, high = (f"±{outcome.variant.window}" for outcome in useful)
        parts.append(
            f"Largest useful window, the smallest to which no wider one adds {100 * USEFUL:g} "
            f"points of frame accuracy: {best} frames in each block ({low} to {high})."
        )
    by_window = {outcome.variant.window: outcome for outcome in own}
    rows = [
        (outcome, single)
        for outcome in shared
        if (single := by_window.get(outcome.variant.window)) is not None
    ]
    rows += [
        (outcome, single)
        for outcome in outcomes
        if outcome.variant.window is None and (single := counterpart(outcome, own))
    ]
    if rows:
        parts.append(
            "Differences of frame accuracy in points, on the same draws of the test set, seeds "
            "drawn as well: one model for any window less the model trained for that window, and "
            "other encoders less the window of attention that looks as far ahead."
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
    """Return the cells of a variant in the main table."""
    found = outcome.measured
    return (
        outcome.variant.name,
        _percent(outcome.frame_accuracy()),
        _percent(outcome.per()),
        f"{found.weights:,}",
        figure(found.multiply_adds / 1e6, 3),
        _number(found.receptive_field_ms, "all"),
        _number(found.look_ahead_ms, "all"),
        f"{found.frames_per_second:,.0f}",
        _mib(found.memory.get(UTTERANCE_FRAMES)),
        _mib(found.memory.get(HOUR_FRAMES)),
    )


def csv_report(outcomes: Sequence[Outcome]) -> str:
    """Write a CSV file with a row for every variant and seed, and one for all seeds.

    The columns are :data:`COLUMNS` and then peak memory, a column for every length in seconds. A
    cell is empty if the value is unknown or has no limit.
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
    """Return the cells of one seed, or of all seeds, in the order of :data:`COLUMNS`."""
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


def window_picture(path: str | Path, outcomes: Sequence[Outcome]) -> None:
    """Draw frame accuracy by window of attention; other encoders are horizontal lines.

    Raises:
        UsageError: if the file cannot be written.
    """
    known = [outcome for outcome in outcomes if outcome.frame_accuracy()]
    own, shared = ladder(known, any_window=False), ladder(known, any_window=True)
    windows = list(dict.fromkeys(outcome.variant.window for outcome in ladder(known)))
    figure, (axis,) = _figure()
    for steps, colour, label in (
        (own, RIGHT, "trained for this window"),
        (shared, ANY, "one model for any window"),
    ):
        if steps:
            positions = [windows.index(outcome.variant.window) for outcome in steps]
            rates, bars = _with_bars(steps)
            axis.errorbar(
                positions, rates, bars, marker="o", capsize=3, color=colour, zorder=3, label=label
            )
    if own and shared:
        axis.legend(frameon=False, fontsize=8)
    for outcome in outcomes:
        if outcome.variant.window is None and (found := outcome.frame_accuracy()):
            colour = COLOURS[outcome.variant.encoder.kind]
            axis.axhline(found.rate, color=colour, linestyle="--", linewidth=1)
            axis.annotate(
                outcome.variant.name,
                (1, found.rate),
                xycoords=("axes fraction", "data"),
                xytext=(4, 0),
                textcoords="offset points",
                fontsize=8,
                va="center",
                color=colour,
                annotation_clip=False,
            )
    names = ["all" if window == FULL else f"±{window}" for window in windows]
    axis.set_xticks(range(len(names)), names)
    axis.set_xlabel(f"window of attention in every block ({SHIFT_MS:g} ms frames)")
    _accuracy_axis(axis)
    save_figure(path, figure)


def cost_picture(path: str | Path, outcomes: Sequence[Outcome]) -> None:
    """Draw frame accuracy by multiply-adds and by time, with names and intervals.

    A line joins the variants of :func:`frontier`. Models for any window are left out, because they
    cost as much as models of one window.

    Raises:
        UsageError: if the file cannot be written.
    """
    known = [
        (outcome, rate)
        for outcome in outcomes
        if not outcome.variant.encoder.any_window and (rate := outcome.frame_accuracy())
    ]
    figure, axes = _figure(2, width=12)
    microseconds = [1e6 / o.measured.frames_per_second for o, _ in known]
    millions = [o.measured.multiply_adds / 1e6 for o, _ in known]
    for axis, costs, label in (
        (axes[0], millions, "million multiply-adds a frame"),
        (axes[1], microseconds, "microseconds a frame"),
    ):
        for (outcome, rate), cost in zip(known, costs):
            colour = COLOURS[outcome.variant.encoder.kind]
            axis.errorbar([cost], [rate.rate], _bars([rate]), marker="o", capsize=3, color=colour)
        points = [(cost, rate.rate) for cost, (_, rate) in zip(costs, known)]
        best = frontier(points)
        axis.plot(*zip(*best), color="#999999", linewidth=1, zorder=0)
        axis.margins(x=0.12)
        axis.set_xlabel(label)
        _accuracy_axis(axis)
        label_points(axis, points, [outcome.variant.name for outcome, _ in known])
    save_figure(path, figure)


def frontier(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the (cost, accuracy) pairs that no pair of the same or a lower cost matches."""
    best: list[tuple[float, float]] = []
    for cost, accuracy in sorted(points, key=lambda point: (point[0], -point[1])):
        if not best or accuracy > best[-1][1]:
            best.append((cost, accuracy))
    return best


def memory_picture(path: str | Path, outcomes: Sequence[Outcome]) -> None:
    """Draw peak memory by length of the recording; the legend begins with the highest line.

    Models for any window are left out, as in :func:`cost_picture`.

    Raises:
        UsageError: if the file cannot be written.
    """
    lines = []
    for number, outcome in enumerate(outcomes):
        known = [(n, peak) for n, peak in sorted(outcome.measured.memory.items()) if peak]
        if known and not outcome.variant.encoder.any_window:
            seconds = [frames / FRAMES_PER_SECOND for frames, _ in known]
            lines.append((seconds, [peak / MIB for _, peak in known], number, outcome.variant))
    lines.sort(key=lambda line: -line[1][-1])
    figure, (axis,) = _figure()
    for seconds, mebibytes, number, variant in lines:
        colour, marker = COLOURS[variant.encoder.kind], MARKERS[number % len(MARKERS)]
        (line,) = axis.plot(seconds, mebibytes, label=variant.name, color=colour, marker=marker)
        line.set(linewidth=1, markersize=4)
    if lines:
        axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize=8)
    axis.set_xscale("log")
    lengths = sorted({length for seconds, *_ in lines for length in seconds})
    axis.set_xticks(lengths, [f"{length:g}" for length in lengths])
    axis.minorticks_off()
    axis.set_ylim(bottom=0)
    axis.set_xlabel("length of the recording (s)")
    axis.set_ylabel("peak memory of the process (MiB)")
    save_figure(path, figure)


def _figure(columns: int = 1, width: float = 8) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(width, 5), dpi=DPI, layout="constrained")
    axes = list(figure.subplots(1, columns, squeeze=False)[0])
    for axis in axes:
        axis.grid(color="#e5e5e5", linewidth=0.6)
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _accuracy_axis(axis: Axes) -> None:
    axis.yaxis.set_major_formatter(PercentFormatter(1.0))
    axis.set_ylabel("frame accuracy, test")


def _with_bars(outcomes: Sequence[Outcome]) -> tuple[list[float], list[list[float]]]:
    rates = [rate for outcome in outcomes if (rate := outcome.frame_accuracy())]
    return [rate.rate for rate in rates], _bars(rates)


def _bars(rates: Sequence[Rate]) -> list[list[float]]:
    """Return the lengths of the error bars, those below the rates and those above them."""
    below = [max(0.0, rate.rate - rate.low) for rate in rates]
    return [below, [max(0.0, rate.high - rate.rate) for rate in rates]]
