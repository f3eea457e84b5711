"""What other runs have left in an output folder, and what of it a new run keeps.

A run that is resumed goes on with what is done. A run that is not resumed does its own recordings
anew. In both cases, what a run with *other inputs* and the same settings has done stays listed in
``transcripts.jsonl``: so a long list of recordings may be given in parts, as ``xargs`` does, one
after the other or several at once. A run with the same inputs replaces the earlier one as a whole,
so that what is no longer among the inputs is no longer listed.

``run.json`` is of the run that began or ended last. It has the inputs of those before, and under
``unfinished`` those of runs that have begun and not ended: they are at work or were interrupted.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from speechattn.errors import UsageError
from speechattn.text import one_line
from speechattn.transcription.at_work import OutputFolder, check_beside
from speechattn.transcription.inputs import Recording
from speechattn.transcription.journal import JournalEntry, keep_entries, read_journal
from speechattn.transcription.run_record import (
    RunFiles,
    Summary,
    check_same,
    difference,
    read_record,
    write_record,
)

# Keys of run.json: inputs of this run, of earlier ones, of those that have not ended.
INPUTS, BEFORE, UNFINISHED = "inputs", "inputs_before", "unfinished"


class EarlierRuns:
    """Reads what other runs have left; each method needs the folder alone.

    Args:
        folder: in which the new run is at work.
        record: what the new run is made with. The device and precision of the new run are known
            when its workers have started; for a resumed run those of the earlier one are entered
            here until then.
        recordings: that it does.
        resume: whether it goes on with what is done.

    Attributes:
        entries: of the new run's recordings that are done, by file; none if it is not resumed.
        others: of recordings of other runs that stay listed.
        num_lost: number of recordings of other runs that do not, because of other settings.

    Raises:
        UsageError: if the run to be resumed was made with other settings, or an output would
            replace that of another recording.
        OSError: if a file cannot be read.
    """

    def __init__(
        self,
        folder: OutputFolder,
        record: dict[str, Any],
        recordings: Sequence[Recording],
        resume: bool,
    ) -> None:
        self._folder, self._files, self._resume = folder, folder.files, resume
        self._own = {each.file: each for each in recordings}
        self._by_output = {_output_of(each.file, each.keep_suffix): each for each in recordings}
        self.entries: dict[str, JournalEntry] = {}
        self.others: dict[str, JournalEntry] = {}
        self.num_lost = 0
        self._unlisted: set[str] = set()  # files in the journal that are no longer among the inputs
        self._found: list[tuple[RunFiles, dict[str, Any]]] = []
        last = read_record(self._files.run) or {}
        self._seen = _state(self._files.run)
        self._unfinished: dict[str, list[str]] = last.get(UNFINISHED, {})
        self._beside = not folder.other_ids().isdisjoint(self._unfinished)
        if difference(last, record) and not self._beside:
            self._unfinished = {}
        for part in (*([] if self._files.shard else self._files.shards()), self._files):
            old = read_record(part.run)
            if old is None:
                continue
            if resume:
                check_same(part.run, old, record)
            self._found.append((part, old))
            self._add(part, old, record)
        if resume and self._found:
            last = self._found[-1][1]
            record |= {key: last[key] for key in ("device", "precision") if key in last}
        self._inputs = _inputs([old for _, old in self._found])

    def _add(self, part: RunFiles, old: dict[str, Any], record: dict[str, Any]) -> None:
        """Add the recordings of an earlier run."""
        entries = read_journal(part.journal)[0]
        if self._resume:
            self.entries |= {file: each for file, each in entries.items() if file in self._own}
        if INPUTS not in record:
            return
        if not difference(old, record):
            self._check_replaced(entries)
        others = {file: each for file, each in entries.items() if file not in self._own}
        alike = old.get(INPUTS) == record[INPUTS] and not old.get(BEFORE)
        if alike and not self._beside:
            self._unlisted |= others.keys()
        elif difference(old, record):
            self.num_lost += len(others)
        else:
            self.others |= others

    def _check_replaced(self, entries: dict[str, JournalEntry]) -> None:
        """Refuse to replace outputs of other recordings that are still there.

        Raises:
            UsageError: if it would come to that; it names both recordings.
        """
        for file, entry in entries.items():
            for keep_suffix in (False, True):
                mine = self._by_output.get(_output_of(file, keep_suffix))
                if mine is None or mine.keep_suffix != keep_suffix or not entry.outputs:
                    continue
                if isinstance(mine.path, Path) and _is_another(entry.recording, mine.path):
                    output = next(iter(mine.outputs.values()))
                    way_out = "give the folder above them as the input, or use two output folders"
                    if file != mine.file:
                        way_out = "add --keep-suffix to name outputs after the whole file name"
                    both = f"{entry.recording} and {mine.path} would both be written to {output}"
                    raise UsageError(one_line(f"{both}; {way_out}"))

    @property
    def is_outdated(self) -> bool:
        """Whether another run has begun or ended since this was read or written."""
        return _state(self._files.run) != self._seen

    def check(self, record: dict[str, Any]) -> None:
        """Compare the settings again, now that the device and precision are known.

        Args:
            record: what the new run is made with.

        Raises:
            UsageError: if the run to be resumed, or one that is at work, was made with others.
        """
        for part, old in self._found:
            if self._beside:
                check_beside(part.folder, old, record)
            elif self._resume:
                check_same(part.run, old, record)
            elif self.others and difference(old, record):
                self.num_lost += len(self.others)
                self.others, self._unfinished = {}, {}

    def begin(self, record: dict[str, Any]) -> None:
        """Write ``run.json``; a run that starts anew first removes the files of earlier ones.

        Args:
            record: what the new run is made with.
        """
        files, keep = self._files, bool(self.others) or self._beside
        if not self.entries and not self._beside:
            if keep:
                keep_entries(files.journal, self.others.values())
                self.others = read_journal(files.journal)[0]
            files.remove(but_listed=keep)
            self._unlisted = set()
        if not keep:
            files.transcripts.unlink(missing_ok=True)
            self._inputs = []
        self._write(record, None, is_at_work=True)

    def read_others(self) -> None:
        """Read what runs have done that were at work beside this one."""
        every, _ = read_journal(self._files.journal)
        self.others |= {
            file: each
            for file, each in every.items()
            if file not in self._own and file not in self._unlisted
        }

    def end(self, record: dict[str, Any], summary: Summary) -> None:
        """Write ``run.json`` at the end of the run.

        Args:
            record: what it was made with.
            summary: of it; gets the numbers of the others.
        """
        if self.is_outdated:  # by runs that have begun or ended meanwhile
            last = read_record(self._files.run) or {}
            self._unfinished = last.get(UNFINISHED, {})
            self._inputs = list(dict.fromkeys((*self._inputs, *_inputs([last]))))
        at_work = self._folder.other_ids() & self._unfinished.keys()
        self._write(record, summary, is_at_work=not summary.complete)
        summary.at_work = len(at_work)
        summary.interrupted = len(self._unfinished.keys() - at_work - {self._folder.run_id})

    def _write(self, record: dict[str, Any], summary: Summary | None, *, is_at_work: bool) -> None:
        """Write ``run.json``.

        Args:
            record: what the run is made with.
            summary: of the run, at its end.
            is_at_work: whether it has not come to its end.
        """
        inputs = record.get(INPUTS, [])
        run_id = self._folder.run_id
        # One that was interrupted is done by the same command again.
        others = {key: each for key, each in self._unfinished.items() if each != inputs}
        self._unfinished = {**others, run_id: inputs} if is_at_work else others
        before = [each for each in self._inputs if each not in inputs]
        facts = {
            BEFORE: before if self.others or self._beside else [],
            UNFINISHED: self._unfinished,
            "summary": summary and summary.to_dict(),
        }
        facts = {key: each for key, each in facts.items() if each or key == "summary"}
        write_record(self._files.run, {**record, **facts})
        self._seen = _state(self._files.run)

    def listed(self, recordings: Sequence[Recording]) -> dict[str, JournalEntry]:
        """Return the entries of ``transcripts.jsonl`` by file, in its order.

        Args:
            recordings: of the new run, in their order.
        """
        own = {
            each.file: self.entries[each.file] for each in recordings if each.file in self.entries
        }
        if not self.others:
            return own
        every = {**self.others, **own}
        return {file: every[file] for file in sorted(every)}


def _output_of(file: str, keep_suffix: bool) -> str:
    """Return what outputs of a recording are called, without the suffix of a format."""
    return os.path.normcase(file if keep_suffix else PurePosixPath(file).with_suffix(""))


def _is_another(before: str, now: Path) -> bool:
    """Whether a recording that was done before is there and another one."""
    if before in ("", os.path.abspath(now)):  # noqa: PTH100 - links stay
        return False
    try:
        return not now.samefile(before)
    except OSError:  # it is gone
        return False


def _inputs(records: list[dict[str, Any]]) -> list[str]:
    """Return the inputs of runs and of those before them, each once."""
    every = [each for old in records for each in (*old.get(BEFORE, ()), *old.get(INPUTS, ()))]
    return list(dict.fromkeys(every))


def _state(path: Path) -> tuple[int, int, int] | None:
    """Return what changes with every new content of a file."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
