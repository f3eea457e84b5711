"""Formats of labels: Praat's TextGrid, and the label files of Audacity and HTK.

A TextGrid has one interval tier, ``phones``, in the long or the short form. Silence is the empty
label, as in the Montreal Forced Aligner since 2.0. Audacity and HTK have one phone a line.

None of them has confidences: TextGrid and Audacity have no field for them, and many readers of
HTK's label files accept no more than three fields.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from speechattn.segments import exact, plain, whole_edges
from speechattn.text import one_line

if TYPE_CHECKING:
    from speechattn.inference.transcription import Transcription

TIER = "phones"
_HEADER = ['File type = "ooTextFile"', 'Object class = "TextGrid"', ""]
HTK_UNITS_PER_SECOND = 10_000_000  # of 100 ns
_HTK_SPECIAL = "\"'\\"  # begin a quoted string, or an escape, anywhere in HTK's strings


def _intervals(transcription: Transcription, silence: str) -> Iterator[tuple[str, str, str]]:
    """Yield start, end and quoted label of every interval."""
    for segment in transcription.phones:
        label = _quoted("" if segment.label == silence else segment.label)
        yield plain(exact(segment.start)), plain(exact(segment.end)), label


def _quoted(text: str) -> str:
    doubled = text.replace('"', '""')
    return f'"{doubled}"'


def textgrid(transcription: Transcription, file: str, silence: str) -> str:
    """Write Praat's long text format: one interval tier, ``phones``, from 0 to the duration."""
    end = plain(exact(transcription.duration))
    lines = [
        *_HEADER,
        "xmin = 0",
        f"xmax = {end}",
        "tiers? <exists>",
        "size = 1",
        "item []:",
        "    item [1]:",
        '        class = "IntervalTier"',
        f"        name = {_quoted(TIER)}",
        "        xmin = 0",
        f"        xmax = {end}",
        f"        intervals: size = {len(transcription.phones)}",
    ]
    for number, (start, stop, label) in enumerate(_intervals(transcription, silence), 1):
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
    lines = [*_HEADER, "0", end, "<exists>", "1"]
    lines += ['"IntervalTier"', _quoted(TIER), "0", end, str(len(transcription.phones))]
    for interval in _intervals(transcription, silence):
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
