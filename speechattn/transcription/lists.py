"""Inputs that are not named one by one: ``@FILE``, a list of them, and ``-``, standard input."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from speechattn.audio.containers.base import ENDLESS
from speechattn.errors import UNREADABLE, AudioError, SpeechattnError, UsageError, cannot_write
from speechattn.text import one_line
from speechattn.transcription.inputs import Input
from speechattn.transcription.remote import Remote

STANDARD_INPUT = "-"
_NAME = "stdin"  # of the recording and its outputs
_RAW_WAY_OUT = (
    "raw samples go to `speechattn stream --encoding s16le`, with --sample-rate and --channels"
)
_DIGEST = re.compile(r" \(sha256 [0-9a-f]{16}\)$")  # of what a list holds, after its name


@dataclass(frozen=True)
class PipedRecording(Remote):
    """A recording that came through standard input, copied to a file of this machine.

    What writes a WAV into a pipe cannot know how long it will be: nothing to be warned of.
    """

    unsaid = re.compile(rf"{re.escape(ENDLESS)}|says 0 bytes of samples, \d+ follow; all are read")

    def state(self) -> tuple[int, int]:
        """See :meth:`Remote.state`."""
        status = os.stat(self.path)  # noqa: PTH116 - the path of a Remote is text
        return status.st_size, status.st_mtime_ns

    @contextlib.contextmanager
    def copied(self) -> Iterator[Path]:
        """Give the copy that there is.

        Raises:
            AudioError: for one of the block; of what may be raw samples, with what to do.
        """
        try:
            yield Path(self.path)
        except AudioError as error:
            if error.kind != UNREADABLE or "no sound file" not in str(error):
                raise
            raise AudioError(f"{error}; {_RAW_WAY_OUT}", error.kind) from None


def expanded(
    inputs: Sequence[str], stack: contextlib.ExitStack, standard_input: Callable[[], BinaryIO]
) -> list[Input]:
    """Return inputs with the recording of ``-`` and the contents of ``@FILE`` in their places.

    A list has an input on each line, or ends each with a NUL as ``find -print0`` does. Paths in it
    begin at the current folder. ``@-`` is a list on standard input. A file whose own name begins
    with ``@`` is taken as it is.

    Args:
        inputs: as they were given.
        stack: removes the copy of standard input when it is closed.
        standard_input: returns it.

    Raises:
        UsageError: if a list cannot be read or is empty, or standard input is asked for twice.
        SpeechattnError: if the copy cannot be written.
    """
    if sum(item in (STANDARD_INPUT, "@-") for item in inputs) > 1:
        raise UsageError("standard input: given twice; it can be read only once")
    found: list[Input] = []
    for item in inputs:
        if item == STANDARD_INPUT:
            found.append(_piped(standard_input(), stack))
        elif _is_list(item):
            found += _listed(item, standard_input)
        else:
            found.append(item)
    return found


def described(given: Sequence[str], found: Sequence[Input]) -> list[str]:
    """Return inputs as ``run.json`` names them: those of lists with a digest of what they hold.

    Args:
        given: as they were given.
        found: from :func:`expanded`.
    """
    digest = hashlib.sha256("\0".join(map(str, found)).encode(errors="surrogateescape"))
    return [
        f"{item} (sha256 {digest.hexdigest()[:16]})" if _is_list(item) else item for item in given
    ]


def list_file(described: str) -> Path | None:
    """Return the file of a list by its name in ``run.json``, as :func:`described` gives it.

    None if it is no list, or came through standard input.
    """
    name = _DIGEST.sub("", described)
    return Path(name[1:]) if name.startswith("@") and name != "@-" else None


def items_of(data: bytes) -> list[str]:
    """Return the inputs that the bytes of a list name, one a line or each ended by a NUL."""
    lines = data.split(b"\0") if b"\0" in data else data.splitlines()
    return [os.fsdecode(line) for line in lines if line.strip()]


def _is_list(item: str) -> bool:
    return item.startswith("@") and not os.path.lexists(item)


def _listed(item: str, standard_input: Callable[[], BinaryIO]) -> list[str]:
    """Return the inputs that a list names."""
    name = item[1:]
    try:
        data = standard_input().read() if name == "-" else Path(name).read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(
            one_line(f"{item}: a list of inputs that cannot be read ({reason}); check its name")
        ) from None
    found = items_of(data)
    if not found:
        raise UsageError(one_line(f"{item}: an empty list; give the path of an input on each line"))
    return found


def _piped(source: BinaryIO, stack: contextlib.ExitStack) -> PipedRecording:
    """Copy a recording from standard input to a temporary file."""
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="speechattn-"))
    copy = Path(folder, _NAME)
    try:
        with copy.open("wb") as file:
            shutil.copyfileobj(source, file, 1 << 20)
    except OSError as error:
        raise SpeechattnError(cannot_write(copy, error)) from error
    return PipedRecording("", str(copy), "standard input", copy.stat().st_size)
