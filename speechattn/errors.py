"""Error classes whose messages a user can act on, and the kinds of failure they stand for.

A message names the file, the value and the way out. The kind, a few words, is what a run over many
recordings counts and writes to its journal.
"""

from __future__ import annotations

import errno
import struct
from pathlib import Path

from speechattn.text import one_line

# Kinds of failure.
MISSING = "missing"  # there is no such file, or no longer
NO_ACCESS = "no access"  # not to be opened: permissions, a broken disk
CHANGED = "changed"  # while it was read
UNREADABLE = "unreadable"  # of a format that nothing here reads, or no regular file
EMPTY = "empty"  # no bytes, or no samples
TRUNCATED = "truncated"  # cut off, or never finished
DAMAGED = "damaged"  # what it holds contradicts itself or cannot be decoded
NOT_FINITE = "not finite"  # a sample is NaN, infinite or beyond any level
TOO_SHORT = "too short"  # not one frame long
UNSUITABLE = "unsuitable"  # no such channel, an impossible sample rate
CANNOT_WRITE = "cannot write"  # an output: disk full, permissions
OUT_OF_MEMORY = "out of memory"
CRASH = "crash"  # the process that transcribed it died
INTERNAL = "internal"  # a mistake in this program

# Kinds whose cause lies in the recording: it is not tried again until it has been changed.
LASTING = frozenset((UNREADABLE, EMPTY, TRUNCATED, DAMAGED, NOT_FINITE, TOO_SHORT, UNSUITABLE))

# What to do about an OSError, by its number.
WAYS_OUT = {
    errno.ENOSPC: "free some disk space and run again",
    errno.EACCES: "check the permissions",
    errno.EPERM: "check the permissions",
    errno.ENAMETOOLONG: "give the recording a shorter name",
}


class SpeechattnError(Exception):
    """What the user gave cannot be used; the message says what, where and what to do.

    Args:
        message: becomes one line; control characters in it are shown as escapes.
    """

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


class AudioError(SpeechattnError):
    """A recording cannot be read, or what it holds cannot be trusted.

    Attributes:
        kind: of failure, one of the constants of :mod:`speechattn.errors`.
    """

    def __init__(self, message: str, kind: str = UNREADABLE) -> None:
        super().__init__(message)
        self.kind = kind


class CorpusError(SpeechattnError):
    """A corpus folder is incomplete or contradicts itself."""


class ConfigError(SpeechattnError):
    """A recipe or model configuration has an unknown key or an impossible value."""


class ModelError(SpeechattnError):
    """A model folder is missing, incomplete or was written for something else."""


class UsageError(SpeechattnError):
    """A command was called with arguments that cannot go together."""


class InternalError(Exception):
    """A mistake in this program that came up at a recording, which the message names.

    It is no :class:`SpeechattnError`: it ends the command with the traceback of its cause.
    """


# What one recording may bring about and the next one not: the others get their turn. RuntimeError
# is PyTorch's and libsndfile's; the others are of values nobody thought of, in a damaged file.
RECORDING_ERRORS = (
    *(SpeechattnError, OSError, MemoryError, RuntimeError),
    *(ValueError, ArithmeticError, LookupError, EOFError, struct.error),
)


def kind_of(error: BaseException) -> str:
    """Return the kind of failure that an exception stands for."""
    kind = getattr(error, "kind", None)
    if kind is not None:
        return kind
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return OUT_OF_MEMORY  # the second is PyTorch's, for a GPU
    if isinstance(error, SpeechattnError) and isinstance(error.__cause__, OSError):
        return CANNOT_WRITE
    if isinstance(error, OSError):
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return MISSING
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            return CANNOT_WRITE
        return NO_ACCESS
    return UNREADABLE if isinstance(error, SpeechattnError) else INTERNAL


def cannot_write(path: Path, error: OSError) -> str:
    """Return one line that says which file cannot be written, why, and what to do."""
    way_out = WAYS_OUT.get(error.errno or 0, "check the output folder")
    return one_line(f"{path}: cannot be written ({error.strerror}); {way_out}")
