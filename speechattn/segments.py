"""Time: sample rate, frames, and segments, which are labelled stretches of a recording.

Every other module takes the sample rate and the frame shift from here. Frame ``t`` stands for the
10 ms that begin at ``t * SHIFT_SAMPLES``; the 25 ms window from which it is computed is centred on
them (Kaldi's ``snip_edges=False``), so there are exactly 100 frames a second.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

SAMPLE_RATE = 16_000  # Hz, of all samples after :mod:`speechattn.audio`
WINDOW_MS = 25.0  # ms of samples that a frame is computed from
SHIFT_MS = 10.0  # ms from one frame to the next
TIME_DECIMALS = 6  # at most, of seconds in outputs

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
        spoken: what a word was read as, if that is not as it is written; "5" may be "fifth".
    """

    label: str
    start: float
    end: float
    confidence: float = 1.0
    alternatives: tuple[tuple[str, float], ...] = ()
    spoken: str = ""

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class FrameSegment:
    """Contiguous frames with one label, as the decoder returns them.

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


def segments_from_frames(
    segments: Iterable[FrameSegment], names: Sequence[str], duration: float
) -> list[Segment]:
    """Turn frame segments into segments that cover exactly 0 to ``duration`` seconds.

    The last frame may reach up to 5 ms past the end of the recording, or stop up to 5 ms short of
    it; the last segment therefore ends at ``duration``, whatever its frame says.

    Args:
        segments: contiguous segments from frame 0 on.
        names: phone names by index.
        duration: seconds.

    Raises:
        ValueError: if the segments are not contiguous from frame 0, or do not end where the
            recording does.
    """
    segments = list(segments)
    frame = 0
    for segment in segments:
        if segment.start != frame or segment.end <= frame:
            raise ValueError(f"{segment} does not begin at frame {frame} and end after it")
        frame = segment.end
    if segments and not frame_to_seconds(segments[-1].start) < duration:
        raise ValueError(f"{segments[-1]} begins after the recording's {duration} s")
    return [
        Segment(
            names[segment.phone],
            frame_to_seconds(segment.start),
            duration if i == len(segments) - 1 else frame_to_seconds(segment.end),
            segment.confidence,
            tuple((names[phone], probability) for phone, probability in segment.alternatives),
        )
        for i, segment in enumerate(segments)
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


def written(seconds: float) -> Decimal:
    """Return a time as outputs write it, with at most six decimals."""
    return exact(rounded(seconds))


def exact(seconds: float) -> Decimal:
    """Return the shortest decimal number that is read back as this double."""
    return Decimal(repr(float(seconds)))


def rounded(seconds: float) -> float:
    """Return a time as outputs give it, in whole microseconds."""
    return round(float(seconds), TIME_DECIMALS)


def plain(number: Decimal) -> str:
    """Return a decimal number as text without exponent and without trailing zeros."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def whole_edges(segments: Iterable[Segment], units_per_second: int) -> list[tuple[int, int]]:
    """Return start and end of each segment as whole numbers of a unit, without gaps or overlaps.

    Every boundary is rounded once, to the nearest unit, and serves as the end of one segment and
    the start of the next. A boundary that would fall on the one before it is moved one unit later,
    so that no segment is empty; with segments of a recognizer, at least 5 ms long, none is.

    Args:
        segments: contiguous from 0 s on.
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
