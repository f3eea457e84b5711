"""The output formats: a transcription as the text of a file.

Times are in seconds, written in whole microseconds without zeros at the end, and never
with an exponent. Formats that count in whole units (ELAN and WebVTT milliseconds, HTK 100 ns)
round every boundary once. The end of a phone and the start of the next are the same number, so
they are the same characters in the file. Probabilities have four decimals.

Words are written where the transcription has them: as a tier of their own; as captions instead of
phones in WebVTT; and, by formats that hold one sequence of labels, to a file of their own
(:data:`WORD_FILES`). Plain text and SubRip hold nothing but words.

Silence is the empty label in a TextGrid, no cue in WebVTT, and the silence label of the phone set
in all other formats.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from speechattn.errors import UsageError
from speechattn.segments import check_tiling
from speechattn.transcription.formats.captions import srt, srt_channels, txt, txt_channels, vtt
from speechattn.transcription.formats.channels import (
    audacity_channels,
    ctm_channels,
    eaf_channels,
    textgrid_channels,
    textgrid_short_channels,
    vtt_channels,
    words_audacity_channels,
    words_ctm_channels,
)
from speechattn.transcription.formats.labels import (
    audacity,
    lab,
    textgrid,
    textgrid_short,
    words_audacity,
    words_lab,
)
from speechattn.transcription.formats.markup import eaf
from speechattn.transcription.formats.tables import (
    csv_channels,
    csv_text,
    ctm,
    json_channels,
    json_text,
    words_ctm,
)

if TYPE_CHECKING:
    from speechattn.inference.transcription import Transcription


@dataclass(frozen=True)
class Writer:
    """One output format.

    Attributes:
        suffix: of the file's name, with the dot.
        format: function of transcription, file and silence that returns the text; call
            :meth:`render`, which checks the transcription first.
        channels: the same for the transcriptions of several channels; None for a format that holds
            only one.
    """

    suffix: str
    format: Callable[[Transcription, str, str], str]
    channels: Callable[[Sequence[Transcription], str, str], str] | None = None

    def render(
        self,
        transcription: Transcription | Sequence[Transcription],
        file: str,
        silence: str = "SIL",
    ) -> str:
        """Return the text of the output file.

        Args:
            transcription: phones that cover exactly 0 to its duration; or several such, of the
                channels of the recording.
            file: relative path of the recording with its suffix, parts separated by ``/``.
            silence: silence label of the phone set.

        Raises:
            ValueError: if the phones leave gaps, overlap, stop short of the duration, or have a
                confidence outside 0 to 1.
        """
        if not isinstance(transcription, Sequence) and transcription.speakers:
            transcription = transcription.speakers
        if isinstance(transcription, Sequence):
            if self.channels is None or not transcription:
                raise ValueError(
                    f"{len(transcription)} channels cannot be written as {self.suffix}"
                )
            for one in transcription:
                check_transcription(one)
            return self.channels(transcription, file, silence)
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
    "textgrid": Writer(".TextGrid", textgrid, textgrid_channels),
    "ctm": Writer(".ctm", ctm, ctm_channels),
    "json": Writer(".json", json_text, json_channels),
    "csv": Writer(".csv", csv_text, csv_channels),
    "textgrid-short": Writer(".TextGrid", textgrid_short, textgrid_short_channels),
    "audacity": Writer(".txt", audacity, audacity_channels),
    "eaf": Writer(".eaf", eaf, eaf_channels),
    "vtt": Writer(".vtt", vtt, vtt_channels),
    "lab": Writer(".lab", lab),
    "txt": Writer(".txt", txt, txt_channels),
    "srt": Writer(".srt", srt, srt_channels),
}

# Formats that hold nothing but words.
NEED_WORDS = ("txt", "srt")
# Formats with one sequence of labels: the words go to a file of their own.
WORD_FILES: dict[str, Writer] = {
    "ctm": Writer(".words.ctm", words_ctm, words_ctm_channels),
    "audacity": Writer(".words.txt", words_audacity, words_audacity_channels),
    "lab": Writer(".words.lab", words_lab),
}
WORDS_CTM = WORD_FILES["ctm"]

POSTERIORS = {"npz": ".npz", "ark": ".ark"}  # suffixes, by kind; posteriors.py writes them


def word_kind(name: str) -> str:
    """Return the kind of output that is the file of the words of a format."""
    return f"{name}-words"


def writer_of(kind: str) -> Writer | None:
    """Return the writer of a kind of output: a format, or one of :func:`word_kind`."""
    words = {word_kind(name): writer for name, writer in WORD_FILES.items()}
    return {**WRITERS, **words}.get(kind)


def check_channels(kinds: Sequence[str]) -> None:
    """Refuse formats that cannot hold several channels of a recording.

    Raises:
        UsageError: if there is one.
    """
    for kind in kinds:
        if kind in WRITERS and WRITERS[kind].channels is None:
            able = ", ".join(name for name, writer in WRITERS.items() if writer.channels)
            raise UsageError(
                f"format {kind}: holds one channel, and not all; choose from {able}, or run once "
                "for each channel, into different folders"
            )


def output_suffixes(kinds: Sequence[str]) -> dict[str, str]:
    """Return the suffixes of output files, by kind.

    Args:
        kinds: formats, kinds of :func:`word_kind`, kinds of posteriors.

    Raises:
        UsageError: if a kind is unknown, none is named, or two would be written to one file.
    """
    suffixes = {
        **{name: writer.suffix for name, writer in WRITERS.items()},
        **{word_kind(name): writer.suffix for name, writer in WORD_FILES.items()},
        **POSTERIORS,
    }
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
