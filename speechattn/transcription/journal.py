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
from typing import TYPE_CHECKING, BinaryIO

from speechattn.errors import CRASH, LASTING, WAYS_OUT, SpeechattnError
from speechattn.files import temporary_path
from speechattn.text import one_line
from speechattn.transcription.formats.tables import phone_records
from speechattn.transcription.inputs import Recording, input_state
from speechattn.transcription.remote import Remote
from speechattn.transcription.workers.worker import WorkerDied

if TYPE_CHECKING:
    from speechattn.inference.recognizer import Transcription


FLUSH_SECONDS = 5.0  # of work that a power failure may undo


@dataclass(frozen=True)
class JournalEntry:
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

    def add(self, line: dict) -> JournalEntry:
        """Write a line, of the form above, of a recording whose outputs are there."""
        data = json.dumps(line, allow_nan=False).encode("ascii") + b"\n"
        try:
            self._file.write(data)
            self._file.flush()  # so that a killed program leaves it
        except OSError as error:
            error.filename = str(self.path)
            raise
        entry = self.entries[line["file"]] = _journal_entry(self.path, self._end, line)
        self._end += len(data)
        if time.monotonic() - self._flushed > FLUSH_SECONDS:
            self.flush()
        return entry

    def flush(self) -> None:
        """Bring it to the disk."""
        os.fsync(self._file.fileno())
        self._flushed = time.monotonic()


def read_journal(path: Path) -> tuple[dict[str, JournalEntry], int]:
    """What a journal has on each recording, and where its last whole line ends, bytes.

    A journal that is not there is empty.
    """
    entries: dict[str, JournalEntry] = {}
    end = offset = 0
    try:
        file = open(path, "rb")  # noqa: SIM115 - the next line is its block
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


def _journal_entry(path: Path, offset: int, line: dict) -> JournalEntry:
    state, outputs = line["input"], line["outputs"]
    if outputs is not None:
        outputs = {kind: tuple(value) for kind, value in outputs.items()}
    return JournalEntry(path, offset, state and tuple(state), outputs, line["record"]["kind"])


def read_records(entries: Iterable[JournalEntry]) -> Iterator[dict]:
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


def is_done(job: Recording, entry: JournalEntry | None) -> bool:
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


def _record_of(job: Recording, transcription: Transcription, warnings: list[str]) -> dict:
    return {
        "file": job.file,
        "duration": float(transcription.duration),
        "sample_rate": int(transcription.sample_rate),
        "status": "ok",
        "error": None,
        "kind": None,
        "warnings": warnings,
        "phones": phone_records(transcription),
    }


def failure_line(job: Recording, message: str, kind: str, state: tuple[int, int] | None) -> dict:
    """The journal's line of a recording that failed; what there was of its outputs is removed."""
    record = {
        "file": job.file,
        "duration": None,
        "sample_rate": None,
        "status": "error",
        "error": message + _remove_outputs(job),
        "kind": kind,
        "warnings": [],
        "phones": [],
    }
    return {"file": job.file, "input": state, "outputs": None, "record": record}


def death_line(job: Recording, died: WorkerDied) -> dict:
    """The journal's line of a recording whose process died."""
    discard_temporaries(job)
    return failure_line(job, death_message(job.path, died), CRASH, input_state(job.path))


def death_message(path: Path | Remote, died: WorkerDied) -> str:
    """One line that says which recording's process died, and how."""
    return f"{one_line(str(path))}: {died.reason}; free memory, use fewer workers or convert the recording"


def discard_temporaries(job: Recording) -> None:
    """Remove what a killed process left of the outputs; nobody else may be writing them."""
    for path in job.outputs.values():
        try:
            temporary_path(path).unlink()
        except OSError:
            pass


def _remove_outputs(job: Recording) -> str:
    """Remove what an earlier run, or this one, wrote for a job that failed.

    Returns:
        What to add to the error message: nothing, or which file could not be removed.
    """
    for path in job.outputs.values():
        try:
            if path.is_symlink() or path.is_file():
                path.unlink()
        except OSError as error:
            return f"; {one_line(str(path))} is of an earlier run and stays ({error.strerror})"
    return ""


def error_message(path: Path | Remote, error: Exception) -> str:
    """One line that says which recording failed and why."""
    if isinstance(error, SpeechattnError):
        message = str(error)
    elif isinstance(error, OSError) and error.strerror:
        way_out = WAYS_OUT.get(error.errno, "check the file")
        message = f"{error.filename or path}: {error.strerror}; {way_out}"
    elif isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        # The second is PyTorch's, for a GPU.
        message = "not enough memory; split the recording, close other programs or use the CPU"
    else:
        message = f"{type(error).__name__}: {error}"
    message, name = one_line(message), one_line(str(path))
    return message if name in message else f"{name}: {message}"
