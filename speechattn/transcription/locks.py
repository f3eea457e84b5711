"""Locks between processes: on files that are there only while they are locked, and on open ones.

A lock ends with its process, however that ends. A file system without locks has none, and nobody
is told.
"""

from __future__ import annotations

import contextlib
import os
import time
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

WAIT_SECONDS = 600.0  # for what others do in moments, or in minutes with very long lists
_POLL_SECONDS = 0.002
_BEYOND = (1 << 31) - 2  # Windows locks a byte, which need not exist; the last that it can
_ATTEMPTS = 100  # to lock a file that its last user has not removed meanwhile


@contextlib.contextmanager
def locked(path: Path, *, wait: float = 0.0) -> Iterator[BinaryIO]:
    """Lock a file for the block, and remove it at the end.

    Args:
        path: of the file, made if it is missing. Its content is left as it is.
        wait: seconds to wait for another process that has locked it.

    Yields:
        The file, open for reading and adding.

    Raises:
        BlockingIOError: if another process has locked it, and still has after that time.
        OSError: if it cannot be made.
    """
    file, works = _open_locked(path, time.monotonic() + wait)
    try:
        yield file
    finally:
        if fcntl is not None and works:
            _remove(path)
        elif works:
            _unlock(file)
        file.close()
        if fcntl is None:  # Windows removes no file that somebody has open
            _remove(path)


@contextlib.contextmanager
def held(file: BinaryIO, *, wait: float = WAIT_SECONDS) -> Iterator[None]:
    """Lock an open file for the block, which is short.

    Args:
        file: to lock; its position may be another one afterwards.
        wait: seconds to wait for another process that has locked it.

    Raises:
        BlockingIOError: if another process still has locked it after that time.
    """
    works = _lock_by(file, time.monotonic() + wait)
    try:
        yield
    finally:
        if works:
            _unlock(file)


def is_locked(path: Path) -> bool:
    """Whether another process has locked a file; one that is not there is not locked."""
    try:
        with path.open("r+b") as file, held(file, wait=0.0):
            return False
    except BlockingIOError:
        return True
    except OSError:
        return False


def _open_locked(path: Path, until: float) -> tuple[BinaryIO, bool]:
    """Return the locked file, and whether locks work there."""
    for _ in range(_ATTEMPTS):
        file = path.open("a+b")
        try:
            works = _lock_by(file, until)
            if not works or _is_at(file, path):
                return file, works
        except BaseException:
            file.close()
            raise
        file.close()  # it was removed before it was locked
    raise BlockingIOError


def _is_at(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _lock_by(file: BinaryIO, until: float) -> bool:
    """Lock a file, at the latest at a moment of :func:`time.monotonic`.

    Returns:
        Whether the file system has locks.

    Raises:
        BlockingIOError: if another process still has locked it then.
    """
    while True:
        try:
            _lock(file)
        except BlockingIOError:
            if time.monotonic() >= until:
                raise
            time.sleep(_POLL_SECONDS)
        except OSError:
            return False
        else:
            return True


def _lock(file: BinaryIO) -> None:
    """Lock a file.

    Raises:
        BlockingIOError: if another process has locked it.
        OSError: if the file system has no locks.
    """
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    elif msvcrt is not None:
        file.seek(_BEYOND)  # not at the beginning: what is locked can be read by nobody else
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError as error:
            raise BlockingIOError from error


def _unlock(file: BinaryIO) -> None:
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_UN)
    elif msvcrt is not None:
        file.seek(_BEYOND)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):  # in the way of nobody
        path.unlink()
