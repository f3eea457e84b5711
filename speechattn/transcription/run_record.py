"""What a run keeps in its output folder about itself: names, the lock, and ``run.json``.

``run.json`` says what the outputs were made with, so that they can be made again, and that a
resumed run does not mix what does not belong together. What came of the run is added at its end.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from speechattn.errors import SpeechattnError, UsageError
from speechattn.files import atomic_write_text, temporary_path
from speechattn.text import one_line
from speechattn.transcription.shards import Shard

try:
    import fcntl
except ImportError:  # on Windows there is no lock
    fcntl = None

LOCK = ".lock"
_ANEW = "run without --resume to start anew, or choose another output folder"
# Of run.json: what must be the same for a run to go on.
_FIXED = ("speechattn", "model", "device", "precision", "settings")


@dataclass(frozen=True)
class RunFiles:
    """The run's own files in an output folder; a shard has others than the whole."""

    folder: Path
    shard: Shard | None = None

    def _path(self, name: str, suffix: str) -> Path:
        return self.folder / f"{name}{self.shard.suffix if self.shard else ''}{suffix}"

    @property
    def _lock(self) -> Path:
        return self.folder / f"{LOCK}{self.shard.suffix if self.shard else ''}"

    @property
    def run(self) -> Path:
        """What the run is."""
        return self._path("run", ".json")

    @property
    def journal(self) -> Path:
        """What it has done."""
        return self._path("journal", ".jsonl")

    @property
    def transcripts(self) -> Path:
        """All recordings in input order, once the run has come to its end."""
        return self._path("transcripts", ".jsonl")

    def shards(self) -> list[RunFiles]:
        """Those of the shards that have worked in this folder, in order."""
        found = []
        for path in self.folder.glob("journal-*-of-*.jsonl"):
            with contextlib.suppress(ValueError):
                _, index, _, count = path.stem.split("-")
                found.append(RunFiles(self.folder, Shard(int(index), int(count))))
        return sorted(found, key=lambda files: (files.shard.count, files.shard.index))

    def remove(self) -> None:
        """Remove them, and for the whole those of all shards, as a run does that starts anew."""
        for files in (self, *([] if self.shard else self.shards())):
            for path in (files.transcripts, files.run, files.journal):
                path.unlink(missing_ok=True)
            if files.shard and not self.shard:  # nobody holds it: this run has the folder
                files._lock.unlink(missing_ok=True)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Make the folder, and keep other runs out of it: shards only let shards in.

        A process that ends, in whatever way, leaves no lock.

        Raises:
            UsageError: if another run is at work in the folder.
            OSError: if the folder cannot be made or written.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as held:
            held.enter_context(_lock(self.folder / LOCK, shared=self.shard is not None))
            if self.shard:
                held.enter_context(_lock(self._lock))
            for path in (self.run, self.transcripts):  # what a killed run left of them
                temporary_path(path).unlink(missing_ok=True)
            yield


@contextlib.contextmanager
def _lock(path: Path, *, shared: bool = False) -> Iterator[None]:
    with open(path, "ab") as file:
        if fcntl is not None:
            try:
                fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UsageError(
                    f"{one_line(path.parent)}: another run is at work in this folder; "
                    "wait for its end, or choose another output folder"
                ) from None
            except OSError:  # a file system without locks
                pass
        yield


def write_record(path: Path, record: dict) -> None:
    """Write ``run.json``.

    Raises:
        OSError: if it cannot be written.
    """
    atomic_write_text(path, json.dumps(record, indent=2) + "\n")


def read_record(path: Path) -> dict | None:
    """Read ``run.json``; None if there is none.

    Raises:
        UsageError: if it is damaged.
        OSError: if it cannot be read.
    """
    try:
        record = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict):
        raise UsageError(f"{one_line(path)}: is damaged; {_ANEW}")
    return record


def check_same(path: Path, old: dict, new: dict) -> None:
    """Refuse to go on with a run that was made in another way.

    Args:
        path: of the old record.
        old: what it says.
        new: what the run would say now; keys that it lacks are not compared.

    Raises:
        UsageError: if they differ; names the first key and both values.
    """
    before, now = _flat(old), _flat(new)
    for key in dict.fromkeys((*now, *before)):
        if key.split(".")[0] in new.keys() & set(_FIXED) and before.get(key) != now.get(key):
            if key == "model.name":  # a name for people: the digest tells models apart
                continue
            raise UsageError(
                f"{one_line(path)}: cannot go on with this run: its {key} was "
                f"{json.dumps(before.get(key))} and is now {json.dumps(now.get(key))}; {_ANEW}"
            )


def _flat(record: dict, prefix: str = "") -> dict:
    """Nested dictionaries as one, keys joined by dots."""
    flat = {}
    for key, value in record.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def sync_disks() -> None:
    """Bring everything to the disk that has been written, where the system can."""
    if hasattr(os, "sync"):
        os.sync()


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk, where the system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def cannot_keep(path: Path, error: OSError) -> SpeechattnError:
    """The run's own files cannot be written: the run cannot go on."""
    from speechattn.transcription.outputs import cannot_write

    return SpeechattnError(cannot_write(path, error))
