"""What a run writes for each recording: which files, what is in them, and how they come to be.

A file is written whole or not at all, and none of a recording's before all of its texts are made.

Frame posteriors as files: NumPy's ``.npz`` and Kaldi's binary archive.

The number of frames stands before them in both, and nobody knows it until the recording has been
read. They wait in memory, or, when they are many, in a temporary file without a name beside the
target, which therefore takes twice their size on the disk for a moment.
"""

from __future__ import annotations

import functools
import shutil
import struct
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from speechattn.errors import SpeechattnError, UsageError, cannot_write
from speechattn.files import atomic_path, atomic_write_bytes
from speechattn.phones import LABELS
from speechattn.segments import SHIFT_MS
from speechattn.transcription.formats.registry import POSTERIORS, WRITERS, output_suffixes
from speechattn.transcription.formats.tables import ctm_field, utterance_name

if TYPE_CHECKING:
    from speechattn.inference.recognizer import Transcription

MOST_ALTERNATIVES = 100


# Not flushed to the disk one by one, which takes longer than to transcribe a short recording:
# the journal of a run tells what a power failure took.
_write = functools.partial(atomic_write_bytes, flush=False)


WAITING_BYTES = 8 << 20  # that wait in memory
FRAME_SHIFT = SHIFT_MS / 1000  # seconds
_ROW_TYPE = np.dtype("<f4")
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)  # the first one a zip can hold: the same bytes on every day
_UNIX, _READABLE = 3, 0o644 << 16  # where members of the zip say they were made, their permissions


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
            pass

            waiting = PosteriorFile(paths[kind], kind)
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


class PosteriorFile:
    """The posteriors of one recording on their way to a file; a context manager.

    Args:
        path: of the file, which is there only after :meth:`write`; its folder is made as needed.
        kind: a key of :data:`KINDS`.
    """

    def __init__(self, path: Path, kind: str):
        self._path, self._finish = path, KINDS[kind]
        self._rows: BinaryIO | None = None
        self._shape = (0, 0)

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        if self._rows is not None:
            self._rows.close()

    def add(self, posteriors: np.ndarray) -> None:
        """Take in the next frames, shape (frames, phones).

        Raises:
            OSError: if they find no place on the disk.
        """
        if self._rows is None:
            folder = self._path.parent
            folder.mkdir(parents=True, exist_ok=True)
            self._rows = tempfile.SpooledTemporaryFile(  # noqa: SIM115 - closed by __exit__
                WAITING_BYTES, dir=folder, prefix="."
            )
        self._shape = (self._shape[0] + len(posteriors), posteriors.shape[1])
        self._rows.write(np.ascontiguousarray(posteriors, _ROW_TYPE).data)

    def write(self, labels: Sequence[str], utterance: str) -> None:
        """Write the file, whole or not at all.

        Args:
            labels: what the phones are called, one a column.
            utterance: name of the recording, one field without white space.

        Raises:
            OSError: if it cannot be written.
            ValueError: if there are no frames, or labels and columns are not the same number.
        """
        if self._rows is None or self._shape[1] != len(labels):
            raise ValueError(f"posteriors of shape {self._shape} for {len(labels)} phones")
        self._rows.seek(0)
        with atomic_path(self._path, flush=False) as temporary, open(temporary, "wb") as file:
            self._finish(file, self._rows, self._shape, labels, utterance)


def _npz(
    file: BinaryIO,
    rows: BinaryIO,
    shape: tuple[int, int],
    labels: Sequence[str],
    utterance: str,
) -> None:
    """``posteriors``, ``labels`` and ``frame_shift`` (seconds), as ``numpy.savez`` names them."""
    header = {"descr": _ROW_TYPE.str, "fortran_order": False, "shape": shape}
    size = shape[0] * shape[1] * _ROW_TYPE.itemsize
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        with _member(archive, "posteriors", size) as member:
            np.lib.format.write_array_header_1_0(member, header)
            shutil.copyfileobj(rows, member)
        for name, value in (("labels", list(labels)), ("frame_shift", FRAME_SHIFT)):
            with _member(archive, name) as member:
                np.lib.format.write_array(member, np.array(value), allow_pickle=False)


def _member(archive: zipfile.ZipFile, name: str, size: int = 0) -> BinaryIO:
    """A file in a zip that is the same whenever and wherever it is written; ``size`` is a guess."""
    info = zipfile.ZipInfo(f"{name}.npy", _ZIP_DATE)
    info.create_system, info.external_attr, info.file_size = _UNIX, _READABLE, size
    return archive.open(info, "w")


def _ark(
    file: BinaryIO,
    rows: BinaryIO,
    shape: tuple[int, int],
    labels: Sequence[str],
    utterance: str,
) -> None:
    """One float matrix under the name of the utterance, in Kaldi's binary form."""
    file.write(utterance.encode() + b" \0BFM " + struct.pack("<bibi", 4, shape[0], 4, shape[1]))
    shutil.copyfileobj(rows, file)


KINDS: dict[str, Callable] = {"npz": _npz, "ark": _ark}
