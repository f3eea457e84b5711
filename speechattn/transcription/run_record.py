"""The run's own files in its output folder: their names, ``run.json``, its summary.

``run.json`` says what the outputs were made with, so that they can be made again, and so that a
resumed run does not mix outputs of different settings. The :class:`Summary` is added at the end:
how many recordings succeeded, what failed and why, what looked unusual.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from speechattn.errors import UsageError
from speechattn.files import atomic_write_text
from speechattn.text import counted, json_line, length_of_time, one_line
from speechattn.transcription.shards import Shard

_ANEW = "run without --resume to start anew, or choose another output folder"
MOST_WARNED = 3  # recordings with warnings that a summary names
# Keys of run.json that must be the same for a run to go on.
_FIXED = ("speechattn", "model", "device", "precision", "settings")


@dataclass(frozen=True)
class RunFiles:
    """The run's own files in an output folder; those of a shard have names of their own.

    Attributes:
        folder: output folder.
        shard: of the run; None for a run of all recordings.
    """

    folder: Path
    shard: Shard | None = None

    def _path(self, name: str, suffix: str) -> Path:
        return self.folder / f"{name}{self.shard.suffix if self.shard else ''}{suffix}"

    @property
    def run(self) -> Path:
        """What the run was made with, and its summary."""
        return self._path("run", ".json")

    @property
    def journal(self) -> Path:
        """The recordings that it has done."""
        return self._path("journal", ".jsonl")

    @property
    def transcripts(self) -> Path:
        """All recordings in input order, once the run has come to its end."""
        return self._path("transcripts", ".jsonl")

    def shards(self) -> list[RunFiles]:
        """Return the files of the shards that have worked in this folder, in order."""
        numbers = []
        for path in self.folder.glob("journal-*-of-*.jsonl"):
            with contextlib.suppress(ValueError):
                _, index, _, count = path.stem.split("-")
                numbers.append((int(count), int(index)))
        return [RunFiles(self.folder, Shard(index, count)) for count, index in sorted(numbers)]

    def remove(self, *, but_listed: bool = False) -> None:
        """Remove the files, and for a run of all recordings those of all shards.

        Args:
            but_listed: leave this run's own journal and its list of recordings.
        """
        for files in (self, *([] if self.shard else self.shards())):
            listed = [] if but_listed and files is self else [files.transcripts, files.journal]
            for path in (*listed, files.run):
                path.unlink(missing_ok=True)


def write_record(path: Path, record: dict[str, Any]) -> None:
    """Write ``run.json``.

    Raises:
        OSError: if it cannot be written.
    """
    atomic_write_text(path, json_line(record, indent=2) + "\n")


def read_record(path: Path) -> dict[str, Any] | None:
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


def check_same(path: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    """Refuse to go on with a run that was made with other settings.

    Args:
        path: of the old record.
        old: the old record.
        new: the record of the run as it is now; keys that it lacks are not compared.

    Raises:
        UsageError: if they differ; it names the first key and both values.
    """
    if found := difference(old, new):
        key, before, now = found
        raise UsageError(
            f"{one_line(path)}: cannot go on with this run: its {key} was {before} and is now "
            f"{now}; {_ANEW}"
        )


def difference(old: dict[str, Any], new: dict[str, Any]) -> tuple[str, str, str] | None:
    """Return the first setting in which runs differ, if they do: its key and both values.

    Args:
        old: record of a run.
        new: record of another; keys that it lacks are not compared.
    """
    before, now = _flat(old), _flat(new)
    for key in dict.fromkeys((*now, *before)):
        if key.split(".")[0] in new.keys() & set(_FIXED) and before.get(key) != now.get(key):
            if key == "model.name":  # a name for people: the digest tells models apart
                continue
            return key, json.dumps(before.get(key)), json.dumps(now.get(key))
    return None


def _flat(record: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested dictionaries; keys are joined by dots."""
    flat: dict[str, Any] = {}
    for key, value in record.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def sync_disks() -> None:
    """Wait until everything that was written is on the disk, where the system can."""
    if hasattr(os, "sync"):
        os.sync()


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk, where the system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@dataclass
class Summary:
    """The result of a run.

    Attributes:
        succeeded: number of recordings that were transcribed.
        failures: file, kind of failure and message of the others, in input order.
        warnings: number of recordings with each kind of warning.
        warned: number of recordings with any warning.
        audio_seconds: length of the recordings that were transcribed.
        kept: number of recordings, transcribed or failed, that an earlier run had done.
        new_audio_seconds: length of those that this run transcribed.
        wall_seconds: time that the run took, without loading the model.
        complete: whether every recording was processed.
        listed: number of recordings of earlier runs in the same folder that stay listed.
        unlisted: number of those that do not, because they were made with other settings.
        at_work: number of other runs at work in the same folder when it ended.
        interrupted: number of those that have begun and never ended.
        where: what lists the warnings of each recording; ``""`` to name recordings instead.
        warned_files: the first recordings with warnings.
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
    listed: int = 0
    unlisted: int = 0
    at_work: int = 0
    interrupted: int = 0
    where: str = ""
    warned_files: list[str] = field(default_factory=list)

    @property
    def errors(self) -> list[str]:
        """Message of each failed recording, in input order."""
        return [message for _, _, message in self.failures]

    @property
    def real_time_factor(self) -> float:
        """Seconds of audio that this run transcribed in a second."""
        return self.new_audio_seconds / self.wall_seconds if self.wall_seconds > 0 else 0.0

    def add(self, record: dict[str, Any], *, kept: bool = False) -> None:
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
        if record["warnings"] and len(self.warned_files) < MOST_WARNED:
            self.warned_files.append(record["file"])
        self.warnings.update({warning.partition(":")[0] for warning in record["warnings"]})

    def to_dict(self) -> dict[str, Any]:
        """Return the summary as JSON values."""
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
            **({"of_earlier_runs": self.listed} if self.listed else {}),
            "seconds": round(self.wall_seconds, 1),
            "real_time_factor": round(self.real_time_factor, 1),
        }

    def _kinds(self) -> list[tuple[str, int]]:
        return Counter(kind for _, kind, _ in self.failures).most_common()

    def __str__(self) -> str:
        audio, took = length_of_time(self.new_audio_seconds), length_of_time(self.wall_seconds)
        parts = [
            f"{counted(self.succeeded, 'file')} ok, {len(self.failures)} failed",
            f"{audio} of audio in {took}, {self.real_time_factor:.1f} x real time",
        ]
        if self.kept:
            parts.append(
                f"{counted(self.kept, 'file')} {'was' if self.kept == 1 else 'were'} done before"
            )
        if self.listed:
            parts.append(f"{counted(self.listed, 'file')} of other runs in this folder stay listed")
        if self.unlisted:
            parts.append(
                f"{counted(self.unlisted, 'file')} of earlier runs with other settings no longer "
                "listed"
            )
        if self.at_work:
            runs = "run is" if self.at_work == 1 else "runs are"
            parts.append(f"{self.at_work} more {runs} at work in this folder")
        if self.interrupted:
            runs = "run was" if self.interrupted == 1 else "runs were"
            parts.append(
                f"{self.interrupted} {runs} interrupted: give the inputs under unfinished in "
                "run.json again, with --resume"
            )
        if self.failures:
            parts.append(f"failures: {_counts(self._kinds())}")
        if self.warned:
            counts = _counts(self.warnings.most_common())
            where = f"see {self.where}" if self.where else ", ".join(self.warned_files)
            if not self.where and self.warned > len(self.warned_files):
                where += " …"
            parts.append(f"warnings for {counted(self.warned, 'file')}: {counts} ({where})")
        return "; ".join(parts)


def _counts(pairs: list[tuple[str, int]]) -> str:
    return ", ".join(f"{count} {name}" for name, count in pairs)
