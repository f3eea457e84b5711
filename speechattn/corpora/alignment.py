"""Reference alignments: from the lines of a CTM file to segments, from segments to frame runs.

Everything snaps to the 10 ms frame grid on the way in, so that segments which follow each other
neither overlap nor part by a rounding error.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from speechattn.errors import CorpusError
from speechattn.phones import PhoneSet
from speechattn.segments import (
    SAMPLE_RATE,
    FrameSegment,
    Segment,
    frame_to_seconds,
    num_frames,
    seconds_to_frame,
)

END_TOLERANCE_FRAMES = 3  # an aligner's last frame may lie this far from the audio's, either side
Span = tuple[int, int, int]  # class, first frame, frame after the last


def alignment_from_ctm(
    path: Path,
    utterance: str,
    lines: Sequence[tuple[int, str]],
    phones: PhoneSet,
    duration: float | None,
) -> tuple[Segment, ...]:
    """The alignment of one utterance, snapped to the 10 ms grid, its gaps filled with silence.

    Args:
        path: of the CTM file, for messages.
        utterance: its id, for messages.
        lines: with their numbers; columns are utterance, channel, start and duration in seconds,
            phone and, perhaps, a confidence.
        phones: the labels the alignment may use.
        duration: of the audio in seconds; None where it is not known.

    Raises:
        CorpusError: without lines, for a line that is not understood, an unknown label, segments
            that overlap, or an alignment that ends past the audio.
    """
    if not lines:
        raise CorpusError(f"{path}: {utterance}: no alignment; align it or leave it out")
    spans = []
    for number, line in lines:
        columns = line.split()
        if len(columns) not in (5, 6):  # a sixth is a confidence
            raise CorpusError(
                f"{path}:{number}: {len(columns)} columns in {line[:60]!r}; "
                "write: utterance channel start duration phone"
            )
        start, length, label = (
            seconds_from_text(columns[2]),
            seconds_from_text(columns[3]),
            columns[4],
        )
        if start is None or length is None or start < 0 or length <= 0:
            raise CorpusError(
                f"{path}:{number}: {utterance}: start {columns[2]!r} and duration {columns[3]!r} "
                "are no stretch of time; write both in seconds"
            )
        if label not in phones.index:
            raise CorpusError(f"{path}:{number}: {utterance}: {_unknown(label, phones)}")
        # Rounding the sum lets "0.125" and "0.075 + 0.050" fall on the same frame.
        stop = seconds_to_frame(round(start + length, 6))
        spans.append((phones.index[label], seconds_to_frame(start), stop))
    spans = _tile(spans, phones, f"{path}:{lines[0][0]}: {utterance}")
    if duration is not None:
        frames = num_frames(round(duration * SAMPLE_RATE))
        _check_end(spans[-1], frames, f"{path}:{lines[-1][0]}: {utterance}")
    return tuple(
        Segment(phones.names[phone], frame_to_seconds(start), frame_to_seconds(stop))
        for phone, start, stop in spans
    )


def reference_runs(
    alignment: Sequence[Segment], num_frames: int, phones: PhoneSet, *, name: str = "alignment"
) -> list[FrameSegment]:
    """An alignment as frame runs that cover exactly frames 0 to ``num_frames``.

    Equal phones that follow each other stay apart. What the alignment leaves out is silence, but
    for its end: within ``END_TOLERANCE_FRAMES`` (30 ms) of the recording's end the last segment is
    prolonged or cut, because aligners frame the signal differently there.

    Args:
        alignment: sorted segments in seconds.
        num_frames: 10 ms frames of the audio.
        phones: classes of the labels.
        name: what error messages call the alignment.

    Raises:
        CorpusError: for an unknown label, a segment that has no frame or overlaps the one before,
            or an alignment that ends past the audio.
    """
    if num_frames <= 0:
        raise CorpusError(f"{name}: the audio has no frames; leave the utterance out")
    spans = []
    for segment in alignment:
        if segment.label not in phones.index:
            raise CorpusError(f"{name}: {_unknown(segment.label, phones)}")
        frames = seconds_to_frame(segment.start), seconds_to_frame(segment.end)
        spans.append((phones.index[segment.label], *frames))
    spans = _tile(spans, phones, name)
    if spans:
        _check_end(spans[-1], num_frames, name)
        if spans[-1][2] >= num_frames - END_TOLERANCE_FRAMES:
            spans[-1] = (*spans[-1][:2], num_frames)
    if not spans or spans[-1][2] < num_frames:
        end = spans[-1][2] if spans else 0
        spans = _tile([*spans, (phones.silence_index, end, num_frames)], phones, name)
    return [FrameSegment(*span) for span in spans]


def frame_labels(
    alignment: Sequence[Segment], num_frames: int, phones: PhoneSet, *, name: str = "alignment"
) -> np.ndarray:
    """The class of every 10 ms frame, int64, shape (num_frames,); see :func:`reference_runs`.

    Raises:
        CorpusError: as :func:`reference_runs`.
    """
    runs = reference_runs(alignment, num_frames, phones, name=name)
    return np.repeat([run.phone for run in runs], [run.end - run.start for run in runs])


def _tile(spans: Sequence[Span], phones: PhoneSet, name: str) -> list[Span]:
    """Check that spans follow each other, and fill what lies between them with silence.

    Silence after silence becomes one silence, whereas two equal phones are two phones.
    """
    silence = phones.silence_index
    tiled: list[Span] = []

    def add(phone: int, start: int, stop: int) -> None:
        if phone == silence and tiled and tiled[-1][0] == silence:
            start = tiled.pop()[1]
        tiled.append((phone, start, stop))

    end = 0
    for phone, start, stop in spans:
        if start < end or stop <= start:
            raise CorpusError(
                f"{name}: {phones.names[phone]} at {frame_to_seconds(start):.2f}-"
                f"{frame_to_seconds(stop):.2f} s has no length or begins before the segment before "
                f"it ends ({frame_to_seconds(end):.2f} s); sort and correct the alignment"
            )
        if start > end:
            add(silence, end, start)
        add(phone, start, stop)
        end = stop
    return tiled


def _check_end(last: Span, num_frames: int, name: str) -> None:
    """Refuse an alignment that reaches past its audio, or whose last phone lies wholly there."""
    _, start, stop = last
    if stop > num_frames + END_TOLERANCE_FRAMES or start >= num_frames:
        raise CorpusError(
            f"{name}: CTM past the end of its audio: the last phone ends at "
            f"{frame_to_seconds(stop):.2f} s, the audio at {frame_to_seconds(num_frames):.2f} s; "
            "align this recording again"
        )


def _unknown(label: str, phones: PhoneSet) -> str:
    """Say that a label is unknown, and what it was probably meant to be."""
    bare = label.rstrip("012").upper()
    if bare in phones.index:
        way_out = f"write {bare}"
    elif label.lower() in ("", "sp", "spn", "sil", "pau", "h#", "<eps>"):
        way_out = f"silence is {phones.silence} here"
    else:
        way_out = f"use one of {phones.names[0]} ... {phones.names[-1]}"
    return f"unknown phone {label!r} among the {len(phones)} of the phone set; {way_out}"


def seconds_from_text(value: str) -> float | None:
    """A number of seconds that can be counted in frames, or None."""
    try:
        number = float(value)
    except ValueError:
        return None
    return number if abs(number) < 1e9 else None  # False for NaN as well


def shortened_silences(labels: np.ndarray, silence: int, longest: int) -> np.ndarray:
    """Return the indices of the frames that stay when long silences lose their middle.

    Args:
        labels: shape (frames,).
        silence: class of silence.
        longest: frames that stay of a longer silence, half of them at either end; 0 to keep all.
    """
    keep = np.ones(len(labels), dtype=bool)
    if longest:
        quiet = np.concatenate([[0], (labels == silence).astype(np.int8), [0]])
        starts, ends = np.flatnonzero(np.diff(quiet) == 1), np.flatnonzero(np.diff(quiet) == -1)
        for start, end in zip(starts, ends):
            if end - start > longest:
                keep[start + longest // 2 : end - (longest - longest // 2)] = False
    return np.flatnonzero(keep)
