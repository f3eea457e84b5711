"""The files that a run writes for each recording, and how they come to be.

A file is written whole or not at all, and none of a recording's before all of its texts are made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from speechattn.errors import SpeechattnError, UsageError, cannot_write
from speechattn.files import atomic_write_bytes
from speechattn.transcription.formats.registry import POSTERIORS, WRITERS, output_suffixes
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

    Raises:
        UsageError: if a format is unknown, none is named, or two would be written to one file.
    """

    formats: tuple[str, ...] = ("textgrid",)
    posteriors: str | None = None

    def __post_init__(self) -> None:
        output_suffixes(self.formats)
        if self.posteriors is not None and self.posteriors not in POSTERIORS:
            known = ", ".join(POSTERIORS)
            raise UsageError(f"posteriors: unknown kind {self.posteriors!r}; choose from {known}")

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of files of a recording: the formats, and the kind of posteriors."""
        return (*self.formats, *([self.posteriors] if self.posteriors else []))


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

    def write(self, transcription: Transcription) -> None:
        """Write all files; all texts are made before the first is written.

        The disk is not waited for: that takes longer than to transcribe a short recording. The
        journal of a run tells which files a power failure took.

        Raises:
            SpeechattnError: if one cannot be written; those before it have been written then.
            ValueError: if the transcription cannot be written as it is.
        """
        texts = {  # as bytes, which for IPA take half the memory
            kind: WRITERS[kind].render(transcription, self._file, self._silence).encode()
            for kind in self._paths
            if kind in WRITERS
        }
        utterance = ctm_field(utterance_name(self._file))
        for kind, file in self._posteriors.items():
            self._try(kind, file.write, transcription.labels, utterance)
        for kind, text in texts.items():
            self._try(kind, atomic_write_bytes, self._paths[kind], text, flush=False)

    def _try(
        self, kind: str, write: Callable[..., None], *values: object, **options: object
    ) -> None:
        try:
            write(*values, **options)
        except OSError as error:
            raise SpeechattnError(cannot_write(self._paths[kind], error)) from error
