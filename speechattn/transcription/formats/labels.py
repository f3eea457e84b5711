"""TextGrids, as Praat reads them: one interval tier, ``phones``, in the long or the short form.

Silence is the empty label, as the Montreal Forced Aligner has it since 2.0.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from speechattn.decimals import exact, plain

if TYPE_CHECKING:
    from speechattn.inference.recognizer import Transcription

TIER = "phones"
_HEADER = ['File type = "ooTextFile"', 'Object class = "TextGrid"', ""]


def _intervals(transcription: Transcription, silence: str) -> Iterator[tuple[str, str, str]]:
    """Start, end and quoted label of every interval."""
    for segment in transcription.phones:
        label = _quoted("" if segment.label == silence else segment.label)
        yield plain(exact(segment.start)), plain(exact(segment.end)), label


def _quoted(text: str) -> str:
    doubled = text.replace('"', '""')
    return f'"{doubled}"'


def textgrid(transcription: Transcription, file: str, silence: str) -> str:
    """Praat's long text format: one interval tier, ``phones``, from 0 to the duration."""
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
