"""Formats of labels: Praat's TextGrid, and the label files of Audacity and HTK.

A TextGrid has the interval tier ``phones``, in the long or the short form, and before it ``words``
where these are known. Silence is the empty label, as in the Montreal Forced Aligner since 2.0.
Audacity and HTK have one phone a line.

None of them has confidences: TextGrid and Audacity have no field for them, and many readers of
HTK's label files accept no more than three fields.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from speechattn.segments import Segment, exact, plain, whole_edges
from speechattn.text import one_line

if TYPE_CHECKING:
    from speechattn.inference.transcription import Transcription

TIER, WORDS = "phones", "words"
_HEADER = ['File type = "ooTextFile"', 'Object class = "TextGrid"', ""]
HTK_UNITS_PER_SECOND = 10_000_000  # of 100 ns
_HTK_SPECIAL = "\"'\\"  # begin a quoted string, or an escape, anywhere in HTK's strings


_Interval = tuple[str, str, str]  # start, end and quoted label


def _tiers(transcription: Transcription, silence: str) -> Iterator[tuple[str, list[_Interval]]]:
    """Yield the name and the intervals of every tier."""
    if transcription.words is not None:
        yield WORDS, [_interval(segment) for segment in word_tier(transcription)]
    yield TIER, [_interval(segment, silence) for segment in transcription.phones]


def _interval(segment: Segment, silence: str = "") -> _Interval:
    label = _quoted("" if segment.label == silence else segment.label)
    return plain(exact(segment.start)), plain(exact(segment.end)), label


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
    end = plain(exact(transcription.duration))
    tiers = list(_tiers(transcription, silence))
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
    end = plain(exact(transcription.duration))
    tiers = list(_tiers(transcription, silence))
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
    return "".join(
        f"{plain(exact(segment.start))}\t{plain(exact(segment.end))}\t{one_line(segment.label)}\n"
        for segment in transcription.phones
    )


def lab(transcription: Transcription, file: str, silence: str) -> str:
    """Write an HTK label file: start and end in units of 100 ns, label."""
    edges = whole_edges(transcription.phones, HTK_UNITS_PER_SECOND)
    return "".join(
        f"{start} {end} {htk_string(segment.label)}\n"
        for (start, end), segment in zip(edges, transcription.phones)
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
