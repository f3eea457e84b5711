"""The journal of a run: which recordings are done, whatever ended the run.

``journal.jsonl`` gets a line for every recording, as it is done, after its outputs are written::

    {"file": ..., "input": [size, mtime_ns], "outputs": {"ctm": [size, crc32]}, "record": {...},
     "path": ...}

``record`` is the recording's line of ``transcripts.jsonl``. Of two lines for one recording the
later one counts. A torn line, left by a killed process or a machine without power, does not count:
its recording is done again. So is a recording whose outputs differ from what its line says. (To
wait for the disk before each line would take longer than to transcribe a short recording.)
"""

from __future__ import annotations

import json
import os
import time
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from speechattn.errors import LASTING
from speechattn.files import atomic_path, write_all
from speechattn.transcription.inputs import Recording, input_state
from speechattn.transcription.locks import held

FLUSH_SECONDS = 5.0  # of work that a power failure may undo


@dataclass(frozen=True)
class JournalEntry:
    """A line of the journal, without its record.

    Attributes:
        path: the journal.
        offset: where the line begins in it, bytes.
        input: size in bytes and time of the last change in nanoseconds of the recording when it was
            read; None if they could not be read.
        outputs: size in bytes and checksum of each output file, by kind; None if it failed.
        kind: kind of its failure; None if it succeeded.
        key: what else its outputs depend on; see
            :class:`~speechattn.transcription.inputs.Recording`.
        recording: its path on this machine; ``""`` if it was elsewhere.
    """

    path: Path
    offset: int
    input: tuple[int, int] | None
    outputs: dict[str, tuple[int, int]] | None
    kind: str | None
    key: str = ""
    recording: str = ""


class Journal:
    """A journal that a run adds to, as others may at the same time; a context manager.

    Args:
        path: of the file, made if it is missing.

    Attributes:
        entries: entry of each recording that was added here, by its file.

    Raises:
        OSError: if the file cannot be made, read or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: dict[str, JournalEntry] = {}
        self._file = path.open("a+b", buffering=0)  # closed by __exit__
        self._end = self._file.seek(0, os.SEEK_END)
        self._is_whole = False  # whether a line ends there
        self._others_wrote = False
        self._flushed = time.monotonic()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, line: dict[str, Any]) -> JournalEntry:
        """Write a line, of the form above, for a recording whose outputs have been written."""
        data = json.dumps(line, allow_nan=False).encode("ascii") + b"\n"
        try:
            with held(self._file):
                begin = self._begin()
                try:
                    write_all(self._file, data)
                except OSError:  # a full disk: the lines of other runs follow
                    self._file.truncate(begin)
                    raise
        except OSError as error:
            error.filename = str(self.path)
            raise
        entry = self.entries[line["file"]] = _journal_entry(self.path, begin, line)
        self._end, self._is_whole = begin + len(data), True
        if time.monotonic() - self._flushed > FLUSH_SECONDS:
            self.flush()
        return entry

    def _begin(self) -> int:
        """Return where a line begins; one that somebody was killed over gets an end."""
        end = self._file.seek(0, os.SEEK_END)
        self._others_wrote |= end != self._end
        if end and not (self._is_whole and end == self._end):
            self._file.seek(end - 1)
            if self._file.read(1) != b"\n":
                end += write_all(self._file, b"\n")
        return end

    @property
    def others_wrote(self) -> bool:
        """Whether others have added lines since it was opened."""
        return self._others_wrote or self.path.stat().st_size != self._end

    def flush(self) -> None:
        """Wait until it is on the disk."""
        os.fsync(self._file.fileno())
        self._flushed = time.monotonic()


def read_journal(path: Path) -> tuple[dict[str, JournalEntry], int]:
    """Read a journal; one that is missing is empty.

    Returns:
        The entry of each recording, by its file, and where the last whole line ends, in bytes.
    """
    entries: dict[str, JournalEntry] = {}
    end = offset = 0
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return entries, end
    with file:
        for data in file:
            line = _whole_line(data)
            if line is not None:
                entries[line["file"]] = _journal_entry(path, offset, line)
                end = offset + len(data)
            offset += len(data)
    return entries, end


def _whole_line(data: bytes) -> dict[str, Any] | None:
    """Parse a line of the journal; None if it is torn or damaged."""
    try:
        line = json.loads(data) if data.endswith(b"\n") else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(line, dict) or not line.keys() >= _KEYS:
        return None
    state, outputs, record = line["input"], line["outputs"], line["record"]
    valid = (
        isinstance(line["file"], str)
        and (state is None or _is_pair(state))
        and (
            outputs is None or (isinstance(outputs, dict) and all(map(_is_pair, outputs.values())))
        )
        and isinstance(record, dict)
        and all(isinstance(record.get(key, ...), kind) for key, kind in _RECORD.items())
        and isinstance(record.get("phones", record.get("channels")), list)
        and (record["status"] == "ok") == (outputs is not None) == (record["duration"] is not None)
    )
    return line if valid else None


def _is_pair(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2


_KEYS = {"file", "input", "outputs", "record"}
_RECORD: dict[str, type | tuple[type, ...]] = {  # keys of a record and the types of their values
    "file": str,
    "status": str,
    "duration": (float, int, type(None)),
    "error": (str, type(None)),
    "kind": (str, type(None)),
    "warnings": list,
}


def _journal_entry(path: Path, offset: int, line: dict[str, Any]) -> JournalEntry:
    state, outputs = line["input"], line["outputs"]
    if outputs is not None:
        outputs = {kind: tuple(value) for kind, value in outputs.items()}
    kind, key, recording = line["record"]["kind"], line.get("key", ""), line.get("path", "")
    return JournalEntry(path, offset, state and tuple(state), outputs, kind, key, recording)


def keep_entries(path: Path, entries: Iterable[JournalEntry]) -> None:
    """Make a journal of the lines of these entries alone, in one step.

    Args:
        path: of the journal; it may be one of those that the entries are of.
        entries: whose lines are copied.

    Raises:
        OSError: if a file cannot be read or written.
    """
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        for line in _lines(entries):
            file.write(line)


def read_records(entries: Iterable[JournalEntry]) -> Iterator[dict[str, Any]]:
    """Yield the lines of ``transcripts.jsonl`` of entries."""
    return (json.loads(line)["record"] for line in _lines(entries))


def _lines(entries: Iterable[JournalEntry]) -> Iterator[bytes]:
    """Yield the lines of the journals that entries are of."""
    files: dict[Path, BinaryIO] = {}
    try:
        for entry in entries:
            if entry.path not in files:
                files[entry.path] = entry.path.open("rb")
            files[entry.path].seek(entry.offset)
            yield files[entry.path].readline()
    finally:
        for file in files.values():
            file.close()


def is_done(recording: Recording, entry: JournalEntry | None) -> bool:
    """Whether a recording need not be transcribed again.

    This is so if it has been transcribed, has not been changed since, and its outputs are as they
    were written; or if it failed for a reason that lies in the recording.
    """
    if entry is None or entry.input is None or entry.input != input_state(recording.path):
        return False
    if entry.key != recording.key:
        return False
    if entry.outputs is None:
        return entry.kind in LASTING
    if entry.outputs.keys() != recording.outputs.keys():
        return False
    try:
        return all(_has_state(recording.outputs[kind], s) for kind, s in entry.outputs.items())
    except OSError:
        return False


def _has_state(path: Path, state: tuple[int, int]) -> bool:
    return path.stat().st_size == state[0] and output_state(path) == state


def output_state(path: Path) -> tuple[int, int]:
    """Return the size in bytes and the CRC-32 of a file.

    Raises:
        OSError: if it cannot be read.
    """
    size = crc = 0
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            size, crc = size + len(piece), zlib.crc32(piece, crc)
    return size, crc
