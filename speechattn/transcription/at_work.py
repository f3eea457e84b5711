"""Several runs in one output folder at once: who is at work, and what they leave to each other.

Every run has a hidden lock file of its own in the folder, in which stand its process, what it is
made with, and its outputs. The locks of those that have ended are free. What several of them read
and write (the journal, ``run.json``, ``transcripts.jsonl``) each touches only for a moment, with
the folder to itself. May work at once:

- runs of all their recordings, with the same settings and other outputs: they share one journal;
- shards, each with files of its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from speechattn.errors import UsageError
from speechattn.files import temporary_path
from speechattn.text import one_line
from speechattn.transcription.inputs import Recording
from speechattn.transcription.locks import WAIT_SECONDS, is_locked, locked
from speechattn.transcription.run_record import RunFiles, difference

LOCK = ".lock"  # of the folder, for a moment; those of runs end with the run's id
MARK = ".ray"  # file by which workers on other machines recognise the folder, with a random end
_WAY_OUT = "wait for its end, or choose another output folder"


@dataclass(frozen=True)
class OtherRun:
    """A run that is at work in the folder.

    Attributes:
        path: of its lock file.
    """

    path: Path

    @cached_property
    def _lines(self) -> list[str]:
        try:
            return self.path.read_text(encoding="utf-8").splitlines()
        except OSError:  # it has just ended
            return []

    @cached_property
    def about(self) -> dict[str, Any]:
        """Its process, machine, shard and record."""
        return json.loads(self._lines[0]) if self._lines else {}

    @property
    def outputs(self) -> Iterator[str]:
        """Its outputs, relative to the folder."""
        return map(json.loads, self._lines[1:])

    def __str__(self) -> str:
        return f"process {self.about.get('process')} on {self.about.get('host')}"


class OutputFolder:
    """The output folder of a run that is at work in it.

    Args:
        files: the run's own files.

    Attributes:
        files: the run's own files.
        run_id: random name by which others know the run while it is at work.
    """

    def __init__(self, files: RunFiles) -> None:
        self.files = files
        self.run_id = secrets.token_hex(8)

    def __fspath__(self) -> str:
        return os.fspath(self.files.folder)

    @property
    def lock(self) -> Path:
        """The run's lock file."""
        return self.files.folder / f"{LOCK}-{self.run_id}"

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Have the folder for this run alone, for a moment.

        Raises:
            UsageError: if another run keeps it for ten minutes.
        """
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(locked(self.files.folder / LOCK, wait=WAIT_SECONDS))
            except BlockingIOError:
                raise UsageError(
                    f"{one_line(self.files.folder)}: another run keeps this folder; {_WAY_OUT}"
                ) from None
            yield

    def others(self) -> list[OtherRun]:
        """Return the other runs at work; lock files of those that have ended are removed."""
        found = []
        for path in sorted(self.files.folder.glob(f"{LOCK}-*")):
            if path == self.lock:
                continue
            if is_locked(path):
                found.append(OtherRun(path))
            else:
                path.unlink(missing_ok=True)
        return found

    def other_ids(self) -> set[str]:
        """Return the ids of the other runs at work."""
        return {other.path.name.removeprefix(f"{LOCK}-") for other in self.others()}


@contextlib.contextmanager
def at_work(
    files: RunFiles, record: dict[str, Any], recordings: Sequence[Recording]
) -> Iterator[OutputFolder]:
    """Make the folder and be at work in it.

    Args:
        files: the run's own files.
        record: what the run is made with, as far as it is known.
        recordings: that it does.

    Raises:
        UsageError: if another run is at work there that has other settings or the same outputs.
        OSError: if the folder cannot be made or written.
    """
    files.folder.mkdir(parents=True, exist_ok=True)
    folder = OutputFolder(files)
    outputs = [
        os.path.relpath(path, files.folder)
        for recording in recordings
        for path in recording.outputs.values()
    ]
    with contextlib.ExitStack() as stack:
        with folder.alone():
            others = folder.others()
            for other in others:
                _check_beside(other, files, record, outputs)
            for path in () if others else files.folder.glob(f"{MARK}-*"):  # of killed runs
                path.unlink(missing_ok=True)
            file = stack.enter_context(locked(folder.lock))
            about = {
                "process": os.getpid(),
                "host": platform.node(),
                "shard": str(files.shard) if files.shard else None,
                "record": record,
            }
            lines = (json.dumps(about), *map(json.dumps, outputs))
            file.write("".join(f"{line}\n" for line in lines).encode("ascii"))
            file.flush()
            for path in (files.run, files.transcripts, files.journal):  # left by a killed run
                temporary_path(path).unlink(missing_ok=True)
        yield folder


def _check_beside(
    other: OtherRun, files: RunFiles, record: dict[str, Any], outputs: Sequence[str]
) -> None:
    """Refuse to work beside another run where that cannot go well.

    Raises:
        UsageError: if it cannot.
    """
    folder, shard = one_line(files.folder), other.about.get("shard")
    if shard or files.shard:
        if not (shard and files.shard) or shard == str(files.shard):
            raise UsageError(
                f"{folder}: another run is at work in this folder ({other}); {_WAY_OUT}"
            )
        return
    check_beside(files.folder, other.about.get("record", {}), record)
    theirs = {os.path.normcase(output) for output in other.outputs}
    both = next((each for each in outputs if os.path.normcase(each) in theirs), None)
    if both is not None:
        raise UsageError(
            f"{one_line(files.folder / both)}: another run is at work on this output ({other}); "
            + _WAY_OUT
        )


def check_beside(folder: Path, theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    """Refuse to work beside a run that was made with other settings.

    Args:
        folder: of both.
        theirs: what the other run is made with.
        ours: what this run is made with.

    Raises:
        UsageError: if they differ; it names the first key and both values.
    """
    if found := difference(theirs, ours):
        key, there, here = found
        raise UsageError(
            f"{one_line(folder)}: another run is at work in this folder with other settings: "
            f"its {key} is {there} and that of this run {here}; {_WAY_OUT}"
        )
