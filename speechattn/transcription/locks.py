"""Locks between processes, on a file that is there only while it is locked.

A lock ends with its process, however that ends. A file system without locks has none, and nobody
is told.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]
try:
    import msvcrt
except ImportError:  # all others
    msvcrt = None  # type: ignore[assignment]

SHARERS = 1024  # processes that may share a lock on Windows
_BEYOND = 1 << 30  # bytes; no file that is locked has so many
_ATTEMPTS = 100  # to lock a file that its last user has not removed meanwhile


@contextlib.contextmanager
def locked(path: Path, *, shared: bool = False) -> Iterator[None]:
    """Lock a file for the block; the last user removes it.

    Args:
        path: of the file, made if it is missing. Its content is left as it is.
        shared: whether others may share the lock.

    Raises:
        BlockingIOError: if another process has locked it.
        OSError: if it cannot be made.
    """
    file, works = _open_locked(path, shared)
    try:
        yield
    finally:
        # Not where others share it, who would no longer see each other.
        if fcntl is not None and works and (not shared or _lock_alone(file)):
            _remove(path)
        file.close()
        if fcntl is None:  # Windows removes no file that somebody has open
            _remove(path)


def _open_locked(path: Path, shared: bool) -> tuple[BinaryIO, bool]:
    """Return the locked file, and whether locks work there."""
    for _ in range(_ATTEMPTS):
        file = path.open("a+b")
        try:
            _lock(file, shared)
            if _is_at(file, path):
                return file, True
        except BlockingIOError:
            file.close()
            raise
        except OSError:  # a file system without locks
            return file, False
        file.close()  # it was removed before it was locked
    raise BlockingIOError


def _is_at(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _lock(file: BinaryIO, shared: bool) -> None:
    """Lock a file.

    Windows locks ranges of bytes, which need not exist, for one process each. Whoever shares the
    lock takes one byte; who does not takes all of them.

    Raises:
        BlockingIOError: if another process has locked it.
        OSError: if the file system has no locks.
    """
    if fcntl is not None:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    elif msvcrt is not None:
        for first in range(SHARERS) if shared else (0,):
            file.seek(_BEYOND + first)  # what is locked there can still be read
            with contextlib.suppress(OSError):
                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1 if shared else SHARERS)
                return
        raise BlockingIOError


def _lock_alone(file: BinaryIO) -> bool:
    """Whether nobody else shares a lock; then nobody can from now on."""
    try:
        _lock(file, shared=False)
    except OSError:
        return False
    return True


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):  # in the way of nobody
        path.unlink()
