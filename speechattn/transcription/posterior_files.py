"""Frame posteriors as files: NumPy's ``.npz`` and Kaldi's binary archive.

The number of frames stands before them in both, and nobody knows it until the recording has been
read. They wait in memory, or, when they are many, in a temporary file without a name beside the
target, which therefore takes twice their size on the disk for a moment.
"""

from __future__ import annotations

import shutil
import struct
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from speechattn.files import atomic_path
from speechattn.timing import SHIFT_MS

WAITING_BYTES = 8 << 20  # that wait in memory
FRAME_SHIFT = SHIFT_MS / 1000  # seconds
_ROW_TYPE = np.dtype("<f4")
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)  # the first one a zip can hold: the same bytes on every day
_UNIX, _READABLE = 3, 0o644 << 16  # where members of the zip say they were made, their permissions


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
