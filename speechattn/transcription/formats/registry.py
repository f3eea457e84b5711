"""The output formats: a transcription as the text of a file.

Times are in seconds, written with the fewest decimals that give the same double again, and never
with an exponent. Formats that count in whole units (ELAN and WebVTT milliseconds, HTK 100 ns)
round every boundary once. The end of a phone and the start of the next are the same number, so
they are the same characters in the file. Probabilities have four decimals.

Words are written by the formats of :data:`WITH_WORDS`, if the transcription has any.

Silence is the empty label in a TextGrid, no cue in WebVTT, and the silence label of the phone set
in all other formats.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from speechattn.errors import UsageError
from speechattn.segments import check_tiling
from speechattn.transcription.formats.labels import audacity, lab, textgrid, textgrid_short
from speechattn.transcription.formats.markup import eaf, vtt
from speechattn.transcription.formats.tables import csv_text, ctm, json_text, words_ctm

if TYPE_CHECKING:
    from speechattn.inference.transcription import Transcription


@dataclass(frozen=True)
class Writer:
    """One output format.

    Attributes:
        suffix: of the file's name, with the dot.
        format: function of transcription, file and silence that returns the text; call
            :meth:`render`, which checks the transcription first.
    """

    suffix: str
    format: Callable[[Transcription, str, str], str]

    def render(self, transcription: Transcription, file: str, silence: str = "SIL") -> str:
        """Return the text of the output file.

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
    check_tiling(transcription.phones, transcription.duration)
    if not 0 < transcription.duration < float("inf"):
        raise ValueError(f"a duration of {transcription.duration} s cannot be written")
    end = 0.0
    for word in transcription.words or ():
        if not end <= word.start < word.end <= transcription.duration:
            raise ValueError(f"{word} has no length, or lies in another word or after the end")
        end = word.end
    for segment in (*transcription.phones, *(transcription.words or ())):
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

# Formats that write words as well. CTM has them in a file of their own.
WITH_WORDS = ("textgrid", "ctm", "json", "csv", "textgrid-short")
WORDS_CTM = Writer(".words.ctm", words_ctm)

POSTERIORS = {"npz": ".npz", "ark": ".ark"}  # suffixes, by kind; posteriors.py writes them


def output_suffixes(kinds: Sequence[str]) -> dict[str, str]:
    """Return the suffixes of output files, by kind: a format or a kind of posteriors.

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
