"""The journal of a run: which recordings are done, known again after whatever ended the run.

``journal.jsonl`` has a line for every recording that has been done, in the order in which they
were, added after its outputs are written::

    {"file": ..., "input": [size, mtime_ns], "outputs": {"ctm": [size, crc32]}, "record": {...}}

``record`` is the recording's line of ``transcripts.jsonl``. Of two lines for one recording the
later one counts. A line that is torn, because a machine lost power while it was written, is no
line: its recording is done again. So is one whose outputs are not as the line says: to bring each
to the disk before its line would take longer than to transcribe a short recording.
"""

from __future__ import annotations

import json
import os
import time
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from speechattn.failures import LASTING
from speechattn.transcription.inputs import Job
from speechattn.transcription.remote import Remote

FLUSH_SECONDS = 5.0  # of work that a power failure may undo


@dataclass(frozen=True)
class Entry:
    """What the journal has on a recording, and where.

    Attributes:
        path: the journal.
        offset: of the line in it, bytes.
        input: size in bytes and time of the last change, nanoseconds, of the recording when it was
            read; None if it could not be looked at.
        outputs: size in bytes and checksum of what was written for it, by kind; None if it failed.
        kind: of its failure, None if it went well.
    """

    path: Path
    offset: int
    input: tuple[int, int] | None
    outputs: dict[str, tuple[int, int]] | None
    kind: str | None


class Journal:
    """A journal that a run adds to; a context manager.

    Args:
        path: of the file, made if it is not there. What a torn line left at its end is cut off.

    Attributes:
        entries: file of a job → what the journal has on it, those added included.

    Raises:
        OSError: if the file cannot be made, read or written.
    """

    def __init__(self, path: Path):
        self.path = path
        self.entries, end = read_journal(path)
        self._file: BinaryIO = open(path, "ab")  # noqa: SIM115 - closed by __exit__
        self._file.truncate(end)
        self._end = end
        self._flushed = time.monotonic()

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, line: dict) -> Entry:
        """Write a line, of the form above, of a recording whose outputs are there."""
        data = json.dumps(line, allow_nan=False).encode("ascii") + b"\n"
        try:
            self._file.write(data)
            self._file.flush()  # so that a killed program leaves it
        except OSError as error:
            error.filename = str(self.path)
            raise
        entry = self.entries[line["file"]] = _entry(self.path, self._end, line)
        self._end += len(data)
        if time.monotonic() - self._flushed > FLUSH_SECONDS:
            self.flush()
        return entry

    def flush(self) -> None:
        """Bring it to the disk."""
        os.fsync(self._file.fileno())
        self._flushed = time.monotonic()


def read_journal(path: Path) -> tuple[dict[str, Entry], int]:
    """What a journal has on each recording, and where its last whole line ends, bytes.

    A journal that is not there is empty.
    """
    entries: dict[str, Entry] = {}
    end = offset = 0
    try:
        file = open(path, "rb")  # noqa: SIM115 - the next line is its block
    except FileNotFoundError:
        return entries, end
    with file:
        for data in file:
            line = _whole_line(data)
            if line is not None:
                entries[line["file"]] = _entry(path, offset, line)
                end = offset + len(data)
            offset += len(data)
    return entries, end


def _whole_line(data: bytes) -> dict | None:
    """A line of the journal; None for what is torn or damaged."""
    try:
        line = json.loads(data) if data.endswith(b"\n") else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(line, dict) or not line.keys() >= _KEYS:
        return None
    state, outputs, record = line["input"], line["outputs"], line["record"]
    right = (
        isinstance(line["file"], str)
        and (state is None or _pair(state))
        and (outputs is None or (isinstance(outputs, dict) and all(map(_pair, outputs.values()))))
        and isinstance(record, dict)
        and all(isinstance(record.get(key, ...), kind) for key, kind in _RECORD.items())
        and (record["status"] == "ok") == (outputs is not None) == (record["duration"] is not None)
    )
    return line if right else None


def _pair(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2


_KEYS = {"file", "input", "outputs", "record"}
_RECORD = {  # keys of a record and what they hold
    "file": str,
    "status": str,
    "duration": (float, int, type(None)),
    "error": (str, type(None)),
    "kind": (str, type(None)),
    "warnings": list,
    "phones": list,
}


def _entry(path: Path, offset: int, line: dict) -> Entry:
    state, outputs = line["input"], line["outputs"]
    if outputs is not None:
        outputs = {kind: tuple(value) for kind, value in outputs.items()}
    return Entry(path, offset, state and tuple(state), outputs, line["record"]["kind"])


def read_records(entries: Iterable[Entry]) -> Iterator[dict]:
    """Yields the lines of ``transcripts.jsonl`` of entries."""
    files: dict[Path, BinaryIO] = {}
    try:
        for entry in entries:
            if entry.path not in files:
                files[entry.path] = open(entry.path, "rb")  # noqa: SIM115 - closed below
            files[entry.path].seek(entry.offset)
            yield json.loads(files[entry.path].readline())["record"]
    finally:
        for file in files.values():
            file.close()


def input_state(path: Path | Remote) -> tuple[int, int] | None:
    """Size and time of the last change of a recording; None if it cannot be looked at.

    For one behind a URL, a number that stands for its state instead of the time.
    """
    if isinstance(path, Remote):
        try:
            return path.state()
        except Exception:  # noqa: BLE001 - every file system has errors of its own
            return None
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def size_of(job: Job) -> int:
    """Bytes of a recording, 0 if it cannot be looked at; behind a URL, when it was listed."""
    if isinstance(job.path, Remote):
        return job.path.size
    return (input_state(job.path) or (0, 0))[0]


def is_done(job: Job, entry: Entry | None) -> bool:
    """Whether a job need not be done again.

    It has been done, its recording has not been changed since, and its outputs are there and
    whole; or it failed for a reason that lies in the recording.
    """
    if entry is None or entry.input is None or entry.input != input_state(job.path):
        return False
    if entry.outputs is None:
        return entry.kind in LASTING
    if entry.outputs.keys() != job.outputs.keys():
        return False
    try:
        return all(_is_as(job.outputs[kind], state) for kind, state in entry.outputs.items())
    except OSError:
        return False


def _is_as(path: Path, state: tuple[int, int]) -> bool:
    return os.stat(path).st_size == state[0] and output_state(path) == state


def output_state(path: Path) -> tuple[int, int]:
    """Size in bytes and CRC-32 of a file.

    Raises:
        OSError: if it cannot be read.
    """
    size = crc = 0
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            size, crc = size + len(piece), zlib.crc32(piece, crc)
    return size, crc
