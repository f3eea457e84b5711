"""Texts of recordings that are shown: when they are said, and where they are wrong."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from speechattn.alignment.loading import make_aligner
from speechattn.alignment.transcripts import AlignmentError, find_transcripts
from speechattn.inference.transcription import TranscribeOptions
from speechattn.viewer.results import PHONES, WORDS, Labelled

if TYPE_CHECKING:
    from speechattn.alignment.aligner import Aligner
    from speechattn.inference.recognizer import Recognizer
    from speechattn.inference.transcription import Transcription
    from speechattn.viewer.recording import Shown

MOST_TOLD = 10  # places of a recording at which its text differs


class Texts:
    """The texts of recordings.

    Args:
        where: folder or file, as for :func:`~speechattn.alignment.transcripts.find_transcripts`.
        files: relative paths of the recordings, parts separated by ``/``.
        lexicons: files that say how words are pronounced.

    Raises:
        CorpusError: if there is no such folder or file.
        AlignmentError: if a recording has no text, or one that cannot be read.
    """

    def __init__(
        self, where: str | Path, files: Sequence[str], lexicons: Sequence[str | Path] = ()
    ) -> None:
        found = find_transcripts(where, files)
        for problem in found.problems.values():
            raise problem
        self._texts, self._lexicons = found.texts, lexicons
        self._aligner: Aligner | None = None

    def align(
        self, shown: Shown, recognizer: Recognizer, options: TranscribeOptions
    ) -> tuple[Transcription, Labelled, list[str]]:
        """Align the text of a recording.

        Args:
            shown: the recording, as a whole.
            recognizer: of the page.
            options: channel and labels.

        Returns:
            What was aligned; tiers of words and of phones, for each speaker if there are several;
            and a line for each place at which text and recording differ.

        Raises:
            AlignmentError: if a word has no pronunciation, or the text does not fit.
        """
        if self._aligner is None:
            self._aligner = make_aligner(recognizer, self._lexicons)
        try:
            read = self._aligner.read_transcript(self._texts[shown.file])
            prepared = recognizer.prepare(shown.path, options)
            found = self._aligner.finish(read, prepared, recognizer.encode_short(prepared))
        except AlignmentError as error:
            raise AlignmentError(f"{shown.file}: {error}", error.kind) from None
        aligned = found.transcription
        voices = aligned.speakers or [aligned]
        tiers: Labelled = {}
        for voice in voices:
            begin = f"{voice.speaker} - " if len(voices) > 1 else ""
            tiers[f"{begin}{WORDS}"] = list(voice.words or ())
            tiers[f"{begin}{PHONES}"] = voice.phones
        lines = [
            f"text: {fault.start:.2f}-{fault.end:.2f} s: {fault.kind}"
            + (f" ({fault.words})" if fault.words else "")
            for fault in found.faults
        ]
        more = len(lines) - MOST_TOLD
        if more > 1:
            lines[MOST_TOLD:] = [f"text: and {more} more places"]
        return aligned, tiers, lines
