"""The work folder of a training, which one process writes at a time.

Its lock file names the process that is at work. The lock ends with the process, however that ends.
"""

from __future__ import annotations

import contextlib
import errno
import os
import platform
from collections.abc import Iterator
from pathlib import Path

from speechattn.errors import WAYS_OUT, SpeechattnError, UsageError, cannot_write
from speechattn.text import one_line
from speechattn.transcription.locks import locked

LOCK = ".lock"  # in the folder
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # an error of writing has no name with it
_held: set[Path] = set()  # folders that this process is at work in


@contextlib.contextmanager
def at_work(folder: Path) -> Iterator[None]:
    """Make the folder and have it for this process alone; it may be held already.

    Raises:
        UsageError: if another process is at work in it, or it cannot be made or written.
        SpeechattnError: if what is done in it fails because the disk is full or read-only.
    """
    own = folder.resolve()
    if own in _held:
        yield
        return
    with contextlib.ExitStack() as stack:
        path = folder / LOCK
        try:
            folder.mkdir(parents=True, exist_ok=True)
            file = stack.enter_context(locked(path))
            file.truncate(0)  # of a process that was killed
            # Not through the buffer, which a full disk would let fail once more when it is closed.
            os.write(file.fileno(), f"process {os.getpid()} on {platform.node()}\n".encode())
        except BlockingIOError:
            raise UsageError(
                f"{one_line(folder)}: another training is at work in this folder "
                f"({_holder(path)}); wait for its end, or give this one another work_dir"
            ) from None
        except OSError as error:
            reason = error.strerror or str(error)
            way_out = WAYS_OUT.get(error.errno or 0, "give another work_dir")
            raise UsageError(f"{folder}: cannot be written ({reason}); {way_out}") from None
        _held.add(own)
        stack.callback(_held.discard, own)
        try:
            yield
        except OSError as error:
            if error.errno not in _FULL:
                raise
            raise SpeechattnError(cannot_write(Path(error.filename or folder), error)) from error


def _holder(path: Path) -> str:
    """Who holds a lock, as it has written there."""
    with contextlib.suppress(OSError):
        if said := path.read_text(encoding="utf-8", errors="replace").strip():
            return one_line(said)
    return "which has just begun"
