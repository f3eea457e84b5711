"""Words as running text: plain text, and captions as WebVTT and SubRip.

A caption has at most two lines of at most 42 characters and stays for at most seven seconds, as
broadcasters have it. A pause between words ends it; where a caption gets too long, it is cut at the
longest gap of its second half. A short one stays for a second if the next one lets it.
"""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_EVEN
from typing import TYPE_CHECKING

from speechattn.segments import Segment, exact
from speechattn.transcription.formats.markup import MILLISECONDS, clock, vtt_cues, vtt_text
from speechattn.transcription.formats.names import track

if TYPE_CHECKING:
    from speechattn.inference.transcription import Transcription

LINE = 42  # characters of a line
LONGEST = 7.0  # seconds of a caption
SHORTEST = 1.0  # seconds that a caption stays, where the next one lets it
PAUSE = 0.6  # seconds of silence that end a caption
LINE_PAUSE = 1.0  # seconds of silence that end a line of plain text


@dataclass(frozen=True)
class Caption:
    """Text that is shown at a time.

    Attributes:
        start: seconds.
        end: seconds, not after the start of the next one.
        lines: one or two.
    """

    start: float
    end: float
    lines: tuple[str, ...]


def captions(words: Sequence[Segment], duration: float) -> list[Caption]:
    """Return the captions of some words.

    Args:
        words: in order of time.
        duration: seconds of the recording.
    """
    groups = [part for group in _between_pauses(words, PAUSE) for part in _short_enough(group)]
    found = []
    for group, after in itertools.zip_longest(groups, groups[1:]):
        latest = after[0].start if after else duration
        end = max(group[-1].end, min(group[0].start + SHORTEST, latest))
        found.append(Caption(group[0].start, end, _lines(group)))
    return found


def _between_pauses(words: Sequence[Segment], seconds: float) -> Iterator[list[Segment]]:
    """Yield words that follow each other without a pause of so many seconds."""
    group: list[Segment] = []
    for word in words:
        if group and word.start - group[-1].end >= seconds:
            yield group
            group = []
        group.append(word)
    if group:
        yield group


def _short_enough(group: list[Segment]) -> Iterator[list[Segment]]:
    """Cut words into parts that make a caption each."""
    while not _fits(group):
        size = next(n for n in range(len(group), 0, -1) if n == 1 or _fits(group[:n]))
        gaps = [group[n].start - group[n - 1].end for n in range(size, size // 2, -1)]
        cut = size - gaps.index(max(gaps)) if size > 1 else 1
        yield group[:cut]
        group = group[cut:]
    yield group


def _fits(group: Sequence[Segment]) -> bool:
    """Whether words make a caption; a single one always does."""
    if len(group) == 1:
        return True
    lines = _lines(group)
    return group[-1].end - group[0].start <= LONGEST and max(map(len, lines)) <= LINE


def _lines(group: Sequence[Segment]) -> tuple[str, ...]:
    """Set words in one line if they fit, else in two of about the same length."""
    labels = [word.label for word in group]
    text = " ".join(labels)
    if len(text) <= LINE or len(labels) == 1:
        return (text,)
    ways = [(" ".join(labels[:n]), " ".join(labels[n:])) for n in range(1, len(labels))]
    return min(ways, key=lambda way: (max(map(len, way)), len(way[0])))


def txt(transcription: Transcription, file: str, silence: str) -> str:
    """Write the words as plain text; a pause of a second begins a new line."""
    groups = _between_pauses(transcription.words or (), LINE_PAUSE)
    return "".join(_text(group) + "\n" for group in groups)


def _text(group: Sequence[Segment]) -> str:
    return _plain(" ".join(word.label for word in group))


def srt(transcription: Transcription, file: str, silence: str) -> str:
    """Write SubRip: numbered captions."""
    return _srt(captions(transcription.words or (), transcription.duration))


def _srt(shown: Sequence[Caption]) -> str:
    return "\n".join(
        f"{number}\n{clock(_milliseconds(caption.start), ',')}"
        f" --> {clock(_milliseconds(caption.end), ',')}\n"
        + "".join(f"{_plain(line)}\n" for line in caption.lines)
        for number, caption in enumerate(shown, 1)
    )


def vtt(transcription: Transcription, file: str, silence: str) -> str:
    """Write WebVTT: a cue for each caption, or, where the words are not known, for each phone."""
    cues = (cue for _, cue in vtt_cues(transcription, silence))
    if transcription.words is not None:
        cues = (cue for _, cue in caption_cues(transcription))
    return "\n".join(["WEBVTT\n", *cues])


def caption_cues(transcription: Transcription, voice: str = "") -> Iterator[tuple[int, str]]:
    """Yield the start of the WebVTT cue of each caption, in milliseconds, and its text.

    Args:
        transcription: with words.
        voice: tag before each caption.
    """
    for caption in captions(transcription.words or (), transcription.duration):
        start, end = _milliseconds(caption.start), _milliseconds(caption.end)
        text = "\n".join(map(vtt_text, caption.lines))
        yield start, f"{clock(start)} --> {clock(end)}\n{voice}{text}\n"


def _milliseconds(seconds: float) -> int:
    return int((exact(seconds) * MILLISECONDS).to_integral_value(ROUND_HALF_EVEN))


def _plain(text: str) -> str:
    """Text without control characters, which would end a caption or its line."""
    return "".join("\ufffd" if unicodedata.category(c) in ("Cc", "Cs") else c for c in text)


def txt_channels(channels: Sequence[Transcription], file: str, silence: str) -> str:
    """Write lines of all channels, sorted by time, each with its channel, as in ``0: hello``."""
    lines = [
        (group[0].start, number, f"{track(one)}: {_text(group)}")
        for number, one in enumerate(channels)
        for group in _between_pauses(one.words or (), LINE_PAUSE)
    ]
    return "".join(f"{line}\n" for _, _, line in sorted(lines))


def srt_channels(channels: Sequence[Transcription], file: str, silence: str) -> str:
    """Write the captions of all channels, sorted by time, each with its channel."""
    shown = [
        (caption.start, number, replace(caption, lines=(f"{track(one)}: {first}", *others)))
        for number, one in enumerate(channels)
        for caption in captions(one.words or (), one.duration)
        for first, *others in [caption.lines]
    ]
    return _srt([caption for _, _, caption in sorted(shown, key=lambda each: each[:2])])
