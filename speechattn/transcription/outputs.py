"""What a run writes for each recording: which files, what is in them, and how they come to be.

A file is written whole or not at all, and none of a recording's before all of its texts are made.
"""

from __future__ import annotations

import errno
import functools
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from speechattn.errors import SpeechattnError, UsageError
from speechattn.files import atomic_write_bytes
from speechattn.phones import LABELS
from speechattn.text import one_line
from speechattn.transcription.formats.registry import WRITERS
from speechattn.transcription.formats.tables import ctm_field, utterance_name

if TYPE_CHECKING:
    import numpy as np

    from speechattn.inference.recognizer import Transcription
    from speechattn.transcription.posterior_files import PosteriorFile

POSTERIORS = {"npz": ".npz", "ark": ".ark"}  # suffixes, by kind; posterior_files.py writes them
MOST_ALTERNATIVES = 100

WAYS_OUT = {
    errno.ENOSPC: "free some disk space and run again",
    errno.EACCES: "check the permissions",
    errno.EPERM: "check the permissions",
    errno.ENAMETOOLONG: "give the recording a shorter name",
}


@dataclass(frozen=True)
class OutputOptions:
    """What a run writes for each recording.

    Attributes:
        formats: keys of :data:`speechattn.transcription.formats.registry.WRITERS`.
        labels: what phones are called: ``"arpabet"``, the model's own labels, or ``"ipa"``.
        alternatives: how many other phones are given with each, in JSON.
        posteriors: a key of :data:`POSTERIORS`, or None for none.

    Raises:
        UsageError: if a format is unknown or none is named, two would be written to one file, or
            another value is out of range.
    """

    formats: tuple[str, ...] = ("textgrid",)
    labels: str = "arpabet"
    alternatives: int = 0
    posteriors: str | None = None

    def __post_init__(self) -> None:
        output_suffixes(self.formats)
        if self.labels not in LABELS:
            known = ", ".join(LABELS)
            raise UsageError(f"labels: {self.labels!r} is unknown; choose from {known}")
        if self.posteriors is not None and self.posteriors not in POSTERIORS:
            known = ", ".join(POSTERIORS)
            raise UsageError(f"posteriors: unknown kind {self.posteriors!r}; choose from {known}")
        if not 0 <= self.alternatives <= MOST_ALTERNATIVES:
            raise UsageError(
                f"alternatives: {self.alternatives} is out of range; give 0 to {MOST_ALTERNATIVES}"
            )

    @property
    def kinds(self) -> tuple[str, ...]:
        """Of files a recording gets: the formats, and the kind of posteriors."""
        return (*self.formats, *([self.posteriors] if self.posteriors else []))

    def to_dict(self) -> dict:
        """As JSON values."""
        return {**asdict(self), "formats": list(self.formats)}


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


# Not flushed to the disk one by one, which takes longer than to transcribe a short recording:
# the journal of a run tells what a power failure took.
_write = functools.partial(atomic_write_bytes, flush=False)


class RecordingOutputs:
    """The files of one recording; a context manager.

    Args:
        paths: kind (see :func:`output_suffixes`) → file to write.
        file: relative path of the recording with its suffix, parts separated by ``/``.
        silence: silence label of the phone set.

    Attributes:
        on_posteriors: to be called with the posteriors of every block, shape (frames, phones);
            None where no file of them is asked for.
    """

    def __init__(self, paths: Mapping[str, Path], file: str, silence: str):
        self._paths, self._file, self._silence = paths, file, silence
        self._posteriors: dict[str, PosteriorFile] = {}
        self.on_posteriors: Callable[[np.ndarray], None] | None = None
        self._open = ExitStack()
        for kind in sorted(POSTERIORS.keys() & paths.keys()):
            # Imported here: it brings NumPy, which `speechattn --help` does without.
            from speechattn.transcription import posterior_files

            waiting = posterior_files.PosteriorFile(paths[kind], kind)
            self._posteriors[kind] = self._open.enter_context(waiting)
            self.on_posteriors = self._add_posteriors

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def _add_posteriors(self, posteriors: np.ndarray) -> None:
        for kind, file in self._posteriors.items():
            self._try(kind, file.add, posteriors)

    def write(self, transcription: Transcription) -> None:
        """Write all files; all texts are made before the first is written.

        Raises:
            SpeechattnError: if one cannot be written; those before it are there then.
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
            self._try(kind, _write, self._paths[kind], text)

    def _try(self, kind: str, write: Callable[..., None], *values: object) -> None:
        try:
            write(*values)
        except OSError as error:
            raise SpeechattnError(cannot_write(self._paths[kind], error)) from error


def cannot_write(path: Path, error: OSError) -> str:
    """One line that says which file cannot be written, why, and what to do."""
    way_out = WAYS_OUT.get(error.errno, "check the output folder")
    return one_line(f"{path}: cannot be written ({error.strerror}); {way_out}")
