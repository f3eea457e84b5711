"""The files that a run writes for each recording, and how they come to be.

A file is written whole or not at all, and none of a recording's before all of its texts are made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from speechattn.errors import SpeechattnError, UsageError, cannot_write
from speechattn.files import atomic_write_bytes
from speechattn.transcription.formats.registry import (
    NEED_WORDS,
    POSTERIORS,
    WORD_FILES,
    output_suffixes,
    word_kind,
    writer_of,
)
from speechattn.transcription.formats.tables import ctm_field, utterance_name

if TYPE_CHECKING:
    import numpy as np

    from speechattn.inference.transcription import Transcription
    from speechattn.transcription.formats.posteriors import PosteriorFile


@dataclass(frozen=True)
class OutputOptions:
    """Which files a run writes for each recording.

    Attributes:
        formats: keys of :data:`speechattn.transcription.formats.registry.WRITERS`.
        posteriors: a key of :data:`speechattn.transcription.formats.registry.POSTERIORS`; None for
            no file of posteriors.
        words: whether the words are written as well.

    Raises:
        UsageError: if a format is unknown, none is named, or two would be written to one file; or
            if one needs words and there are none.
    """

    formats: tuple[str, ...] = ("textgrid",)
    posteriors: str | None = None
    words: bool = False

    def __post_init__(self) -> None:
        output_suffixes(self.formats)
        output_suffixes(self._texts)
        if lacking := [name for name in self.formats if name in NEED_WORDS and not self.words]:
            raise UsageError(f"format {lacking[0]}: holds words; ask for them as well")
        if self.posteriors is not None and self.posteriors not in POSTERIORS:
            known = ", ".join(POSTERIORS)
            raise UsageError(f"posteriors: unknown kind {self.posteriors!r}; choose from {known}")

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of files of a recording: the formats, files of words, the kind of posteriors."""
        return (*self._texts, *([self.posteriors] if self.posteriors else []))

    @property
    def _texts(self) -> tuple[str, ...]:
        words = [word_kind(name) for name in self.formats if self.words and name in WORD_FILES]
        return (*self.formats, *words)


class RecordingOutputs:
    """The files of one recording; a context manager.

    Args:
        paths: file to write for each kind; see :func:`output_suffixes`.
        file: relative path of the recording with its suffix, parts separated by ``/``.
        silence: silence label of the phone set.

    Attributes:
        on_posteriors: to be called with the posteriors of every block, shape (frames, phones);
            None without a file of posteriors.
    """

    def __init__(self, paths: Mapping[str, Path], file: str, silence: str) -> None:
        self._paths, self._file, self._silence = paths, file, silence
        self._posteriors: dict[str, PosteriorFile] = {}
        self.on_posteriors: Callable[[np.ndarray], None] | None = None
        self._open = ExitStack()
        for kind in sorted(POSTERIORS.keys() & paths.keys()):
            # Imported here: it needs NumPy, which `speechattn --help` does without.
            from speechattn.transcription.formats.posteriors import PosteriorFile

            file_of_kind = PosteriorFile(paths[kind], kind)
            self._posteriors[kind] = self._open.enter_context(file_of_kind)
            self.on_posteriors = self._add_posteriors

    def __enter__(self) -> RecordingOutputs:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def _add_posteriors(self, posteriors: np.ndarray) -> None:
        for kind, file in self._posteriors.items():
            self._try(kind, file.add, posteriors)

    def write(self, transcription: Transcription | Sequence[Transcription]) -> None:
        """Write all files; all texts are made before the first is written.

        Several transcriptions are those of the channels, in their order, as are the posteriors.

        The disk is not waited for: that takes longer than to transcribe a short recording. The
        journal of a run tells which files a power failure took.

        Raises:
            SpeechattnError: if one cannot be written; those before it have been written then.
            ValueError: if the transcription cannot be written as it is.
        """
        texts = {  # as bytes, which for IPA take half the memory
            kind: writer.render(transcription, self._file, self._silence).encode()
            for kind in self._paths
            if (writer := writer_of(kind)) is not None
        }
        utterance = ctm_field(utterance_name(self._file))
        if isinstance(transcription, Sequence):
            labels = transcription[0].labels
            channels: int | None = len(transcription)
        else:
            labels, channels = transcription.labels, None
        for kind, file in self._posteriors.items():
            self._try(kind, file.write, labels, utterance, channels)
        for kind, text in texts.items():
            self._try(kind, atomic_write_bytes, self._paths[kind], text, flush=False)

    def _try(
        self, kind: str, write: Callable[..., None], *values: object, **options: object
    ) -> None:
        try:
            write(*values, **options)
        except OSError as error:
            raise SpeechattnError(cannot_write(self._paths[kind], error)) from error
