"""Frame posteriors as files: NumPy's ``.npz`` and Kaldi's binary archive.

In both, the number of frames stands before the frames, and it is known only at the end of the
recording. Until then the frames wait in memory or, when they are many, in a temporary file without
a name beside the target. For a moment they therefore take twice their size on the disk.
"""

from __future__ import annotations

import shutil
import struct
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, BinaryIO, cast

import numpy as np

from speechattn.files import atomic_path
from speechattn.segments import SHIFT_MS

WAITING_BYTES = 8 << 20  # that wait in memory
FRAME_SHIFT = SHIFT_MS / 1000  # seconds
_ROW_TYPE = np.dtype("<f4")
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)  # the first one a zip can hold: the same bytes on every day
_UNIX, _READABLE = 3, 0o644 << 16  # in a member of a zip: the system that made it, permissions


class PosteriorFile:
    """Collects the posteriors of one recording and writes a file of them; a context manager.

    Args:
        path: of the file, which exists only after :meth:`write`; its folder is made as needed.
        kind: a key of :data:`KINDS`.
    """

    def __init__(self, path: Path, kind: str) -> None:
        self._path, self._write_kind = path, KINDS[kind]
        self._rows: IO[bytes] | None = None
        self._shape = (0, 0)

    def __enter__(self) -> PosteriorFile:
        return self

    def __exit__(self, *_: object) -> None:
        if self._rows is not None:
            self._rows.close()

    def add(self, posteriors: np.ndarray) -> None:
        """Add the next frames, shape (frames, phones).

        Raises:
            OSError: if the disk has no room for them.
        """
        if self._rows is None:
            folder = self._path.parent
            folder.mkdir(parents=True, exist_ok=True)
            rows = tempfile.SpooledTemporaryFile(  # noqa: SIM115 - closed by __exit__
                WAITING_BYTES, dir=str(folder), prefix="."
            )
            self._rows = cast(IO[bytes], rows)
        self._shape = (self._shape[0] + len(posteriors), posteriors.shape[1])
        self._rows.write(np.ascontiguousarray(posteriors, _ROW_TYPE).data)

    def write(self, labels: Sequence[str], utterance: str, channels: int | None = None) -> None:
        """Write the file, whole or not at all.

        Args:
            labels: name of the phone of each column.
            utterance: name of the recording, without white space.
            channels: whose frames were added, one channel after the other; None if it was one or
                the mean of all.

        Raises:
            OSError: if it cannot be written.
            ValueError: if there are no frames, or labels and columns are not the same number, or
                the channels do not have the same number of frames.
        """
        if self._rows is None or self._shape[1] != len(labels):
            raise ValueError(f"posteriors of shape {self._shape} for {len(labels)} phones")
        if self._shape[0] % (channels or 1):
            raise ValueError(f"posteriors of shape {self._shape} for {channels} channels")
        self._rows.seek(0)
        with atomic_path(self._path, flush=False) as temporary, temporary.open("wb") as file:
            self._write_kind(file, self._rows, self._shape, labels, utterance, channels)


def _npz(
    file: BinaryIO,
    rows: IO[bytes],
    shape: tuple[int, int],
    labels: Sequence[str],
    utterance: str,
    channels: int | None,
) -> None:
    """Write ``posteriors``, ``labels`` and ``frame_shift`` (seconds) as ``numpy.savez`` does."""
    full = shape if channels is None else (channels, shape[0] // channels, shape[1])
    header = {"descr": _ROW_TYPE.str, "fortran_order": False, "shape": full}
    size = shape[0] * shape[1] * _ROW_TYPE.itemsize
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        with _member(archive, "posteriors", size) as member:
            np.lib.format.write_array_header_1_0(member, header)
            shutil.copyfileobj(rows, member)
        for name, value in (("labels", list(labels)), ("frame_shift", FRAME_SHIFT)):
            with _member(archive, name) as member:
                np.lib.format.write_array(member, np.array(value), allow_pickle=False)


def _member(archive: zipfile.ZipFile, name: str, size: int = 0) -> IO[bytes]:
    """Open a member of a zip whose bytes do not depend on time and machine; ``size`` is a guess."""
    info = zipfile.ZipInfo(f"{name}.npy", _ZIP_DATE)
    info.create_system, info.external_attr, info.file_size = _UNIX, _READABLE, size
    return archive.open(info, "w")


def _ark(
    file: BinaryIO,
    rows: IO[bytes],
    shape: tuple[int, int],
    labels: Sequence[str],
    utterance: str,
    channels: int | None,
) -> None:
    """Write a float matrix under the name of the utterance, in Kaldi's binary form.

    Of several channels, each has a matrix; ``-1`` and so on, as in CTM, is added to the name.
    """
    frames = shape[0] // (channels or 1)
    for channel in range(channels or 1):
        name = utterance if channels is None else f"{utterance}-{channel + 1}"
        file.write(name.encode() + b" \0BFM " + struct.pack("<bibi", 4, frames, 4, shape[1]))
        part = _Part(rows, frames * shape[1] * _ROW_TYPE.itemsize)
        shutil.copyfileobj(cast(IO[bytes], part), file)


class _Part:
    """The next bytes of a file, as a file.

    Args:
        file: that they are read from.
        left: their number.
    """

    def __init__(self, file: IO[bytes], left: int) -> None:
        self._file, self._left = file, left

    def read(self, size: int = -1, /) -> bytes:
        """Return at most ``size`` bytes; none at the end of the part."""
        data = self._file.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(data)
        return data


KINDS: dict[str, Callable] = {"npz": _npz, "ark": _ark}
