"""What is computed once and kept in the user's cache folder, for all processes of this machine.

An entry is a dictionary of arrays in one file (safetensors). It is mapped into memory, not read:
what a process never touches is never loaded, and processes share what they touch. An entry is
written whole or not at all. Where the folder cannot be read or written, everything works without
it: each process computes for itself.

The folder is ``SPEECHATTN_CACHE`` if that is set; set to nothing, it turns the cache off.
Otherwise it is ``speechattn`` in the usual place for caches of the system. It may be deleted at any
time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import mmap
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from speechattn import __version__
from speechattn.files import atomic_path

try:
    import fcntl
except ImportError:  # Windows has no such locks
    fcntl = None  # type: ignore[assignment]

VARIABLE = "SPEECHATTN_CACHE"
MOST_ENTRIES = 16  # in the folder; the oldest go first
_SUFFIX = ".safetensors"
_LENGTH_BYTES = 8  # of the length of the header, at the beginning of a file
_TYPES = {
    **{"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4"},
    **{"I16": "<i2", "I8": "i1", "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1"},
}

# What may go wrong with a file of someone else's making.
_UNUSABLE = (OSError, ValueError, KeyError, TypeError, RecursionError)


def folder() -> Path | None:
    """Return the cache folder, which may not exist; None for no cache."""
    chosen = os.environ.get(VARIABLE)
    if chosen is not None:
        return Path(chosen) if chosen else None
    try:
        if sys.platform == "win32":
            base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local")
        elif sys.platform == "darwin":
            base = Path.home() / "Library" / "Caches"
        else:
            base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # a user without a home
        return None
    return base / "speechattn"


def digest(kind: str, arrays: Mapping[str, np.ndarray], sources: Sequence[str]) -> str:
    """Return a name for what is computed from arrays: ``kind`` and a hash of what it depends on.

    Args:
        kind: what is computed, as a part of a file name.
        arrays: what it is computed from.
        sources: files of the code that computes it.
    """
    found = hashlib.sha256(__version__.encode())
    for source in sources:
        with contextlib.suppress(OSError):  # in an archive; then the version must do
            found.update(Path(source).read_bytes())
    for name, values in sorted(arrays.items()):
        found.update(f"{name} {values.dtype.str} {values.shape} ".encode())
        found.update(np.ascontiguousarray(values).reshape(-1).data)
    return f"{kind}-{found.hexdigest()[:32]}"


def arrays(name: str, make: Callable[[], Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Return the arrays of an entry, which are computed if it is not there.

    They may be written to; that stays in this process.

    Args:
        name: from :func:`digest`.
        make: computes them.
    """
    where = folder()
    if where is None:
        return dict(make())
    path = where / (name + _SUFFIX)
    with contextlib.suppress(*_UNUSABLE):
        return mapped_arrays(path)
    made = dict(make())
    with contextlib.suppress(OSError):
        _write(path, made)
        _remove_oldest(where)
        with contextlib.suppress(*_UNUSABLE):
            return mapped_arrays(path)  # shared from now on
    return made


@contextlib.contextmanager
def lock(name: str, *, wait: bool = True) -> Iterator[bool]:
    """Hold a lock that all processes of this machine share; it ends with the process at the latest.

    Args:
        name: of the lock.
        wait: until another process has let it go.

    Yields:
        Whether nobody else holds it: always after waiting, and where there are no locks.
    """
    where = folder()
    with contextlib.ExitStack() as opened:
        free = True
        if where is not None and fcntl is not None:
            with contextlib.suppress(OSError):
                where.mkdir(mode=0o700, parents=True, exist_ok=True)
                file = opened.enter_context((where / f"{name}.lock").open("ab"))
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
                except BlockingIOError:
                    free = False
        yield free


def mapped_arrays(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a safetensors file, mapped; bfloat16 as float32, which is a copy.

    Raises:
        OSError: if there is no such file, or it cannot be read.
        ValueError, KeyError, TypeError: if it is no whole file of arrays.
    """
    with path.open("rb") as file:
        memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    length = int.from_bytes(memory[:_LENGTH_BYTES], "little")
    begin = _LENGTH_BYTES + length
    header = json.loads(memory[_LENGTH_BYTES:begin])
    found = {}
    header.pop("__metadata__", None)
    for name, entry in header.items():
        dtype, shape = np.dtype(_TYPES[entry["dtype"]]), entry["shape"]
        start, end = entry["data_offsets"]
        count = (end - start) // dtype.itemsize
        values = np.frombuffer(memory, dtype, count, begin + start).reshape(shape)
        if entry["dtype"] == "BF16":
            values = (values.astype(np.uint32) << 16).view(np.float32)
        found[name] = np.require(values, requirements="A")
    size = max((entry["data_offsets"][1] for entry in header.values()), default=0)
    if begin + size != len(memory):
        raise ValueError(f"{path}: {len(memory)} bytes, not those of its arrays")
    return found


def _write(path: Path, made: Mapping[str, np.ndarray]) -> None:
    from safetensors.numpy import save

    content = save({name: np.asarray(values, order="C") for name, values in made.items()})
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def _remove_oldest(where: Path) -> None:
    entries = sorted(where.glob(f"*{_SUFFIX}"), key=lambda entry: entry.stat().st_mtime)
    for entry in entries[:-MOST_ENTRIES]:
        entry.unlink(missing_ok=True)
