"""Charts of an evaluation or a training: confusions, learning curves and reliability, as PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text
from matplotlib.ticker import PercentFormatter
from matplotlib.transforms import Bbox

from speechattn.evaluation.calibration import ReliabilityBin
from speechattn.evaluation.pictures import DPI, RIGHT, WRONG, save_figure


def confusion_picture(
    path: str | Path, matrix: np.ndarray, names: Sequence[str], *, title: str = ""
) -> None:
    """Draw which phones are recognised as which: a heat map, each row divided by its sum.

    Args:
        path: of the PNG.
        matrix: frames by reference (row) and recognised phone (column), shape (phones, phones).
        names: of the phones.
        title: written above.

    Raises:
        ValueError: if matrix and names do not fit.
        UsageError: if the file cannot be written.
    """
    matrix = np.asarray(matrix, dtype=np.float64)
    if matrix.shape != (len(names), len(names)) or len(names) == 0:
        raise ValueError(f"confusions of shape {matrix.shape} for {len(names)} phones")
    totals = matrix.sum(axis=1, keepdims=True)
    shares = np.divide(matrix, totals, out=np.full_like(matrix, np.nan), where=totals > 0)
    side = max(4.0, 0.225 * len(names))
    figure = Figure(figsize=(side + 1.8, side + 1.6), dpi=DPI, layout="constrained")
    axis = figure.subplots()
    axis.set_facecolor("#dddddd")  # shows through where a phone has no reference frames
    # A linear scale would show little but the diagonal.
    image = axis.imshow(shares, cmap="magma_r", norm=PowerNorm(0.5, 0, 1))
    ticks = np.arange(len(names))
    axis.set_xticks(ticks, names, rotation=90, fontsize=8)
    axis.set_yticks(ticks, names, fontsize=8)
    axis.set_xticks(ticks[:-1] + 0.5, minor=True)
    axis.set_yticks(ticks[:-1] + 0.5, minor=True)
    axis.grid(which="minor", color="white", linewidth=0.4)
    axis.tick_params(which="minor", length=0)
    axis.tick_params(top=True, labeltop=True)
    for row, column in np.argwhere(np.nan_to_num(shares) >= 0.05):
        share = shares[row, column]
        colour = "white" if share > 0.3 else "black"
        axis.text(
            column, row, f"{100 * share:.0f}", color=colour, fontsize=6.5, ha="center", va="center"
        )
    axis.set_xlabel("recognised phone")
    axis.set_ylabel("reference phone")
    bar = figure.colorbar(image, ax=axis, shrink=0.6, pad=0.02, format=PercentFormatter(1.0))
    bar.set_ticks([0, 0.01, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1])
    bar.set_label("share of the reference phone's frames (square-root scale)")
    empty = " – grey rows: no such frames" if not totals.all() else ""
    figure.suptitle((title + empty).strip(" –"), fontsize=11)
    save_figure(path, figure)


def training_picture(
    path: str | Path,
    steps: Sequence[int],
    loss: Sequence[float],
    dev_accuracy: Sequence[float | None],
    *,
    dev_steps: Sequence[int] | None = None,
    title: str = "",
) -> None:
    """Draw training loss (above) and frame accuracy on the development set (below) by step.

    Args:
        path: of the PNG.
        steps: steps of the losses.
        loss: cross-entropy in nats a frame.
        dev_accuracy: frame accuracies, as fractions; None or NaN if none was measured.
        dev_steps: steps of the accuracies; None for ``steps``.
        title: written above.

    Raises:
        ValueError: if there are no steps or the lengths differ.
        UsageError: if the file cannot be written.
    """
    dev_steps = steps if dev_steps is None else dev_steps
    if len(steps) == 0 or len(steps) != len(loss) or len(dev_steps) != len(dev_accuracy):
        raise ValueError(
            f"{len(steps)} steps, {len(loss)} losses, {len(dev_steps)} development steps and "
            f"{len(dev_accuracy)} accuracies; each has a step"
        )
    figure = Figure(figsize=(8, 5.6), dpi=DPI, layout="constrained")
    above, below = figure.subplots(2, sharex=True)
    losses = np.asarray(loss, dtype=np.float64)
    smooth = max(1, len(losses) // 50)
    if smooth > 1:
        above.plot(steps, losses, color=RIGHT, alpha=0.3, linewidth=0.8, label="as noted")
        mean = np.convolve(losses, np.ones(smooth) / smooth, mode="valid")
        label = f"mean of the last {smooth}"
        above.plot(steps[smooth - 1 :], mean, color=RIGHT, linewidth=1.6, label=label)
        above.legend(frameon=False)
    else:
        above.plot(steps, losses, color=RIGHT, marker="o", markersize=3)
    accuracy = np.array([np.nan if a is None else a for a in dev_accuracy], dtype=np.float64)
    known = np.flatnonzero(np.isfinite(accuracy))
    if len(known):
        known_steps, values = np.asarray(dev_steps)[known], accuracy[known]
        below.plot(known_steps, values, color=WRONG, marker="o", markersize=3.5)
        best = int(values.argmax())
        below.axhline(values[best], color="#999999", linewidth=0.7, linestyle=":")
        note = f"best {100 * values[best]:.1f} % at step {known_steps[best]:,}"
        below.set_title(note, fontsize=9, loc="right", color="#555555")
    below.yaxis.set_major_formatter(lambda fraction, _: f"{100 * fraction:g}%")
    below.xaxis.set_major_formatter("{x:,.0f}")
    above.set_ylabel("training loss (nats a frame)")
    below.set_ylabel("frame accuracy, dev")
    below.set_xlabel("step")
    above.set_title(title, fontsize=11, loc="left")
    figure.align_ylabels()
    for axis in (above, below):
        axis.margins(x=0.015)
        axis.grid(color="#e5e5e5", linewidth=0.6)
        axis.spines[["top", "right"]].set_visible(False)
    save_figure(path, figure)


def reliability_picture(
    path: str | Path, table: Sequence[ReliabilityBin], *, title: str = ""
) -> None:
    """Draw accuracy by confidence against the diagonal; below, the number of phones.

    Args:
        path: of the PNG.
        table: from :meth:`speechattn.evaluation.calibration.Calibration.table`.
        title: written above.

    Raises:
        ValueError: if the table has no phones.
        UsageError: if the file cannot be written.
    """
    rows = [row for row in table if row.phones]
    if not rows:
        raise ValueError("a reliability table without phones cannot be pictured")
    phones = np.array([row.phones for row in rows])
    means = [row.confidence for row in rows]
    accuracies = [row.accuracy for row in rows]
    gaps = np.abs(np.array(accuracies, dtype=float) - np.array(means, dtype=float))
    error = float((phones * gaps).sum() / phones.sum())
    figure = Figure(figsize=(5.2, 6.4), dpi=DPI, layout="constrained")
    above, below = figure.subplots(2, sharex=True, height_ratios=[3, 1])
    lows = [row.low for row in rows]
    widths = [row.high - row.low for row in rows]
    above.bar(lows, accuracies, widths, align="edge", color=RIGHT, edgecolor="white")
    above.plot(
        [0, 1], [0, 1], color="#222222", linestyle="--", linewidth=1.2, label="well calibrated"
    )
    above.plot(means, accuracies, "o", color=WRONG, markersize=4, label="bin at its mean")
    above.legend(loc="upper left", fontsize=8, framealpha=0.9)
    above.set_ylabel("share of phones that are right")
    above.set_ylim(0, 1)
    above.yaxis.set_major_formatter(PercentFormatter(1.0))
    below.bar(lows, phones, widths, align="edge", color="#999999", edgecolor="white")
    below.set_ylabel("phones")
    below.set_xlabel("confidence")
    below.set_xlim(0, 1)
    below.set_xticks(np.arange(0, 1.01, 0.1))
    figure.suptitle(f"{title}\nexpected calibration error {100 * error:.1f} %".strip(), fontsize=11)
    for axis in (above, below):
        axis.spines[["top", "right"]].set_visible(False)
    save_figure(path, figure)


# Where a label may stand from its point, in points of 1/72 inch; the nearest first.
_OFFSETS = [
    (sign_x * distance * x, sign_y * distance * y)
    for distance in (1, 2, 3, 5, 7)
    for x, y in ((5, 4), (5, 12))
    for sign_y in (1, -1)
    for sign_x in (1, -1)
]
_NEAR = 13.0  # points; a label farther away has a line to its point


def label_points(
    axis: Axes, points: Sequence[tuple[float, float]], names: Sequence[str], size: float = 7
) -> list[Annotation]:
    """Write names beside points so that none covers another, nor a point, if there is room.

    Args:
        axis: with its limits as they will be.
        points: in the units of the data.
        names: of the points.
        size: of the letters.
    """
    figure = axis.get_figure(root=True)
    assert figure is not None
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    inside = axis.get_window_extent(renderer)
    marks = [Bbox.from_bounds(x - 3, y - 3, 6, 6) for x, y in axis.transData.transform(points)]
    taken, labels = list(marks), []
    for number in sorted(range(len(points)), key=lambda i: (-points[i][1], points[i][0])):
        chosen: tuple[float, Annotation, Bbox] | None = None
        for x, y in _OFFSETS:
            label = axis.annotate(
                names[number],
                points[number],
                fontsize=size,
                xytext=(x, y),
                textcoords="offset points",
                ha="left" if x > 0 else "right",
                va="center",
                arrowprops={"arrowstyle": "-", "linewidth": 0.4, "color": "#999999"}
                if abs(x) + abs(y) > _NEAR
                else None,
            )
            label.set_in_layout(False)  # the axes stay where they are
            label.update_positions(renderer)
            box = Text.get_window_extent(label, renderer)  # without the line
            covered = sum(_shared(box, other) for other in taken) + box.width * box.height
            covered -= _shared(box, inside)
            if chosen is None or covered < chosen[0] - 1e-6:
                if chosen is not None:
                    chosen[1].remove()
                chosen = covered, label, box
            else:
                label.remove()
            if chosen[0] <= 1e-6:
                break
        assert chosen is not None
        labels.append(chosen[1])
        taken.append(chosen[2])
    return labels


def _shared(one: Bbox, other: Bbox) -> float:
    """Return the area that two boxes share."""
    both = Bbox.intersection(one, other)
    return 0.0 if both is None else both.width * both.height
