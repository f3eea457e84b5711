"""Figures of a recording for papers, as PNG, SVG or PDF: what the page shows, on white."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from speechattn.audio.features import FrontEnd
from speechattn.encoder.attention_weights import LayerWeights, attention_weights
from speechattn.errors import UsageError
from speechattn.evaluation.pictures import (
    draw_posteriors,
    draw_spectrogram,
    draw_strip,
    panels,
    save_figure,
)
from speechattn.files import path_list
from speechattn.segments import FRAMES_PER_SECOND, SAMPLE_RATE, Segment
from speechattn.viewer.attention import check_head
from speechattn.viewer.recording import Shower, Shown, ShowOptions, find_shown, results_of
from speechattn.viewer.results import PHONES, SILENCES, WORDS

LONGEST = 60.0  # seconds of a figure
INCHES_PER_SECOND = 3.4  # a phone of 60 ms is wide enough for two letters
WIDTHS = (6.5, 40.0)  # inches
SIDES = 1.05  # inches left and right of the axes
HEAD = 0.12  # inches above them
WAVE, SPECTROGRAM, STRIP, MAP, ROW = 0.7, 2.2, 0.3, 1.1, 0.118  # inches of the panels
APART = 9  # points between two labels of an axis
WAVE_COLOUR, MAP_COLOURS = "#4b6a8d", "Greens"
WRONG_COLOUR, WRONG_BAR = "#8f3200", 0.14  # of the bar of a difference; its share of the height


def recording_figure(
    shown: Shown,
    attention: tuple[LayerWeights, int, float] | None = None,
    *,
    posteriors: bool = True,
) -> Figure:
    """Draw a recording: waveform, spectrogram, words, phones, reference, attention, posteriors.

    Args:
        shown: the recording; times on the axis count from its beginning, stretch or not.
        attention: weights of a layer, the head (from 0) and the seconds of a vector; None for no
            such panel.
        posteriors: whether they are drawn.
    """
    duration, origin = shown.duration, shown.origin
    width = float(np.clip(duration * INCHES_PER_SECOND + SIDES, *WIDTHS))
    strips = [
        (label, _with_silence(side.get(tier, []), shown.silence), tier)
        for tier in (WORDS, PHONES)
        for label, side in ((tier, shown.tiers), (f"ref. {tier}", shown.reference))
        if side.get(tier)
    ]
    with_posteriors = posteriors and shown.posteriors is not None
    heights = [WAVE, SPECTROGRAM, *[STRIP] * len(strips)]
    heights += [MAP] if attention else []
    heights += [ROW * len(shown.labels)] if with_posteriors else []
    figure, axes = panels(width, heights, HEAD)
    _draw_wave(axes[0], shown.samples, duration)
    draw_spectrogram(axes[1], shown.samples, 0.0, duration)
    points = (width - SIDES) * 72 / duration
    for axis, (label, segments, tier) in zip(axes[2:], strips):
        wrong = _wrong(shown, label, len(segments)) if tier == PHONES else [False] * len(segments)
        draw_strip(axis, label, segments, wrong, (0.0, duration), points, shown.silence)
        for segment, is_wrong in zip(segments, wrong):
            if is_wrong:  # in print without colours as well
                axis.axvspan(segment.start, segment.end, ymax=WRONG_BAR, color=WRONG_COLOUR, lw=0)
    if attention:
        _draw_map(axes[2 + len(strips)], *attention)
    if with_posteriors and shown.posteriors is not None:
        draw_posteriors(axes[-1], shown.posteriors, shown.labels, 0.0, duration)
    axes[-1].set_xlabel("time (ms)")
    axes[-1].xaxis.set_major_locator(MaxNLocator(max(4, int(width)), steps=[1, 2, 5, 10]))
    axes[-1].xaxis.set_major_formatter(lambda x, _: f"{1000 * (x + origin):.0f}")
    axes[0].set_xlim(0.0, duration)
    return figure


def _with_silence(segments: Sequence[Segment], silence: str) -> list[Segment]:
    """Return segments of which all silences, whatever their file calls them, have one label."""
    return [
        Segment(silence, s.start, s.end, s.confidence) if s.label.casefold() in SILENCES else s
        for s in segments
    ]


def _wrong(shown: Shown, label: str, count: int) -> list[bool]:
    """Return which recognised phones differ from the reference; the reference is not marked."""
    comparison = shown.comparison
    if comparison is None or label != PHONES:
        return [False] * count
    return [number in comparison.wrong for number in range(count)]


def _draw_wave(axis: Axes, samples: np.ndarray, duration: float) -> None:
    step = max(1, len(samples) // 8000)
    padded = np.pad(samples, (0, -len(samples) % step)).reshape(-1, step)
    times = (np.arange(len(padded)) + 0.5) * step / SAMPLE_RATE
    axis.fill_between(times, padded.min(1), padded.max(1), color=WAVE_COLOUR, linewidth=0.3)
    peak = max(float(np.abs(samples).max(initial=0)), 1e-9)
    axis.set_ylim(-1.05 * peak, 1.05 * peak)
    axis.set_yticks([])
    axis.tick_params(bottom=False)


def _draw_map(axis: Axes, layer: LayerWeights, head: int, seconds: float) -> None:
    weights = layer.weights[head]
    vectors, keys = weights.shape
    axis.imshow(
        np.sqrt(weights.T),
        origin="lower",
        aspect="auto",
        cmap=MAP_COLOURS,
        interpolation="nearest",
        extent=(0, vectors * seconds, -(layer.left + 0.5), keys - layer.left - 0.5),
    )
    far = [n for n in (-layer.left, keys - layer.left - 1) if n]
    if all(abs(n) / keys * MAP * 72 >= APART for n in far):
        far.append(0)
    axis.set_yticks(far, [f"{1000 * seconds * n:+.0f}" if n else "0" for n in far], fontsize=7)
    axis.set_ylabel("key (ms)", fontsize=8)
    axis.tick_params(bottom=False)


def write_figures(
    inputs: str | Path | Sequence[str | Path],
    paths: Sequence[Path],
    options: ShowOptions,
    on_status: Callable[[str], None] = lambda line: None,
) -> None:
    """Write one figure of one recording to some files.

    Args:
        inputs: as for :func:`speechattn.viewer.recording.find_shown`; one recording.
        paths: files; their suffixes are png, svg or pdf.
        options: how it is shown.
        on_status: called with a line for people when something that takes long begins.

    Raises:
        AudioError: if the recording cannot be read.
        UsageError: if there are several, it is too long for a figure, or a file has another suffix
            or cannot be written.
    """
    for path in paths:
        if path.suffix.lower() not in (".png", ".svg", ".pdf"):
            raise UsageError(f"{path}: a figure is a .png, .svg or .pdf; name it so")
    inputs = path_list(inputs)
    recordings = find_shown(inputs, options)
    if len(recordings) > 1:
        raise UsageError(
            f"a figure shows one recording, and {inputs[0]} holds {len(recordings)}; name one"
        )
    shower = Shower(options, results_of(inputs, options), on_status)
    shower.check([recordings[0][1]])
    shown = shower.read(*recordings[0])
    if shown.duration > LONGEST:
        raise UsageError(
            f"{shown.file}: {shown.duration:.1f} s; a figure holds {LONGEST:g} s: name a stretch, "
            "such as --span 12-15"
        )
    shower.fill(shown)
    figure = recording_figure(shown, _attention(shower, shown, options.head))
    for path in paths:
        save_figure(path, figure)


def _attention(
    shower: Shower, shown: Shown, head: tuple[int, int] | None
) -> tuple[LayerWeights, int, float] | None:
    if head is None:
        return None
    checkpoint = shower.recognizer.checkpoint
    check_head(checkpoint, head)
    classifier = checkpoint.classifier
    device = next(classifier.parameters()).device
    frames = FrontEnd(checkpoint.front_end)(torch.from_numpy(shown.samples)).to(device)
    layers = attention_weights(classifier, frames)
    layer, number = head
    seconds = classifier.config.stack / FRAMES_PER_SECOND
    return layers[layer], number, seconds
