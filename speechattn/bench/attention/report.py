"""The report of ``speechattn bench attention``: a Markdown table, a CSV and a plot."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import torch
from matplotlib.figure import Figure

from speechattn.bench.attention.peers import OURS, Case
from speechattn.bench.attention.timing import Measurement, dtype_name
from speechattn.evaluation.pictures import DPI, save_figure
from speechattn.text import table

UNKNOWN = "–"
Key = TypeVar("Key", bound=Hashable)
MOST_TICKS = 6  # lengths that are labelled on an axis
COLUMNS = (
    *("length", "left", "right", "heads", "dim", "dtype", "pass", "method", "seconds"),
    *("fastest", "slowest", "samples", "setup_seconds", "to_speechattn", "max_abs_error"),
    *("gflops_per_second", "gemm_fraction", "peak_memory_bytes", "note"),
)
NOTE = """\
Medians, with one thread of processor time; every round times each method once, in turn, in one
process; *rounds* are fewer for what is slow, and a method that would take seconds a call is left
out. One sequence of T frames.
*x ours*: time relative to speechattn's own. *error*: largest absolute difference from the equation
in float64, of the outputs and, with backward, of the gradients (long sequences: in stretches, both
ends among them). *GFLOP/s* counts what the window needs, 4 T (left + 1 + right) D H, with backward
3.5 times that; *of peak* is its fraction of a large matrix product in the same run. *setup* is the
first call, compilation included. *MiB*: largest memory of a process that computes it once and does
nothing else, Python, PyTorch and the inputs included (ours only, with `--memory`)."""


def markdown_report(
    found: Sequence[Measurement], peaks: dict[torch.dtype, float], facts: dict[str, str]
) -> str:
    """The whole report.

    Args:
        found: all measurements.
        peaks: operations a second of a large matrix product, by dtype.
        facts: about the machine.
    """
    facts = facts | {
        f"matrix product, {dtype_name(dtype)}": f"{peak / 1e9:.0f} GFLOP/s"
        for dtype, peak in peaks.items()
    }
    parts = ["# Attention benchmark", table(("", ""), facts.items()), NOTE]
    header = ("T", "window", "method", "ms", "rounds", "ns/frame", "x ours", "error", "GFLOP/s")
    for (heads, dim, dtype, backward), group in _grouped(found, _setting):
        steps = "forward + backward" if backward else "forward"
        parts.append(f"## {steps}, {dtype_name(dtype)}, {heads} heads of {dim}")
        rows = [_row(m, own_seconds(group, m.case), peaks[dtype]) for m in group]
        parts.append(table((*header, "of peak", "setup (s)", "MiB", "note"), rows))
    return "\n\n".join(parts) + "\n"


def _row(m: Measurement, own: float, peak: float) -> tuple[str, ...]:
    speed = m.case.flops / m.seconds
    return (
        f"{m.case.length:,}",
        f"{m.case.left}/{m.case.right}",
        m.method,
        _number(1e3 * m.seconds, ".2f"),
        str(len(m.samples)) if m.samples else UNKNOWN,
        _number(1e9 * m.seconds / m.case.length, ".0f"),
        _number(m.seconds / own, ".2f"),
        _number(m.error, ".0e"),
        _number(speed / 1e9, ".1f"),
        _number(100 * speed / peak, ".0f") + (" %" if m.samples else ""),
        _number(m.setup, ".2f"),
        UNKNOWN if m.memory is None else f"{m.memory / 2**20:.0f}",
        m.note,
    )


def csv_report(found: Sequence[Measurement], peaks: dict[torch.dtype, float]) -> str:
    """Every method and case, with the header :data:`COLUMNS`; unknown is empty."""
    buffer = io.StringIO()
    rows = csv.writer(buffer, lineterminator="\n")
    rows.writerow(COLUMNS)
    for m in found:
        case, speed = m.case, m.case.flops / m.seconds
        steps = "forward+backward" if case.backward else "forward"
        what = case.length, case.left, case.right, case.heads, case.dim, dtype_name(case.dtype)
        ends = (min(m.samples), max(m.samples)) if m.samples else (math.nan, math.nan)
        ratio = m.seconds / own_seconds(found, case)
        times = [_number(x, ".6g") for x in (m.seconds, *ends)]
        rest = [_number(x, ".4g") for x in (m.setup, ratio, m.error, speed / 1e9)]
        fraction = _number(speed / peaks[case.dtype], ".4g")
        memory = UNKNOWN if m.memory is None else m.memory
        cells = [*times, len(m.samples), *rest, fraction, memory]
        cells = ["" if cell == UNKNOWN else cell for cell in cells]
        rows.writerow([*what, steps, m.method, *cells, m.note])
    return buffer.getvalue()


def plot(path: str | Path, found: Sequence[Measurement]) -> None:
    """Draw time against T on logarithmic axes: a line for each method, a panel for each setting.

    Args:
        path: of the PNG.
        found: all measurements.

    Raises:
        UsageError: if the file cannot be written.
    """
    panels = _grouped(found, lambda m: (*_setting(m), m.case.left, m.case.right))
    columns = min(4, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(4.2 * columns, 3.6 * rows + 0.9), dpi=DPI, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).flat
    lengths = sorted({m.case.length for m in found})
    names = list(dict.fromkeys(m.method for m in found))
    lines = {}
    for axis, ((heads, _, dtype, backward, left, right), group) in zip(axes, panels):
        for number, name in enumerate(names):
            points = sorted(
                (m.case.length, m.seconds) for m in group if m.method == name and m.samples
            )
            if points:
                lines[name] = axis.loglog(
                    *zip(*points),
                    marker="o",
                    markersize=4,
                    color=f"C{number}",
                    linewidth=2.4 if name == OURS else 1.2,
                    zorder=3 if name == OURS else 2,
                )[0]
        steps = "forward + backward" if backward else "forward"
        axis.set_title(
            f"{steps}, {dtype_name(dtype)}, window {left}/{right}, {heads} heads", fontsize=9
        )
        axis.grid(which="major", color="#cccccc", linewidth=0.5)
        if len(lengths) <= MOST_TICKS:
            axis.set_xticks(lengths, [f"{length:,}" for length in lengths], minor=False)
            axis.set_xticks([], minor=True)
        axis.tick_params(labelsize=8, labelbottom=True, labelleft=True)
        axis.set_xlabel("frames")
        axis.set_ylabel("seconds")
    for axis in list(axes)[len(panels) :]:
        axis.set_visible(False)
    figure.legend(lines.values(), lines.keys(), loc="outside lower center", ncols=4, fontsize=8)
    save_figure(path, figure)


def own_seconds(found: Iterable[Measurement], case: Case) -> float:
    """Return the seconds of our own method on a case, NaN if it was not run."""
    return next((m.seconds for m in found if m.case == case and m.method == OURS), math.nan)


def _setting(m: Measurement) -> tuple[int, int, torch.dtype, bool]:
    return m.case.heads, m.case.dim, m.case.dtype, m.case.backward


def _grouped(
    found: Sequence[Measurement], key: Callable[[Measurement], Key]
) -> list[tuple[Key, list[Measurement]]]:
    groups: dict[Key, list[Measurement]] = {}
    for m in found:
        groups.setdefault(key(m), []).append(m)
    return list(groups.items())


def _number(value: float, form: str) -> str:
    return UNKNOWN if math.isnan(value) else format(value, form)
