"""Stages of a recipe; a stage is skipped if its inputs are the same as when it last finished."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speechattn.errors import UsageError
from speechattn.files import atomic_write_text
from speechattn.training.work_folder import at_work

STAMPS = "stamps.json"  # what the file of fingerprints is called, in the work folder of every run
# Keys of recipes that were added since version 0.2.0; at 0, or empty, they change nothing.
NEWER = ("teacher_weight", "codec_probability", "texts", "transcripts_weight")


@dataclass(frozen=True)
class Stage:
    """One step of a recipe.

    Attributes:
        name: name on the command line.
        run: does the work.
        inputs: returns everything the result depends on, as JSON values; called before ``run``.
        outputs: files that exist when the stage has finished.
        needs: names of the stages whose results it reads.
    """

    name: str
    run: Callable[[], None]
    inputs: Callable[[], object]
    outputs: Sequence[Path]
    needs: Sequence[str] = ()


class StageRunner:
    """Runs stages in order and keeps the fingerprints of their inputs in one file.

    While there is something to run, it has the folder of this file for its process alone.

    Args:
        stages: all stages, in the order of the data.
        stamps: JSON file, stage → fingerprint of its inputs.
        report: takes one line for the user.
    """

    def __init__(
        self, stages: Sequence[Stage], stamps: Path, report: Callable[[str], None]
    ) -> None:
        self._stages = {stage.name: stage for stage in stages}
        self._stamps = stamps
        self._report = report

    def run(self, names: Sequence[str], force: bool = False) -> None:
        """Run the stages named, in the order of the data.

        Args:
            names: stages; those that are up to date are skipped.
            force: run those that are up to date as well.

        Raises:
            UsageError: if a stage not named, whose results are needed, is missing or out of date;
                if another process is at work in the folder, or it cannot be written.
        """
        with contextlib.ExitStack() as stack:
            for name, stage in self._stages.items():
                if name not in names:
                    continue
                self._check_needs(stage)
                if not force and self.up_to_date(name):
                    self._report(f"{name}: up to date, skipped")
                    continue
                stack.enter_context(at_work(self._stamps.parent))
                self._report(f"{name}:")
                fingerprint = self.fingerprint(name)
                self._write(name, None)
                stage.run()
                self._write(name, fingerprint)

    def _check_needs(self, stage: Stage) -> None:
        """Raise a UsageError if the results that a stage reads are not there."""
        for needed in stage.needs:
            if not self.up_to_date(needed):
                raise UsageError(
                    f"stage {stage.name}: needs stage {needed}, which has not been run on these "
                    f"inputs; add it: stages={needed},{stage.name}"
                )

    def up_to_date(self, name: str) -> bool:
        """Whether a stage has finished on the inputs that it would have now."""
        stage = self._stages[name]
        return (
            all(path.exists() for path in stage.outputs)
            and all(self.up_to_date(needed) for needed in stage.needs)
            and self._read().get(name) == self.fingerprint(name)
        )

    def fingerprint(self, name: str) -> str:
        """Return the fingerprint of a stage's inputs and of those of the stages it needs."""
        stage = self._stages[name]
        return fingerprint([stage.inputs(), *(self.fingerprint(name) for name in stage.needs)])

    def _read(self) -> dict:
        try:
            stamps = json.loads(self._stamps.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}  # nothing is known, so all stages are run
        return stamps if isinstance(stamps, dict) else {}

    def _write(self, name: str, fingerprint: str | None) -> None:
        stamps = self._read()
        stamps[name] = fingerprint
        atomic_write_text(self._stamps, json.dumps(stamps, indent=1) + "\n")


def as_before(section: Mapping[str, Any]) -> dict[str, Any]:
    """Return a section of a recipe as a version before the keys in ``NEWER`` had it.

    What was done before such a key was added is then still up to date, while the key is 0.
    """
    return {key: value for key, value in section.items() if value or key not in NEWER}


def fingerprint(values: object) -> str:
    """Return a fingerprint of JSON values."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def files_fingerprint(paths: Sequence[Path]) -> str:
    """Return a fingerprint of files' names, sizes and times of change; files may be missing."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        try:
            status = path.stat()
            facts = f"{path}\t{status.st_size}\t{status.st_mtime_ns}\n"
        except OSError:
            facts = f"{path}\tmissing\n"
        digest.update(facts.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def content_fingerprint(path: Path) -> str:
    """Return a fingerprint of the content of a small file; ``missing`` if it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return "missing"
