r"""Many recordings: transcribe all of them, report which failed and why, go on after interruptions.

A run writes into its output folder:

- For every recording that succeeded, one file for each format, named as
  :mod:`~speechattn.transcription.inputs` describes. Existing files are replaced.
- For a recording that failed, no file. What an earlier run wrote for it in the same formats is
  removed, so that it cannot be taken for a result of this run. Other formats are not touched.
- ``transcripts.jsonl``, one line for each recording in input order. It exists only if the run came
  to its end. Recordings of earlier runs with other inputs and the same settings stay listed
  (:mod:`~speechattn.transcription.earlier_runs`); then the list is in the order of names.
- ``run.json``, what the run was made with and its summary
  (:mod:`~speechattn.transcription.run_record`), and ``journal.jsonl``, what it has done
  (:mod:`~speechattn.transcription.journal`). A resumed run continues from them.

All files but the last two depend on the recordings, the model and the settings alone: not on the
number of processes, the order in which they finish, or interruptions. A shard
(:mod:`~speechattn.transcription.shards`) adds its number to the names of the run's own files. A run
of all recordings that is resumed in the same folder takes over what shards have done.

Names are as the system gives them. In ``transcripts.jsonl`` the bytes of a name that are not UTF-8
appear as ``\udc80`` to ``\udcff`` (:func:`~speechattn.text.json_line`).
In messages these bytes, line breaks and control characters are shown as Python escapes.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, cast

from speechattn.errors import SpeechattnError, cannot_write
from speechattn.files import atomic_path, atomic_write_text
from speechattn.inference.transcription import TranscribeOptions
from speechattn.machine import available_memory, num_usable_cores
from speechattn.process import environment, may_have_cuda
from speechattn.text import json_line
from speechattn.transcription.at_work import at_work
from speechattn.transcription.earlier_runs import EarlierRuns
from speechattn.transcription.inputs import Recording, is_small_job
from speechattn.transcription.journal import Journal, JournalEntry, is_done, read_records
from speechattn.transcription.journal_lines import death_line, discard_temporaries
from speechattn.transcription.outputs import OutputOptions
from speechattn.transcription.progress import ProgressBar
from speechattn.transcription.run_record import (
    RunFiles,
    Summary,
    sync_disks,
    sync_folder,
)
from speechattn.transcription.transcriber import GROUPING, Transcriber
from speechattn.transcription.workers.pool import InProcessPool, Pool, ProcessPool
from speechattn.transcription.workers.process import CAN_FORK
from speechattn.transcription.workers.worker import WorkerDied

if TYPE_CHECKING:
    from speechattn.inference.recognizer import Recognizer
    from speechattn.transcription.model_spec import TaskSpec
    from speechattn.transcription.workers.grouping import Grouping

WORKERS_ON_CUDA = 4  # at most, of one GPU
# Memory that a worker needs, and one more where they share the model: 480 and 200 MB were measured.
WORKER_BYTES, SHARING_BYTES = 600_000_000, 250_000_000


def transcribe_files(
    recordings: Sequence[Recording],
    recognizer: Recognizer,
    output_dir: str | Path,
    *,
    outputs: OutputOptions | None = None,
    channel: int | Literal["all"] | None = None,
    progress: bool = False,
) -> Summary:
    """Transcribe recordings in this process, one after the other, from the first to the last.

    Args:
        recordings: from :func:`speechattn.transcription.inputs.collect`, with the same
            ``output_dir`` and the kinds of files in ``outputs``.
        recognizer: transcribes them.
        output_dir: folder for ``transcripts.jsonl``.
        outputs: files that are written for each recording; TextGrids if None.
        channel: which channel to take, from 0; None for the mean of all; ``"all"`` for each by
            itself.
        progress: show progress on standard error.

    Raises:
        SpeechattnError: if ``transcripts.jsonl`` cannot be written.
    """
    options = TranscribeOptions(channel, posteriors=False)
    do = Transcriber(recognizer, outputs or OutputOptions(), options)
    pool = InProcessPool(lambda: (do, {}), GROUPING)
    return run_batch(recordings, pool, RunFiles(Path(output_dir)), {}, progress=progress)


def run_batch(
    recordings: Sequence[Recording],
    pool: Pool,
    files: RunFiles,
    record: dict[str, Any],
    *,
    resume: bool = False,
    fail_fast: bool = False,
    progress: bool = False,
) -> Summary:
    """Transcribe recordings; a failing one does not stop the others.

    Args:
        recordings: from :func:`speechattn.transcription.inputs.collect`.
        pool: transcribes them; it is started only if there is something to do.
        files: the run's own files.
        record: what the run is made with, for ``run.json``.
        resume: leave out recordings that have been done.
        fail_fast: stop at the first failure; then there is no ``transcripts.jsonl``.
        progress: show progress on standard error.

    Raises:
        UsageError: if a run at work in the folder, or the one to be resumed, was made with other
            settings, or one at work writes the same outputs.
        SpeechattnError: if the run's own files cannot be read or written, or no worker can start.
    """
    record, summary = dict(record), Summary()
    began = time.perf_counter()
    own = {each.file for each in recordings}
    try:
        with at_work(files, record, recordings) as folder:
            with folder.alone():
                before = EarlierRuns(folder, record, recordings, resume)
            todo = _todo(recordings, before)
            if todo:
                with _running(pool):
                    began = time.perf_counter()
                    record |= pool.facts
                    with folder.alone():
                        if renewed := before.is_outdated:  # others have begun or ended meanwhile
                            before = EarlierRuns(folder, record, recordings, resume)
                        before.check(record)
                        before.begin(record)
                        journal = Journal(files.journal)
                    if renewed:
                        todo = _todo(recordings, before)
                    task = record.get("settings", {}).get("task", "transcribe")
                    bar = ProgressBar(todo, shown=progress, description=task)
                    _transcribe(todo, pool, journal, summary, fail_fast, bar)
            if summary.complete:
                sync_disks()  # the outputs must be there before transcripts.jsonl
            with folder.alone():
                if todo:
                    before.entries |= journal.entries
                    if journal.others_wrote:
                        before.read_others()
                elif before.is_outdated:
                    before = EarlierRuns(folder, record, recordings, resume)
                if not todo and not before.entries:
                    before.begin(record)
                summary.listed, summary.unlisted = len(before.others), before.num_lost
                done_before = own.difference(each.file for each in todo)
                _finish(before.listed(recordings), own, files, done_before, summary)
                summary.wall_seconds = time.perf_counter() - began
                before.end(record, summary)
                sync_folder(files.folder)
    except OSError as error:  # of the run's own files; one of a recording is in its record
        raise SpeechattnError(cannot_write(Path(error.filename or files.folder), error)) from error
    return summary


def _todo(recordings: Sequence[Recording], before: EarlierRuns) -> list[Recording]:
    return [each for each in recordings if not is_done(each, before.entries.get(each.file))]


@contextlib.contextmanager
def _running(pool: Pool) -> Iterator[None]:
    """Start a pool for the block; remove temporary files of tasks that it leaves unfinished."""
    try:
        with pool:
            yield
    finally:
        for recording in pool.running.values():
            discard_temporaries(recording)


def _transcribe(
    recordings: Sequence[Recording],
    pool: Pool,
    journal: Journal,
    summary: Summary,
    fail_fast: bool,
    progress: ProgressBar,
) -> None:
    """Transcribe recordings and add each to the journal as it is done, and close it.

    If the run stops early, the summary is marked as incomplete.
    """
    with journal, progress as bar:
        for number, value in pool.run(recordings, bar.within):
            died = isinstance(value, WorkerDied)
            line = death_line(recordings[number], value) if died else value
            journal.add(line)
            bar.done(number, line["record"]["duration"])
            if fail_fast and line["outputs"] is None:
                summary.complete = False
                break
        journal.flush()


def _finish(
    entries: dict[str, JournalEntry],
    own: set[str],
    files: RunFiles,
    done: set[str],
    summary: Summary,
) -> None:
    """Fill the summary, and write ``transcripts.jsonl`` if all recordings have been done.

    Args:
        entries: of the recordings to be listed, by their files.
        own: files of those that are this run's.
        files: the run's own files.
        done: files of those that were done before.
        summary: of this run.
    """
    with contextlib.ExitStack() as stack:
        listing: BinaryIO | None = None
        if summary.complete:
            temporary = stack.enter_context(atomic_path(files.transcripts))
            listing = stack.enter_context(temporary.open("wb"))
            summary.where = str(files.transcripts)
        for record in read_records(entries.values()):
            if record["file"] in own:
                summary.add(record, kept=record["file"] in done)
            if listing is not None:
                listing.write(json_line(record).encode() + b"\n")


def write_errors(path: str | Path, summary: Summary) -> None:
    """Write a line of JSON for each recording that failed: file, kind and error.

    Raises:
        SpeechattnError: if it cannot be written.
    """
    lines = [
        json_line({"file": file, "kind": kind, "error": message}) + "\n"
        for file, kind, message in summary.failures
    ]
    try:
        atomic_write_text(path, "".join(lines))
    except OSError as error:
        raise SpeechattnError(cannot_write(Path(path), error)) from error


def choose_pool(
    spec: TaskSpec,
    workers: int,
    recordings: Sequence[Recording],
    resume: bool = False,
    grouping: Grouping | None = GROUPING,
) -> InProcessPool | ProcessPool:
    """Choose what transcribes: this process, or worker processes.

    A run that is resumed may have been ended by a recording that brought its process down. It gets
    workers, at least one, so that such a recording fails alone if it does so again.

    Args:
        spec: what each process needs.
        workers: their number; 0 for what suits the machine and the recordings: one for each core,
            fewer where memory is short, and this process alone, on all cores, for one recording or
            a small job.
        recordings: to transcribe; there are at most as many workers.
        resume: whether the run continues an earlier one.
        grouping: which recordings are transcribed together.
    """
    threads, on_cuda = spec.model.threads, _on_cuda(spec.model.device)
    share = threads == 1 and not on_cuda  # threads of a library, and a GPU, do not survive a fork
    if not workers:
        # On CUDA the other workers decode and write while one computes.
        most = WORKERS_ON_CUDA if on_cuda else num_usable_cores()
        most = min(most, num_usable_cores() // max(1, threads))
        memory = available_memory()
        if memory is not None:
            more = SHARING_BYTES if share and CAN_FORK else WORKER_BYTES
            most = min(most, 1 + max(0, memory - WORKER_BYTES) // more)
        workers = 1 if most > 1 and is_small_job(recordings) else max(1, most)
        if workers == 1 or len(recordings) == 1:
            spec = _with_cores(spec, num_usable_cores())
    workers = min(workers, len(recordings))
    if workers <= 1 and not resume:
        return InProcessPool(spec, grouping)
    return ProcessPool(spec, max(1, workers), environment(threads), grouping, share=share)


def _with_cores(spec: TaskSpec, cores: int) -> TaskSpec:
    return replace(cast(Any, spec), model=replace(spec.model, cores=cores))


def _on_cuda(device: str) -> bool:
    if device == "auto" and may_have_cuda():
        import torch

        return torch.cuda.is_available()
    return device.startswith("cuda")
