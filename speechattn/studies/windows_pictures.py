"""The pictures of ``speechattn bench windows``: accuracy against window and cost, memory against length."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from speechattn.bench.transcribe_report import MIB
from speechattn.evaluation.pictures import DPI, RIGHT, WRONG, save_figure
from speechattn.studies.windows_outcome import Outcome
from speechattn.studies.windows_results import ladder
from speechattn.studies.windows_variants import FULL
from speechattn.timing import FRAMES_PER_SECOND, SHIFT_MS

ANY = "#8a5aa8"  # the model for any window
COLOURS = {"attention": RIGHT, "frames": "#7a7a7a", "cnn": WRONG, "rnn": "#4a9a5b"}
MARKERS = "os^vD<>ph*XP"
GRID = {"color": "#e5e5e5", "linewidth": 0.6}


def window_picture(path: str | Path, outcomes: Sequence[Outcome]) -> None:
    """Frame accuracy by the window of attention, with intervals; other encoders as lines across.

    Raises:
        UsageError: if the file cannot be written.
    """
    known = [outcome for outcome in outcomes if outcome.frame_accuracy()]
    own, shared = ladder(known, any_window=False), ladder(known, any_window=True)
    windows = list(dict.fromkeys(outcome.variant.window for outcome in ladder(known)))
    figure, axis = _figure()
    for steps, colour, label in (
        (own, RIGHT, "trained for this window"),
        (shared, ANY, "one model for any window"),
    ):
        if steps:
            places = [windows.index(outcome.variant.window) for outcome in steps]
            style = {"marker": "o", "capsize": 3, "color": colour, "zorder": 3, "label": label}
            axis.errorbar(places, *_with_bars(steps), **style)
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
    """Frame accuracy by multiply-adds and by speed, every variant with its name and its interval.

    A line joins those that nothing cheaper beats. A model for any window costs what one trained for
    the window costs, and is left out.

    Raises:
        UsageError: if the file cannot be written.
    """
    known = [o for o in outcomes if o.frame_accuracy() and not o.variant.encoder.any_window]
    figure, axes = _figure(2, width=12)
    microseconds = [1e6 / o.measured.frames_per_second for o in known]
    millions = [o.measured.multiply_adds / 1e6 for o in known]
    for axis, costs, label in (
        (axes[0], millions, "million multiply-adds a frame"),
        (axes[1], microseconds, "microseconds a frame"),
    ):
        for outcome, cost in zip(known, costs):
            found, colour = outcome.frame_accuracy(), COLOURS[outcome.variant.encoder.kind]
            axis.errorbar([cost], [found.rate], _bars([found]), marker="o", capsize=3, color=colour)
            place = {"xytext": (4, 4), "textcoords": "offset points"}
            axis.annotate(outcome.variant.name, (cost, found.rate), fontsize=7, **place)
        best = frontier([(cost, o.frame_accuracy().rate) for cost, o in zip(costs, known)])
        axis.plot(*zip(*best), color="#999999", linewidth=1, zorder=0)
        axis.margins(x=0.12)
        axis.set_xlabel(label)
        _accuracy_axis(axis)
    save_figure(path, figure)


def frontier(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The (cost, accuracy) pairs that no other equals or beats at that cost or less, by cost."""
    best: list[tuple[float, float]] = []
    for cost, accuracy in sorted(points, key=lambda point: (point[0], -point[1])):
        if not best or accuracy > best[-1][1]:
            best.append((cost, accuracy))
    return best


def memory_picture(path: str | Path, outcomes: Sequence[Outcome]) -> None:
    """Peak memory by the length of a recording, a line for every variant, the highest named first.

    A model for any window is left out, as in :func:`cost_picture`.

    Raises:
        UsageError: if the file cannot be written.
    """
    lines = []
    for number, outcome in enumerate(outcomes):
        known = [(n, held) for n, held in sorted(outcome.measured.memory.items()) if held]
        if known and not outcome.variant.encoder.any_window:
            seconds = [frames / FRAMES_PER_SECOND for frames, _ in known]
            lines.append((seconds, [held / MIB for _, held in known], number, outcome.variant))
    lines.sort(key=lambda line: -line[1][-1])
    figure, axis = _figure()
    for seconds, mebibytes, number, variant in lines:
        style = {"marker": MARKERS[number % len(MARKERS)], "color": COLOURS[variant.encoder.kind]}
        axis.plot(seconds, mebibytes, label=variant.name, linewidth=1, markersize=4, **style)
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


def _figure(columns: int = 1, width: float = 8):
    figure = Figure(figsize=(width, 5), dpi=DPI, layout="constrained")
    axes = figure.subplots(1, columns)
    for axis in [axes] if columns == 1 else axes:
        axis.grid(**GRID)
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _accuracy_axis(axis) -> None:
    axis.yaxis.set_major_formatter(PercentFormatter(1.0))
    axis.set_ylabel("frame accuracy, test")


def _with_bars(outcomes: Sequence[Outcome]):
    rates = [outcome.frame_accuracy() for outcome in outcomes]
    return [found.rate for found in rates], _bars(rates)


def _bars(rates):
    """Lengths below and above each rate."""
    below = [max(0.0, found.rate - found.low) for found in rates]
    return [below, [max(0.0, found.high - found.rate) for found in rates]]
