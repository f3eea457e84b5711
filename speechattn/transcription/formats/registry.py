"""Output formats: a transcription as the text of a file.

Times are seconds, written with the shortest decimals that give the same double back and never
with an exponent. Formats that count in whole units (ELAN and WebVTT milliseconds, HTK 100 ns)
round every boundary once. An end and the start that follows it are the same number in a
transcription, so they are the same characters in the file. Probabilities have four decimals.

Silence is the empty label in a TextGrid, no cue in WebVTT, and the silence label of the phone set
everywhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from speechattn.errors import UsageError
from speechattn.transcription.formats.labels import audacity, lab, textgrid, textgrid_short
from speechattn.transcription.formats.markup import eaf, vtt
from speechattn.transcription.formats.tables import csv_text, ctm, json_text

if TYPE_CHECKING:
    from speechattn.inference.recognizer import Transcription


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


WRITERS: dict[str, Writer] = {
    "textgrid": Writer(".TextGrid", textgrid),
    "ctm": Writer(".ctm", ctm),
    "json": Writer(".json", json_text),
    "csv": Writer(".csv", csv_text),
    "textgrid-short": Writer(".TextGrid", textgrid_short),
    "audacity": Writer(".txt", audacity),
    "eaf": Writer(".eaf", eaf),
    "vtt": Writer(".vtt", vtt),
    "lab": Writer(".lab", lab),
}

POSTERIORS = {"npz": ".npz", "ark": ".ark"}  # suffixes, by kind; posterior_files.py writes them


def output_suffixes(kinds: Sequence[str]) -> dict[str, str]:
    """The suffixes of output files, by kind: a format or a kind of posteriors.

    Raises:
        UsageError: if a kind is unknown, none is named, or two would be written to one file.
    """
    suffixes = {**{name: writer.suffix for name, writer in WRITERS.items()}, **POSTERIORS}
    unknown = [kind for kind in kinds if kind not in suffixes]
    if unknown or not kinds:
        what = f"unknown format {unknown[0]!r}" if unknown else "no output format"
        raise UsageError(f"{what}; choose from {', '.join(WRITERS)}")
    first: dict[str, str] = {}
    for kind in kinds:
        other = first.setdefault(suffixes[kind], kind)
        if other != kind:
            raise UsageError(
                f"formats {other} and {kind} would both be written to {suffixes[kind]} files; "
                "choose one, or run twice into different folders"
            )
    return {kind: suffixes[kind] for kind in kinds}
