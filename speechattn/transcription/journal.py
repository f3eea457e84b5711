"""The journal of a run: which recordings are done, whatever ended the run.

``journal.jsonl`` gets a line for every recording, as it is done, after its outputs are written::

    {"file": ..., "input": [size, mtime_ns], "outputs": {"ctm": [size, crc32]}, "record": {...}}

``record`` is the recording's line of ``transcripts.jsonl``. Of two lines for one recording the
later one counts. A torn line, written while a machine lost power, does not count: its recording is
done again. So is a recording whose outputs differ from what its line says. (To wait for the disk
before each line would take longer than to transcribe a short recording.)
"""

from __future__ import annotations

import contextlib
import json
import os
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from speechattn.errors import CRASH, LASTING, WAYS_OUT, SpeechattnError
from speechattn.files import atomic_path, temporary_path
from speechattn.inference.transcription import by_channel
from speechattn.text import one_line
from speechattn.transcription.formats.tables import phone_records, word_records
from speechattn.transcription.inputs import Recording, input_state
from speechattn.transcription.remote import Remote
from speechattn.transcription.workers.worker import WorkerDied

if TYPE_CHECKING:
    from speechattn.inference.transcription import Transcription

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
    """

    path: Path
    offset: int
    input: tuple[int, int] | None
    outputs: dict[str, tuple[int, int]] | None
    kind: str | None
    key: str = ""


class Journal:
    """A journal that a run adds to; a context manager.

    Args:
        path: of the file, made if it is missing. A torn line at its end is cut off.

    Attributes:
        entries: entry of each recording, by its file, those added included.

    Raises:
        OSError: if the file cannot be made, read or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries, end = read_journal(path)
        self._file: BinaryIO = path.open("ab")  # closed by __exit__
        self._file.truncate(end)
        self._end = end
        self._flushed = time.monotonic()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, line: dict[str, Any]) -> JournalEntry:
        """Write a line, of the form above, for a recording whose outputs have been written."""
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
    kind, key = line["record"]["kind"], line.get("key", "")
    return JournalEntry(path, offset, state and tuple(state), outputs, kind, key)


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


def success_record(
    recording: Recording, found: Transcription | Sequence[Transcription]
) -> dict[str, Any]:
    """Return the line of ``transcripts.jsonl`` of a recording that was transcribed.

    Args:
        recording: that was transcribed.
        found: its transcription, or that of each channel; then ``channels`` stands instead of
            ``phones``.
    """
    channels = found if isinstance(found, Sequence) else [found]
    first = channels[0]
    record: dict[str, Any] = {
        "file": recording.file,
        "duration": float(first.duration),
        "sample_rate": int(first.sample_rate),
        "status": "ok",
        "error": None,
        "kind": None,
        "warnings": by_channel([one.warnings for one in channels]),
    }
    if isinstance(found, Sequence):
        parts = [{"channel": one.channel, **_contents(one)} for one in found]
        return {**record, "channels": parts}
    return {**record, **_contents(found)}


def _contents(found: Transcription) -> dict[str, Any]:
    """The words, where there are some to be given, and the phones of one channel.

    Of several speakers, those of each are in the list ``speakers``.
    """
    words = {} if found.words is None else {"words": word_records(found)}
    assumed = {"assumed": dict(found.assumed)} if found.assumed else {}
    if found.speakers:
        speakers = [{"speaker": one.speaker, **_contents(one)} for one in found.speakers]
        return {**assumed, **found.more, "speakers": speakers}
    return {**assumed, **found.more, **words, "phones": phone_records(found)}


def failure_line(
    recording: Recording, message: str, kind: str, state: tuple[int, int] | None
) -> dict[str, Any]:
    """Return the journal's line of a recording that failed, and remove any outputs of it.

    Args:
        recording: that failed.
        message: why, one line.
        kind: kind of failure, one of :mod:`speechattn.errors`.
        state: from :func:`~speechattn.transcription.inputs.input_state`.
    """
    record: dict[str, Any] = {
        "file": recording.file,
        "duration": None,
        "sample_rate": None,
        "status": "error",
        "error": message + _remove_outputs(recording),
        "kind": kind,
        "warnings": [],
        "phones": [],
    }
    return journal_line(recording, state, None, record)


def journal_line(
    recording: Recording,
    state: tuple[int, int] | None,
    outputs: dict[str, tuple[int, int]] | None,
    record: dict[str, Any],
) -> dict[str, Any]:
    """Return the journal's line of a recording.

    Args:
        recording: that is done.
        state: from :func:`~speechattn.transcription.inputs.input_state`.
        outputs: from :func:`output_state`, by kind; None if it failed.
        record: its line of ``transcripts.jsonl``.
    """
    line = {"file": recording.file, "input": state, "outputs": outputs, "record": record}
    return {**line, "key": recording.key} if recording.key else line


def death_line(recording: Recording, died: WorkerDied) -> dict[str, Any]:
    """Return the journal's line of a recording whose process died."""
    discard_temporaries(recording)
    message, state = death_message(recording.path, died), input_state(recording.path)
    return failure_line(recording, message, CRASH, state)


def death_message(path: Path | Remote, died: WorkerDied) -> str:
    """Return one line that says which recording's process died, and how."""
    name = one_line(str(path))
    return f"{name}: {died.reason}; free memory, use fewer workers or convert the recording"


def discard_temporaries(recording: Recording) -> None:
    """Remove temporary files of a killed process; no other process may be writing the outputs."""
    for path in recording.outputs.values():
        with contextlib.suppress(OSError):
            temporary_path(path).unlink()


def _remove_outputs(recording: Recording) -> str:
    """Remove what an earlier run, or this one, wrote for a recording that failed.

    Returns:
        Addition to the error message: nothing, or which file could not be removed.
    """
    for path in recording.outputs.values():
        try:
            if path.is_symlink() or path.is_file():
                path.unlink()
        except OSError as error:
            return f"; {one_line(str(path))} is of an earlier run and stays ({error.strerror})"
    return ""


def error_message(path: Path | Remote, error: Exception) -> str:
    """Return one line that says which recording failed and why."""
    if isinstance(error, SpeechattnError):
        message = str(error)
    elif isinstance(error, OSError) and error.strerror:
        way_out = WAYS_OUT.get(error.errno or 0, "check the file")
        message = f"{error.filename or path}: {error.strerror}; {way_out}"
    elif isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        # OutOfMemoryError is PyTorch's, for a GPU.
        message = "not enough memory; split the recording, close other programs or use the CPU"
    else:
        message = f"{type(error).__name__}: {error}"
    message, name = one_line(message), one_line(str(path))
    return message if name in message else f"{name}: {message}"
