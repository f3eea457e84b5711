"""Output formats: a transcription as the text of a TextGrid, CTM, JSON or CSV file.

Times are seconds, written with the shortest decimals that give the same double back and never
with an exponent. An end and the start that follows it are the same number in a transcription, so
they are the same characters in the file. Confidences have four decimals.

Silence is the empty label in a TextGrid, as the Montreal Forced Aligner has it since 2.0, and
the silence label of the phone set everywhere else.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from speechattn.recognizer import Transcription

CONFIDENCE_DECIMALS = 4


@dataclass(frozen=True)
class Writer:
    """One output format.

    Attributes:
        suffix: of the file's name, with the dot.
        format: ``(transcription, file, silence) -> text``; use :meth:`render`, which checks first.
    """

    suffix: str
    format: Callable[[Transcription, str, str], str]

    def render(self, transcription: Transcription, file: str, silence: str = "SIL") -> str:
        """The text of the output file.

        Args:
            transcription: phones that cover exactly 0 to its duration.
            file: relative path of the recording with its suffix, parts separated by ``/``.
            silence: silence label of the phone set.

        Raises:
            ValueError: if the phones leave gaps, overlap, stop short of the duration, or have a
                confidence outside 0 to 1.
        """
        check_transcription(transcription)
        return self.format(transcription, file, silence)


def check_transcription(transcription: Transcription) -> None:
    """Check that a transcription can be written as it is; see :meth:`Writer.render`."""
    # Imported here: it brings NumPy, and `speechattn --help` needs only the formats' names.
    from speechattn.segments import check_tiling

    check_tiling(transcription.phones, transcription.duration)
    if not 0 < transcription.duration < float("inf"):
        raise ValueError(f"a duration of {transcription.duration} s cannot be written")
    for segment in transcription.phones:
        if not 0 <= segment.confidence <= 1:
            raise ValueError(f"{segment} has a confidence outside 0 to 1")


def exact(seconds: float) -> Decimal:
    """The shortest decimal number that is read back as this double."""
    return Decimal(repr(float(seconds)))


def plain(number: Decimal) -> str:
    """A decimal number without exponent and without trailing zeros, ``0`` for none."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def phone_records(transcription: Transcription) -> list[dict]:
    """The phones as JSON values: label, start and end (s), confidence."""
    return [
        {
            "label": segment.label,
            "start": float(segment.start),
            "end": float(segment.end),
            "confidence": round(float(segment.confidence), CONFIDENCE_DECIMALS),
        }
        for segment in transcription.phones
    ]


def textgrid(transcription: Transcription, file: str, silence: str) -> str:
    """Praat's long text format: one interval tier, ``phones``, from 0 to the duration."""
    end = plain(exact(transcription.duration))
    lines = [
        'File type = "ooTextFile"',
        'Object class = "TextGrid"',
        "",
        "xmin = 0",
        f"xmax = {end}",
        "tiers? <exists>",
        "size = 1",
        "item []:",
        "    item [1]:",
        '        class = "IntervalTier"',
        '        name = "phones"',
        "        xmin = 0",
        f"        xmax = {end}",
        f"        intervals: size = {len(transcription.phones)}",
    ]
    for number, segment in enumerate(transcription.phones, 1):
        label = "" if segment.label == silence else segment.label.replace('"', '""')
        lines += [
            f"        intervals [{number}]:",
            f"            xmin = {plain(exact(segment.start))}",
            f"            xmax = {plain(exact(segment.end))}",
            f'            text = "{label}"',
        ]
    return "\n".join(lines) + "\n"


def ctm_field(text: str) -> str:
    """A name as one field of a CTM line; ``urllib.parse.unquote_to_bytes`` undoes it.

    Percent-encoded are white space, which separates fields; control characters; ``%`` itself;
    a ``;`` at the beginning, which would make the line a comment; and bytes of a file name that
    are not UTF-8.
    """

    def escaped(character: str) -> str:
        raw_byte = "\udc80" <= character <= "\udcff"
        data = character.encode("utf-8", "surrogateescape" if raw_byte else "surrogatepass")
        return "".join(f"%{byte:02X}" for byte in data)

    def special(position: int, character: str) -> bool:
        undecodable = "\ud800" <= character <= "\udfff"
        control = character < " " or character == "\x7f"
        comment = character == ";" and position == 0
        return character.isspace() or undecodable or control or character == "%" or comment

    return "".join(escaped(c) if special(i, c) else c for i, c in enumerate(text))


def utterance_name(file: str) -> str:
    """The recording's relative path without its suffix: ``a/b.wav`` → ``a/b``."""
    path = PurePosixPath(file)
    return os.fspath(path.parent / path.stem)


def ctm(transcription: Transcription, file: str, silence: str) -> str:
    """NIST CTM: ``utterance channel start duration symbol confidence`` a line, channel 1.

    The utterance is the relative path without suffix, made one field by :func:`ctm_field`. Start
    and duration add up to the next start exactly, as decimals.
    """
    utterance = ctm_field(utterance_name(file))
    return "".join(
        f"{utterance} 1 {plain(exact(segment.start))}"
        f" {plain(exact(segment.end) - exact(segment.start))}"
        f" {ctm_field(segment.label)} {segment.confidence:.{CONFIDENCE_DECIMALS}f}\n"
        for segment in transcription.phones
    )


def json_text(transcription: Transcription, file: str, silence: str) -> str:
    """A JSON object: file, duration (s), sample_rate (Hz) and the list of phones.

    ASCII only: bytes of a file name that are not UTF-8 appear as ``\\udc80`` to ``\\udcff``
    (Python's ``surrogateescape``; ``os.fsencode`` gives the name back).
    """
    values = {
        "file": file,
        "duration": float(transcription.duration),
        "sample_rate": int(transcription.sample_rate),
        "phones": phone_records(transcription),
    }
    return json.dumps(values, indent=1, allow_nan=False) + "\n"


def csv_text(transcription: Transcription, file: str, silence: str) -> str:
    """Comma-separated values with the header ``start,end,label,confidence``, times in seconds."""
    buffer = io.StringIO()
    rows = csv.writer(buffer, lineterminator="\n")
    rows.writerow(["start", "end", "label", "confidence"])
    for segment in transcription.phones:
        times = plain(exact(segment.start)), plain(exact(segment.end))
        rows.writerow([*times, segment.label, f"{segment.confidence:.{CONFIDENCE_DECIMALS}f}"])
    return buffer.getvalue()


WRITERS: dict[str, Writer] = {
    "textgrid": Writer(".TextGrid", textgrid),
    "ctm": Writer(".ctm", ctm),
    "json": Writer(".json", json_text),
    "csv": Writer(".csv", csv_text),
}
