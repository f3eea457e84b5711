"""Align the recordings of a batch: what a worker needs, and what it does with a recording.

All else is done as for a transcription (:mod:`speechattn.transcription.transcriber`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from speechattn.alignment.aligner import Aligner
from speechattn.alignment.loading import make_aligner
from speechattn.alignment.reductions import ENGLISH
from speechattn.alignment.transcripts import AlignmentError, Transcript, Transcripts
from speechattn.errors import UNSUITABLE, SpeechattnError
from speechattn.inference.transcription import Prepared, TranscribeOptions, Transcription
from speechattn.text import one_line
from speechattn.transcription.formats.registry import writer_of
from speechattn.transcription.inputs import Recording
from speechattn.transcription.model_spec import ModelSpec
from speechattn.transcription.outputs import OutputOptions
from speechattn.transcription.transcriber import Transcriber

if TYPE_CHECKING:
    import numpy as np

    from speechattn.inference.reading import OnPosteriors


def with_texts(recordings: Sequence[Recording], found: Transcripts) -> list[Recording]:
    """Recordings with their texts, or with why they have none.

    Args:
        recordings: of the batch.
        found: the texts.

    Raises:
        UsageError: if an output would be written over a text.
    """
    found.check_outputs(path for each in recordings for path in each.outputs.values())
    texts = (found.problems.get(each.file) or found.texts[each.file] for each in recordings)
    return [replace(each, text=text, key=_digest(text)) for each, text in zip(recordings, texts)]


def _digest(text: Transcript | SpeechattnError) -> str:
    content = f"none\n{text}" if isinstance(text, SpeechattnError) else f"text\n{text.content}"
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:16]


@dataclass(frozen=True)
class AlignerSpec:
    """What a process needs to align recordings; calling it loads the model and the dictionary.

    Attributes:
        model: which model.
        outputs: files that are written for each recording.
        options: channel and labels.
        lexicons: files that say how words are pronounced, before the dictionary of US English.
        unknown: what becomes of a word of no dictionary; see
            :class:`~speechattn.alignment.pronunciations.PronouncingDictionary`.
        reductions: table of what may be said instead, ``english`` or ``none``.
        every_word: force every word of a text upon its recording.
    """

    model: ModelSpec
    outputs: OutputOptions
    options: TranscribeOptions
    lexicons: tuple[str, ...] = ()
    unknown: str = "guess"
    reductions: str = ENGLISH
    every_word: bool = False

    def __call__(self) -> tuple[AlignTask, dict[str, Any]]:
        """Return the function for a recording, and the facts of :meth:`ModelSpec.load`."""
        recognizer, facts = self.model.load()
        recognizer.check(self.options)  # refuse now what the model cannot do
        aligner = make_aligner(
            *(recognizer, self.lexicons, self.unknown, self.reductions), every_word=self.every_word
        )
        return AlignTask(aligner, self.outputs, self.options), facts


class AlignTask(Transcriber):
    """Aligns recordings: the function for tasks that a worker calls.

    Args:
        aligner: aligns them.
        outputs: files that are written for each recording.
        options: channel and labels.
    """

    def __init__(
        self, aligner: Aligner, outputs: OutputOptions, options: TranscribeOptions
    ) -> None:
        super().__init__(aligner.recognizer, outputs, options)
        self.aligner = aligner

    def check(self, recording: Recording) -> None:
        """Refuse a recording without a text, or with one that cannot be read.

        Raises:
            AlignmentError: if it has none.
        """
        text = recording.text
        if isinstance(text, SpeechattnError):
            raise text
        assert isinstance(text, Transcript)
        self._check_formats(text)
        self.aligner.read_transcript(text)

    def _check_formats(self, text: Transcript) -> None:
        """Refuse formats that hold one speaker for a text of several."""
        speakers = {each.speaker for each in text.utterances}
        for kind in self.outputs.kinds if len(speakers) > 1 else ():
            writer = writer_of(kind)
            if writer is not None and writer.channels is None:
                raise AlignmentError(
                    f"format {kind}: holds one speaker, and {text.source} has {len(speakers)} "
                    f"({one_line(', '.join(sorted(speakers)))}); choose another format",
                    UNSUITABLE,
                )

    def finish(
        self,
        recording: Recording,
        prepared: Prepared,
        log_posteriors: np.ndarray | None,
        on_posteriors: OnPosteriors | None,
    ) -> Transcription:
        """Align a recording that was read; see :meth:`Transcriber.finish`."""
        text = recording.text
        assert isinstance(text, Transcript)
        read = self.aligner.read_transcript(text)
        return self.aligner.finish(read, prepared, log_posteriors, on_posteriors).transcription
