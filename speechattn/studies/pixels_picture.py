"""The picture of the task of pixels: accuracy by number of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from speechattn.evaluation.pictures import DPI, save_figure
from speechattn.studies.trials import interval

MARKERS = "os^vD<>ph*XP"
APART = 1.03  # so that bars at one number of images do not hide each other


def learning_picture(
    path: str | Path, accuracies: Mapping[str, Mapping[int, Sequence[float]]]
) -> None:
    """A line for every model, with an interval over seeds at every number of images.

    Args:
        path: of the PNG.
        accuracies: model → images trained on → fractions right, one a seed.

    Raises:
        UsageError: if the file cannot be written.
    """
    figure = Figure(figsize=(6.4, 4.4), dpi=DPI, layout="constrained")
    axis = figure.subplots()
    counts = sorted({count for by_count in accuracies.values() for count in by_count})
    middle = (len(accuracies) - 1) / 2
    for number, (name, by_count) in enumerate(accuracies.items()):
        own = sorted(by_count)
        means, halves = np.array([interval(by_count[count]) for count in own]).T
        bars = np.minimum(halves, [means, 1 - means])  # there is nothing beyond none and all
        beside = np.array(own) * APART ** (number - middle)
        marker = MARKERS[number % len(MARKERS)]
        axis.errorbar(beside, means, bars, marker=marker, markersize=4, capsize=3, label=name)
    axis.set_xscale("log")
    axis.set_xticks(counts, [f"{count:,}" for count in counts])
    axis.minorticks_off()
    axis.set_xlabel("images trained on")
    axis.set_ylabel("test images right")
    axis.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axis.grid(color="#e5e5e5", linewidth=0.6)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False)
    save_figure(path, figure)
