"""What a run keeps in its output folder about itself: names, the lock, and ``run.json``.

``run.json`` says what the outputs were made with, so that they can be made again, and that a
resumed run does not mix what does not belong together. What came of the run is added at its end.

The account of a run: how much went well, what failed and why, what looked odd.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from speechattn.errors import UsageError
from speechattn.files import atomic_write_text, temporary_path
from speechattn.text import one_line
from speechattn.transcription.inputs import Shard

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


@dataclass
class Summary:
    """What came of a run.

    Attributes:
        succeeded: number of recordings transcribed.
        failures: (file, kind of failure, message) of the others, in input order.
        warnings: number of recordings with each kind of warning.
        warned: number of recordings with any.
        audio_seconds: length of what was transcribed.
        kept: number of recordings, of both sorts, that an earlier run had done.
        new_audio_seconds: length of what was transcribed, without what was kept.
        wall_seconds: time it took, without loading the model.
        complete: whether every recording was dealt with.
    """

    succeeded: int = 0
    failures: list[tuple[str, str, str]] = field(default_factory=list)
    warnings: Counter[str] = field(default_factory=Counter)
    warned: int = 0
    audio_seconds: float = 0.0
    kept: int = 0
    new_audio_seconds: float = 0.0
    wall_seconds: float = 0.0
    complete: bool = True

    @property
    def errors(self) -> list[str]:
        """One message a failed recording, in input order."""
        return [message for _, _, message in self.failures]

    @property
    def real_time_factor(self) -> float:
        """Seconds of audio a second of work, of what was not kept."""
        return self.new_audio_seconds / self.wall_seconds if self.wall_seconds > 0 else 0.0

    def add(self, record: dict, *, kept: bool = False) -> None:
        """Count a recording by its line of ``transcripts.jsonl``."""
        self.kept += kept
        if record["status"] != "ok":
            self.failures.append((record["file"], record["kind"], record["error"]))
            return
        self.succeeded += 1
        self.audio_seconds += record["duration"]
        if not kept:
            self.new_audio_seconds += record["duration"]
        self.warned += bool(record["warnings"])
        self.warnings.update({warning.partition(":")[0] for warning in record["warnings"]})

    def to_dict(self) -> dict:
        """As JSON values."""
        return {
            "complete": self.complete,
            "files": self.succeeded + len(self.failures),
            "succeeded": self.succeeded,
            "failed": len(self.failures),
            "failures": dict(self._kinds()),
            "files_with_warnings": self.warned,
            "warnings": dict(self.warnings.most_common()),
            "audio_hours": round(self.audio_seconds / 3600, 4),
            "done_before": self.kept,
            "seconds": round(self.wall_seconds, 1),
            "real_time_factor": round(self.real_time_factor, 1),
        }

    def _kinds(self) -> list[tuple[str, int]]:
        return Counter(kind for _, kind, _ in self.failures).most_common()

    def __str__(self) -> str:
        hours, speed = self.new_audio_seconds / 3600, self.real_time_factor
        parts = [
            f"{self.succeeded} files ok, {len(self.failures)} failed",
            f"{hours:.2f} h of audio in {self.wall_seconds:.1f} s, {speed:.1f} x real time",
        ]
        if self.kept:
            parts.append(f"{self.kept} files were done before")
        if self.failures:
            parts.append(f"failures: {_counts(self._kinds())}")
        if self.warned:
            counts = _counts(self.warnings.most_common())
            parts.append(f"warnings for {self.warned} files: {counts}")
        return "; ".join(parts)


def _counts(pairs: list[tuple[str, int]]) -> str:
    return ", ".join(f"{count} {name}" for name, count in pairs)
