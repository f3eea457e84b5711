"""Pictures of utterances: spectrogram, phones and posteriors.

Nothing is drawn through pyplot, so that pictures may be made in any thread and leave no state.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from speechattn.errors import UsageError
from speechattn.evaluation.letters import advance, drawable, shortened
from speechattn.files import atomic_path
from speechattn.segments import FRAMES_PER_SECOND, SAMPLE_RATE, Segment

DPI = 130  # dots an inch
INCHES_PER_SECOND = 3.4  # a phone of 60 ms is wide enough for two letters
WIDTH_LIMITS = (8.0, 70.0)  # inches; longer recordings are squeezed
SPECTRUM_WINDOW = 0.005  # s; Praat's wide-band setting, which shows formants and glottal pulses
DYNAMIC_RANGE = 60.0  # dB below the loudest point
SAME_SECONDS = 1e-6  # by which lengths may differ that are sums of rounded times
RIGHT, WRONG, PLAIN = "#3d7ab8", "#d9622b", "#ffffff"
# TrueType in a PDF, as publishers want it; names in an SVG that do not change.
_SETTINGS: Any = {"pdf.fonttype": 42, "svg.hashsalt": "speechattn"}
_STRIP_FONT = 8.5  # points
_SHORTENED_FONT = 6.5  # points, of labels of which only the beginning has room
_SMALLEST_FONT = 4.5  # points; smaller labels could not be read
_HEAD_INCHES = (0.62, 0.42)  # with and without a title
_LEGEND_INCHES = 12.0  # right end of the legend in long pictures, near the notes on the left


def utterance_picture(
    path: str | Path,
    samples: np.ndarray,
    reference: Sequence[Segment] | None,
    recognised: Sequence[Segment],
    posteriors: np.ndarray | None = None,
    names: Sequence[str] | None = None,
    *,
    title: str = "",
    silence: str = "SIL",
    span: tuple[float, float] | None = None,
) -> None:
    """Draw the spectrogram, the reference and the recognised phones of an utterance.

    Recognised phones that differ from most of the reference above them are orange. The lower the
    confidence of a phone, the paler its colour.

    Args:
        path: of the PNG; written completely or not at all.
        samples: 16 kHz mono, shape (samples,).
        reference: phones of an alignment in seconds; None without one.
        recognised: phones with confidences, in seconds.
        posteriors: probabilities by 10 ms frame, shape (frames, phones); None for no such panel.
        names: phone names of the columns of ``posteriors``.
        title: written above.
        silence: label that is drawn empty.
        span: start and end in seconds; None for everything. Beyond 20 s the picture no longer
            grows, and labels that would be too narrow to read are left out, with a note.

    Raises:
        ValueError: if shapes, names or the span do not fit.
        UsageError: if the file cannot be written.
    """
    samples = np.asarray(samples, dtype=np.float32)
    if samples.ndim != 1 or len(samples) == 0:
        raise ValueError(f"samples of shape {samples.shape}; a picture needs (samples,)")
    names = names or ()
    if posteriors is not None and np.shape(posteriors)[1:] != (len(names),):
        raise ValueError(f"posteriors of shape {np.shape(posteriors)} need as many phone names")
    start, end = span or (0.0, len(samples) / SAMPLE_RATE)
    if not 0 <= start < end <= len(samples) / SAMPLE_RATE:
        raise ValueError(f"span {span}: it lies within 0 to {len(samples) / SAMPLE_RATE:.2f} s")

    width = float(np.clip((end - start) * INCHES_PER_SECOND + 1.6, *WIDTH_LIMITS))
    strips = [(n, s) for n, s in (("reference", reference), ("recognised", recognised)) if s]
    heights = [2.6, *[0.36] * len(strips)]
    if posteriors is not None:
        heights.append(0.118 * len(names))
    head = _HEAD_INCHES[0 if title else 1]
    figure, axes = panels(width, heights, head)
    draw_spectrogram(axes[0], samples, start, end)
    points = (width - 1.05) * 72 / (end - start)  # width of a second
    hidden = 0
    for axis, (name, segments) in zip(axes[1:], strips):
        wrong = [False] * len(segments)
        if reference and name == "recognised":
            wrong = [_majority(reference, s) not in (s.label, None) for s in segments]
        hidden += draw_strip(axis, name, segments, wrong, (start, end), points, silence)
    if posteriors is not None:
        draw_posteriors(axes[-1], np.asarray(posteriors), names, start, end)
    axes[-1].set_xlabel("time (s)")
    axes[-1].xaxis.set_major_locator(MaxNLocator(max(4, int(width)), steps=[1, 2, 5, 10]))
    axes[0].set_xlim(start, end)
    note = f"labels too narrow to show: {hidden} (picture a shorter span)" if hidden else ""
    _draw_head(figure, head, title, note, bool(reference))
    save_figure(path, figure)


def save_figure(path: str | Path, figure: Figure) -> None:
    """Write a figure, completely or not at all; missing folders are made.

    Args:
        path: of a PNG, SVG or PDF. The same figure gives the same bytes on every day.
        figure: to write.

    Raises:
        UsageError: if the file cannot be written.
    """
    kind = Path(path).suffix.lower().lstrip(".")
    dates = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
    try:
        with atomic_path(path) as temporary, rc_context(_SETTINGS):
            if kind in dates:
                figure.savefig(temporary, format=kind, metadata=dates[kind])
            else:
                FigureCanvasAgg(figure).print_png(temporary)
    except OSError as error:
        raise UsageError(
            f"{path}: the picture cannot be written ({error.strerror or error}); "
            "choose another folder"
        ) from None


def spectrogram(samples: np.ndarray, columns: int) -> np.ndarray:
    """Compute a wide-band spectrogram as Praat draws it by default.

    After a pre-emphasis of about 6 dB an octave, a Gaussian window of 5 ms effective (10 ms
    physical) length is used (Boersma 1993).

    Args:
        samples: 16 kHz, shape (samples,).
        columns: largest number of columns; each is 1 ms or more.

    Returns:
        dB relative to the loudest point, shape (bins, columns).
    """
    size = int(2 * SPECTRUM_WINDOW * SAMPLE_RATE)
    step = max(SAMPLE_RATE // 1000, -(-len(samples) // columns))
    emphasised = np.append(samples[:1], samples[1:] - 0.97 * samples[:-1])
    padded = np.pad(emphasised, size // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[: len(samples) : step]
    window = np.exp(-6 * np.linspace(-1, 1, size) ** 2)
    power = np.abs(np.fft.rfft(frames * window, n=512)) ** 2
    loudest = power.max()
    if loudest <= 0:
        return np.full(power.T.shape, -np.inf)
    return 10 * np.log10(np.maximum(power.T / loudest, 1e-30))


def panels(width: float, heights: Sequence[float], head: float) -> tuple[Figure, np.ndarray]:
    """Make a figure with panels below a head, and return it with them; sizes in inches."""
    height = sum(heights) + 0.63 + head
    figure = Figure(figsize=(width, height), dpi=DPI)
    margins = {
        "left": 0.85 / width,
        "right": 1 - 0.2 / width,
        "top": 1 - head / height,
        "bottom": 0.5 / height,
    }
    grid = {**margins, "hspace": 0.03}
    axes = figure.subplots(
        len(heights), sharex=True, squeeze=False, height_ratios=heights, gridspec_kw=grid
    )
    return figure, axes[:, 0]


def draw_spectrogram(axis: Axes, samples: np.ndarray, start: float, end: float) -> None:
    """Draw the spectrogram of a stretch of 16 kHz samples, shape (samples,); times in seconds."""
    part = samples[int(start * SAMPLE_RATE) : max(int(end * SAMPLE_RATE), 1)]
    axis.imshow(
        spectrogram(part, columns=8000),
        origin="lower",
        aspect="auto",
        cmap="gray_r",
        vmin=-DYNAMIC_RANGE,
        vmax=0,
        extent=(start, end, 0, SAMPLE_RATE / 2000),
        interpolation="bilinear",
    )
    axis.set_ylabel("frequency (kHz)")
    axis.set_yticks(range(0, 9, 2))
    axis.tick_params(bottom=False)


def draw_strip(
    axis: Axes,
    name: str,
    segments: Sequence[Segment],
    wrong: Sequence[bool],
    span: tuple[float, float],
    points: float,
    silence: str,
) -> int:
    """Draw a row of phones; return how many labels were too narrow to draw.

    Args:
        axis: of the row.
        name: of the row.
        segments: in seconds.
        wrong: which of them differ from a reference.
        span: start and end of the axis, seconds.
        points: width of a second, in points of 1/72 inch.
        silence: label that is drawn empty.
    """
    hidden = 0
    room = axis.get_window_extent().height * 72 / DPI  # height of the row, points
    spans, colours = [], []
    for segment, mistaken in zip(segments, wrong):
        start, end = max(segment.start, span[0]), min(segment.end, span[1])
        if end <= start:
            continue
        colour = WRONG if mistaken else PLAIN if segment.label == silence else RIGHT
        strength = 0.08 + 0.62 * segment.confidence
        spans.append((start, end - start))
        colours.append(to_rgba(colour, strength))
        width = (end - start) * points
        label = "" if segment.label == silence and not mistaken else drawable(segment.label)
        # A label that is a little too wide is made smaller; one that is much too wide is turned.
        fitting = _STRIP_FONT * min(
            1.0, (width - 2) / max(_STRIP_FONT * sum(map(advance, label)), 1)
        )
        upright = len(label) > 1 and fitting < 0.75 * _STRIP_FONT
        size = min(_STRIP_FONT, 0.95 * width) if upright else fitting
        if upright and size * sum(map(advance, label)) > room:  # it would leave the row
            label = shortened(label, (width - 2) / _SHORTENED_FONT)
            upright, size = False, _SHORTENED_FONT
            hidden += not label
        if label and size < _SMALLEST_FONT:
            hidden += 1
        elif label:
            middle = (start + end) / 2
            axis.text(
                middle,
                0.48,
                label,
                rotation=90 if upright else 0,
                fontsize=size,
                ha="center",
                va="center",
                clip_on=True,
            )
    axis.broken_barh(spans, (0, 1), facecolors=colours, linewidth=0)
    axis.vlines([start for start, _ in spans], 0, 1, color="black", linewidth=0.6)
    axis.set_ylim(0, 1)
    axis.set_yticks([0.5], [name], fontsize=9)
    axis.tick_params(left=False, bottom=False)
    return hidden


def draw_posteriors(
    axis: Axes, posteriors: np.ndarray, names: Sequence[str], start: float, end: float
) -> None:
    """Draw posteriors, shape (frames, phones), from ``start`` to ``end`` seconds."""
    axis.imshow(
        posteriors.T,
        aspect="auto",
        cmap="Blues",
        vmin=0,
        vmax=1,
        interpolation="nearest",
        extent=(0, len(posteriors) / FRAMES_PER_SECOND, len(names) - 0.5, -0.5),
    )
    axis.set_yticks(range(len(names)), names, fontsize=6.5)
    axis.set_yticks(np.arange(len(names) - 1) + 0.5, minor=True)
    axis.grid(which="minor", axis="y", color="#eeeeee", linewidth=0.4)
    axis.tick_params(axis="y", which="both", length=0)
    axis.set_ylabel("posterior (white 0, dark 1)", labelpad=6)
    axis.set_xlim(start, end)


def _draw_head(figure: Figure, head: float, title: str, note: str, compared: bool) -> None:
    """Draw the title, the legend of the colours and the settings of the spectrogram."""
    width, height = figure.get_size_inches()
    left, top = 0.85 / width, 1 - 0.12 / height
    ends = np.cumsum([advance(letter) * 11 for letter in title])
    fitting = int(np.searchsorted(ends, (width - 1.05) * 72 - 20))
    if fitting < len(title):
        title = title[:fitting].rstrip() + " …"
    figure.text(left, top, title, fontsize=11, va="top")
    settings = f"spectrogram: {1000 * SPECTRUM_WINDOW:.0f} ms Gaussian, {DYNAMIC_RANGE:.0f} dB"
    figure.text(
        left,
        1 - (head - 0.07) / height,
        "; ".join(filter(None, [settings, note])),
        fontsize=7.5,
        color="#555555",
    )
    meanings = [(RIGHT, 0.7, "sure"), (RIGHT, 0.2, "unsure")]
    if compared:
        meanings.insert(0, (WRONG, 0.7, "differs from reference"))
    figure.legend(
        handles=[Patch(facecolor=c, alpha=a, label=text) for c, a, text in meanings],
        loc="upper right",
        bbox_to_anchor=(min(1 - 0.15 / width, _LEGEND_INCHES / width), 1 - (head - 0.25) / height),
        ncols=len(meanings),
        fontsize=7.5,
        frameon=False,
        borderaxespad=0,
        handlelength=1.2,
        columnspacing=1.2,
    )


def _majority(reference: Sequence[Segment], span: Segment) -> str | None:
    """Return the label with the longest part in a span, its own if that has no shorter one.

    None if no label overlaps it.
    """
    time: dict[str, float] = {}
    first = bisect_right(reference, span.start, key=lambda segment: segment.end)
    for segment in takewhile(lambda segment: segment.start < span.end, reference[first:]):
        shared = min(segment.end, span.end) - max(segment.start, span.start)
        time[segment.label] = time.get(segment.label, 0.0) + shared
    longest = max(time.values(), default=0.0)
    if time.get(span.label, -1.0) > longest - SAME_SECONDS:
        return span.label
    return max(time, key=time.__getitem__, default=None)
