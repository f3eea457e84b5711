"""What earlier runs have left in an output folder, and what of it a new run keeps.

A run that is resumed goes on with what is done. A run that is not resumed does its own recordings
anew. In both cases, what a run with *other inputs* and the same settings has done stays listed in
``transcripts.jsonl``: so a long list of recordings may be given in parts, as ``xargs`` does. A run
with the same inputs replaces the earlier one as a whole, so that what is no longer among the inputs
is no longer listed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from speechattn.transcription.inputs import Recording
from speechattn.transcription.journal import JournalEntry, keep_entries, read_journal
from speechattn.transcription.run_record import (
    RunFiles,
    check_same,
    differs,
    read_record,
    write_record,
)

INPUTS, BEFORE = "inputs", "inputs_before"  # keys of run.json: of this run, of earlier ones


class EarlierRuns:
    """Reads what earlier runs have left.

    Args:
        files: own files of the new run.
        record: what the new run is made with. The device and precision of the new run are known
            when its workers have started; for a resumed run those of the earlier one are entered
            here until then.
        own: files of its recordings.
        resume: whether it goes on with what is done.

    Attributes:
        entries: of the new run's recordings that are done, by file; none if it is not resumed.
        others: of recordings of other runs that stay listed.
        num_lost: number of recordings of other runs that do not, because of other settings.

    Raises:
        UsageError: if the run to be resumed was made with other settings.
        OSError: if a file cannot be read.
    """

    def __init__(
        self, files: RunFiles, record: dict[str, Any], own: set[str], resume: bool
    ) -> None:
        self._files, self._resume = files, resume
        self.entries: dict[str, JournalEntry] = {}
        self.others: dict[str, JournalEntry] = {}
        self.num_lost = 0
        self._found: list[tuple[RunFiles, dict[str, Any]]] = []
        for part in (*([] if files.shard else files.shards()), files):
            old = read_record(part.run)
            if old is None:
                continue
            if resume:
                check_same(part.run, old, record)
            self._found.append((part, old))
            self._add(part, old, record, own)
        if resume and self._found:
            last = self._found[-1][1]
            record |= {key: last[key] for key in ("device", "precision") if key in last}
        self._earlier_inputs = _earlier_inputs([old for _, old in self._found], record)

    def _add(
        self, part: RunFiles, old: dict[str, Any], record: dict[str, Any], own: set[str]
    ) -> None:
        """Add the recordings of an earlier run."""
        entries = read_journal(part.journal)[0]
        if self._resume:
            self.entries |= {file: entry for file, entry in entries.items() if file in own}
        alike = old.get(INPUTS) == record.get(INPUTS) and not old.get(BEFORE)
        if alike or INPUTS not in record:
            return
        others = {file: entry for file, entry in entries.items() if file not in own}
        if differs(old, record):
            self.num_lost += len(others)
        else:
            self.others |= others

    def check(self, record: dict[str, Any]) -> None:
        """Compare the settings again, now that the device and precision are known.

        Args:
            record: what the new run is made with.

        Raises:
            UsageError: if the run to be resumed was made with others.
        """
        for part, old in self._found:
            if self._resume:
                check_same(part.run, old, record)
            elif self.others and differs(old, record):
                self.num_lost += len(self.others)
                self.others = {}

    def begin(self, record: dict[str, Any]) -> None:
        """Write ``run.json``; a run that starts anew first removes the files of earlier ones.

        Args:
            record: what the new run is made with.
        """
        files, keep = self._files, bool(self.others)
        if not self.entries:
            if keep:
                keep_entries(files.journal, self.others.values())
                self.others = read_journal(files.journal)[0]
            files.remove(but_listed=keep)
        if not keep:
            files.transcripts.unlink(missing_ok=True)
        write_record(files.run, {**record, **self.facts, "summary": None})

    @property
    def facts(self) -> dict[str, Any]:
        """What ``run.json`` says of the earlier runs whose recordings stay listed."""
        return {BEFORE: self._earlier_inputs} if self.others else {}

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


def _earlier_inputs(records: list[dict[str, Any]], record: dict[str, Any]) -> list[str]:
    """Return the inputs of earlier runs that are none of the new run, each once."""
    every = [each for old in records for each in (*old.get(BEFORE, ()), *old.get(INPUTS, ()))]
    return [each for each in dict.fromkeys(every) if each not in record.get(INPUTS, ())]
