"""Formats of labels: Praat's TextGrid, and the label files of Audacity and HTK.

A TextGrid has the interval tier ``phones``, in the long or the short form, and before it ``words``
where these are known. Silence is the empty label, as in the Montreal Forced Aligner since 2.0.
Audacity and HTK have one phone a line.

None of them has confidences: TextGrid and Audacity have no field for them, and many readers of
HTK's label files accept no more than three fields.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from speechattn.segments import Segment, plain, whole_edges, written
from speechattn.text import one_line

if TYPE_CHECKING:
    from speechattn.inference.transcription import Transcription

TIER, WORDS = "phones", "words"
_HEADER = ['File type = "ooTextFile"', 'Object class = "TextGrid"', ""]
HTK_UNITS_PER_SECOND = 10_000_000  # of 100 ns
_HTK_SPECIAL = "\"'\\"  # begin a quoted string, or an escape, anywhere in HTK's strings


Interval = tuple[str, str, str]  # start, end and quoted label
Tier = tuple[str, list[Interval]]  # name and intervals


def tiers(transcription: Transcription, silence: str) -> Iterator[Tier]:
    """Yield the name and the intervals of every tier."""
    for name, segments in plain_tiers(transcription):
        yield name, [_interval(each, "" if name == WORDS else silence) for each in segments]


def plain_tiers(transcription: Transcription) -> Iterator[tuple[str, list[Segment]]]:
    """Yield the name and the segments of every tier; each covers the recording."""
    if transcription.words is not None:
        yield WORDS, word_tier(transcription)
    yield TIER, transcription.phones


def _interval(segment: Segment, silence: str = "") -> Interval:
    label = _quoted("" if segment.label == silence else segment.label)
    return plain(written(segment.start)), plain(written(segment.end)), label


def word_tier(transcription: Transcription) -> list[Segment]:
    """Return the words with an empty label for the silence around them, from 0 to the duration."""
    tier: list[Segment] = []
    end = 0.0
    for word in transcription.words or ():
        if word.start > end:
            tier.append(Segment("", end, word.start))
        tier.append(word)
        end = word.end
    if end < transcription.duration:
        tier.append(Segment("", end, transcription.duration))
    return tier


def _quoted(text: str) -> str:
    doubled = text.replace('"', '""')
    return f'"{doubled}"'


def textgrid(transcription: Transcription, file: str, silence: str) -> str:
    """Write Praat's long text format: interval tiers from 0 to the duration."""
    return long_textgrid(list(tiers(transcription, silence)), transcription.duration)


def long_textgrid(tiers: Sequence[Tier], duration: float) -> str:
    """Write interval tiers from 0 to a duration in seconds; see :func:`textgrid`."""
    end = plain(written(duration))
    lines = [
        *_HEADER,
        "xmin = 0",
        f"xmax = {end}",
        "tiers? <exists>",
        f"size = {len(tiers)}",
        "item []:",
    ]
    for item, (name, intervals) in enumerate(tiers, 1):
        lines += [
            f"    item [{item}]:",
            '        class = "IntervalTier"',
            f"        name = {_quoted(name)}",
            "        xmin = 0",
            f"        xmax = {end}",
            f"        intervals: size = {len(intervals)}",
        ]
        for number, (start, stop, label) in enumerate(intervals, 1):
            lines.append(
                f"        intervals [{number}]:\n"
                f"            xmin = {start}\n"
                f"            xmax = {stop}\n"
                f"            text = {label}"
            )
    return "\n".join(lines) + "\n"


def textgrid_short(transcription: Transcription, file: str, silence: str) -> str:
    """Praat's short text format: the values of the long one without their names."""
    return short_textgrid(list(tiers(transcription, silence)), transcription.duration)


def short_textgrid(tiers: Sequence[Tier], duration: float) -> str:
    """Write interval tiers from 0 to a duration in seconds; see :func:`textgrid_short`."""
    end = plain(written(duration))
    lines = [*_HEADER, "0", end, "<exists>", str(len(tiers))]
    for name, intervals in tiers:
        lines += ['"IntervalTier"', _quoted(name), "0", end, str(len(intervals))]
        for interval in intervals:
            lines += interval
    return "\n".join(lines) + "\n"


def audacity(transcription: Transcription, file: str, silence: str) -> str:
    """A label track for Audacity: start, end (s) and label, separated by tabs.

    The format has no escapes: what is not printable in a label is written as Python's.
    """
    return label_track(transcription.phones)


def words_audacity(transcription: Transcription, file: str, silence: str) -> str:
    """Write a label track of the words."""
    return label_track(transcription.words or ())


def label_track(segments: Iterable[Segment]) -> str:
    """Write a label track of some segments; see :func:`audacity`."""
    return "".join(map(label_line, segments))


def label_line(segment: Segment, before: str = "") -> str:
    """Return the line of a segment in a label track, with a text before its label."""
    times = f"{plain(written(segment.start))}\t{plain(written(segment.end))}"
    return f"{times}\t{before}{one_line(segment.label)}\n"


def lab(transcription: Transcription, file: str, silence: str) -> str:
    """Write an HTK label file: start and end in units of 100 ns, label."""
    return _htk_labels(transcription.phones)


def words_lab(transcription: Transcription, file: str, silence: str) -> str:
    """Write an HTK label file of the words, with the silence label between them."""
    return _htk_labels(
        replace(word, label=word.label or silence) for word in word_tier(transcription)
    )


def _htk_labels(segments: Iterable[Segment]) -> str:
    segments = list(segments)
    return "".join(
        f"{start} {end} {htk_string(segment.label)}\n"
        for (start, end), segment in zip(whole_edges(segments, HTK_UNITS_PER_SECOND), segments)
    )


def htk_string(text: str) -> str:
    """Encode a label as HTK reads strings (The HTK Book, "String Matching").

    It is put in double quotes if it is empty, holds white space, quotes, backslashes or characters
    that are not printable, or begins like a number, a comment or a separator. Within them, quotes
    and backslashes follow a backslash, and bytes that are not printable are a backslash and three
    octal digits.
    """
    odd = any(c in _HTK_SPECIAL or c.isspace() or not c.isprintable() for c in text)
    if text and not odd and (text[0].isalpha() or not text[0].isascii()):
        return text
    return '"' + "".join(_htk_character(c) for c in text) + '"'


def _htk_character(character: str) -> str:
    if character in _HTK_SPECIAL:
        return "\\" + character
    if character.isprintable():
        return character
    return "".join(f"\\{byte:03o}" for byte in character.encode("utf-8", "surrogatepass"))
