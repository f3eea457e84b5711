"""Make ``docs/pictures/model-windows.png`` and print its table: the shipped model by window.

    python docs/make_windows.py ../shared/corpora [SET] [UTTERANCES]

Every row is the model ``english`` with another attention window, on the same recordings: phone
errors (folded to 39), the audio that a frame waits for, and how fast the encoder is against the
row 48/48, in the same run. SET is ``librispeech/dev``, all utterances, if not
given. Run it again when the English model changes, and put the table into docs/benchmarks.md.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import matplotlib.ticker
import numpy as np
import torch

from speechattn.bench.accuracy import measure
from speechattn.bench.accuracy_systems import load_systems
from speechattn.inference.recognizer import load_model
from speechattn.text import table

MODEL = "english"
WINDOWS = (
    (4, 0),
    (12, 0),
    (48, 0),
    (96, 0),
    (192, 0),
    (6, 6),
    (12, 12),
    (24, 24),
    (48, 48),
    (96, 96),
)
WINDOWS += ((192, 192), (384, 384))
PICTURE = Path(__file__).parent / "pictures" / "model-windows.png"
SPEED_FRAMES = 6000  # one minute
SPEED_RUNS = 5  # the median counts


class Row(NamedTuple):
    """A window and what it gives; ``seconds`` are of one minute of frames."""

    left: int
    right: int
    per: float
    frames_right: float
    boundary_f1: float
    delay_ms: float
    seconds: float


def encoder_seconds(windows: tuple[tuple[int, int], ...]) -> dict[tuple[int, int], float]:
    """Time the encoder on one minute of frames, one window after the other, several times."""
    models = {window: load_model(MODEL, window=window, precision="auto") for window in windows}
    frames = torch.randn(SPEED_FRAMES, models[windows[0]].checkpoint.front_end.dim)
    times: dict[tuple[int, int], list[float]] = {window: [] for window in windows}
    for _ in range(SPEED_RUNS + 1):  # the first is not counted
        for window, model in models.items():
            start = time.perf_counter()
            model.encode([frames])
            times[window].append(time.perf_counter() - start)
    return {window: float(np.median(values[1:])) for window, values in times.items()}


def measured(corpora: Path, name: str, limit: int) -> list[Row]:
    """Score the model with each window."""
    seconds, rows = encoder_seconds(WINDOWS), []
    for window in WINDOWS:
        systems, phones = load_systems([MODEL], ["words"], [], window, "auto")
        results = measure(systems, phones, corpora, [name], limit)
        total = sum((row.counts for row in results.rows[1:]), results.rows[0].counts)
        rates, delay = total.rates(), load_model(MODEL, window=window).look_ahead_ms
        assert delay is not None
        scores = (100 * (rates[key] or 0) for key in ("per_folded", "path_accuracy", "boundary_f1"))
        rows.append(Row(*window, *scores, delay, seconds[window]))
    return rows


def draw(rows: list[Row], name: str) -> None:
    """Draw errors against the delay; numbers are the windows."""
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for label, marker, chosen in (
        ("only the past", "s", [row for row in rows if not row.right]),
        ("both sides", "o", [row for row in rows if row.right]),
    ):
        delays, errors = [row.delay_ms for row in chosen], [row.per for row in chosen]
        axes.plot(delays, errors, marker=marker, label=label)
        lowest = min(chosen, key=lambda row: row.per)
        for row in chosen:
            axes.annotate(
                f"{row.left}/{row.right}",
                (row.delay_ms, row.per),
                (4, -14 if row is lowest else 5),  # its neighbour's number is above
                textcoords="offset points",
            )
    axes.set(xlabel="audio that a frame waits for (ms)", ylabel=f"phone errors, {name} (%)")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(mpl.ticker.FormatStrFormatter("%g"))
    axes.margins(x=0.12, y=0.1)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(PICTURE, dpi=120)


def main(corpora: str, name: str = "librispeech/dev", limit: str = "0") -> None:
    """Score, draw, and print the table.

    Args:
        corpora: folder that holds the corpora.
        name: ``corpus/split``.
        limit: utterances, evenly spread; 0 for all.
    """
    rows = measured(Path(corpora), name, int(limit))
    base = next(row for row in rows if (row.left, row.right) == (48, 48))
    draw(rows, name)
    head = ["window", "PER", "frames right", "boundary F1", "delay (ms)", "encoder's speed"]
    lines = [
        [
            f"{row.left}/{row.right}",
            f"{row.per:.1f}",
            f"{row.frames_right:.1f}",
            f"{row.boundary_f1:.1f}",
            f"{row.delay_ms:.0f}",
            f"{base.seconds / row.seconds:.2f}x",
        ]
        for row in rows
    ]
    print(table(head, lines))


if __name__ == "__main__":
    main(*sys.argv[1:])
