"""Segments: what a recognizer says and what an alignment holds, as labelled stretches of time.

Times as text: exact decimals of seconds, and whole numbers of smaller units.

Time: the sample rate, the frame shift, and the arithmetic between seconds, samples and frames.

Every other module takes these numbers from here. Frame ``t`` stands for the 10 ms that begin at
``t * SHIFT_SAMPLES``; the 25 ms window from which it is computed is centred on them
(Kaldi's ``snip_edges=False``), so there are exactly 100 frames a second.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

import numpy as np

SAMPLE_RATE = 16_000  # Hz, of everything behind the audio door
WINDOW_MS = 25.0  # ms of samples a frame is computed from
SHIFT_MS = 10.0  # ms from one frame to the next

WINDOW_SAMPLES = int(SAMPLE_RATE * WINDOW_MS / 1000)  # 400
SHIFT_SAMPLES = int(SAMPLE_RATE * SHIFT_MS / 1000)  # 160
FRAMES_PER_SECOND = SAMPLE_RATE // SHIFT_SAMPLES  # 100


@dataclass(frozen=True, slots=True)
class Segment:
    """A labelled stretch of a recording.

    Attributes:
        label: phone, or the silence label of the phone set.
        start: seconds from the beginning of the recording.
        end: seconds, greater than ``start``.
        confidence: between 0 and 1; 1 for reference alignments.
        alternatives: other labels and their probabilities, the most probable first; none unless
            they were asked for.
    """

    label: str
    start: float
    end: float
    confidence: float = 1.0
    alternatives: tuple[tuple[str, float], ...] = ()

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class FrameRun:
    """A run of frames with one label, as the decoder gives it.

    Attributes:
        phone: index into the phone set.
        start: first frame.
        end: frame after the last.
        confidence: between 0 and 1.
        alternatives: other phones (indices) and their mean posteriors, the most probable first;
            none unless they were asked for.
    """

    phone: int
    start: int
    end: int
    confidence: float = 1.0
    alternatives: tuple[tuple[int, float], ...] = ()


def runs_from_labels(labels: Sequence[int] | np.ndarray) -> list[FrameRun]:
    """Maximal runs of equal labels in a frame label sequence, shape (frames,)."""
    labels = np.asarray(labels)
    if len(labels) == 0:
        return []
    edges = np.flatnonzero(np.diff(labels)) + 1
    starts = [0, *edges.tolist()]
    ends = [*edges.tolist(), len(labels)]
    return [FrameRun(int(labels[s]), s, e) for s, e in zip(starts, ends)]


def segments_from_runs(
    runs: Iterable[FrameRun], names: Sequence[str], duration: float
) -> list[Segment]:
    """Turn frame runs into segments that cover exactly 0 to ``duration`` seconds.

    The last frame may reach up to 5 ms past the end of the recording, or stop up to 5 ms short of
    it; the last segment therefore ends at ``duration``, whatever its frame says.

    Args:
        runs: contiguous runs from frame 0 on.
        names: phone names by index.
        duration: seconds.

    Raises:
        ValueError: if the runs are not contiguous from frame 0, or do not end where the recording
            does.
    """
    runs = list(runs)
    frame = 0
    for run in runs:
        if run.start != frame or run.end <= frame:
            raise ValueError(f"{run} does not begin at frame {frame} and end after it")
        frame = run.end
    if runs and not frame_to_seconds(runs[-1].start) < duration:
        raise ValueError(f"{runs[-1]} begins after the recording's {duration} s")
    return [
        Segment(
            names[run.phone],
            frame_to_seconds(run.start),
            duration if i == len(runs) - 1 else frame_to_seconds(run.end),
            run.confidence,
            tuple((names[phone], probability) for phone, probability in run.alternatives),
        )
        for i, run in enumerate(runs)
    ]


def check_tiling(segments: Sequence[Segment], duration: float) -> None:
    """Check that segments cover 0 to ``duration`` seconds, sorted, without gaps or overlaps.

    Raises:
        ValueError: with the first place where they do not.
    """
    time = 0.0
    for segment in segments:
        if segment.start != time:
            raise ValueError(f"{segment} should start at {time} s")
        if not segment.end > segment.start:
            raise ValueError(f"{segment} has no length")
        time = segment.end
    if time != duration:
        raise ValueError(f"segments end at {time} s, the recording at {duration} s")


def exact(seconds: float) -> Decimal:
    """The shortest decimal number that is read back as this double."""
    return Decimal(repr(float(seconds)))


def plain(number: Decimal) -> str:
    """A decimal number without exponent and without trailing zeros, ``0`` for none."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def whole_edges(segments: Iterable[Segment], units_per_second: int) -> list[tuple[int, int]]:
    """Start and end of each segment as whole numbers of a unit, without gaps or overlaps.

    Every boundary is rounded once, to the nearest unit, and stands for the end before it and the
    start after it. A boundary that would fall on the one before it comes one unit after it, so
    that no segment is empty; those of a recognizer, at least 5 ms long, never do.

    Args:
        segments: that tile the time from 0 on.
        units_per_second: 1000 for milliseconds.
    """
    edges, start = [], 0
    for segment in segments:
        scaled = exact(segment.end) * units_per_second
        end = max(int(scaled.to_integral_value(ROUND_HALF_EVEN)), start + 1)
        edges.append((start, end))
        start = end
    return edges


def num_frames(num_samples: int) -> int:
    """Frames of a signal of ``num_samples`` samples at 16 kHz: ``(n + shift // 2) // shift``."""
    return (num_samples + SHIFT_SAMPLES // 2) // SHIFT_SAMPLES


def frame_to_seconds(frame: int) -> float:
    """Start of a frame in seconds (its end is the start of the next one)."""
    return frame / FRAMES_PER_SECOND


def seconds_to_frame(seconds: float) -> int:
    """The frame boundary nearest to a time in seconds."""
    return round(seconds * FRAMES_PER_SECOND)
