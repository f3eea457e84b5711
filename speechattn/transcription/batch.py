"""Many recordings: transcribe all of them, say which failed and why, go on after interruptions.

What a run leaves in its output folder:

- For every recording that went well, one file a format, named as :mod:`~speechattn.transcription.inputs` says.
  Files that are there already are replaced.
- For a recording that failed, none: what an earlier run wrote for it in the formats asked for is
  removed, lest it be taken for the result of this one. Other formats are not touched.
- ``transcripts.jsonl``, one line a recording in input order. It is there only when the run came
  to its end.
- ``run.json``, what the run was made with and what came of it (:mod:`~speechattn.transcription.run_record`), and
  ``journal.jsonl``, what it has done (:mod:`~speechattn.transcription.journal`); a resumed run goes by them.

All files but the last two depend on the recordings, the model and the settings alone: not on the
number of processes, on the order in which they finish, or on interruptions. A shard
(:mod:`~speechattn.transcription.inputs`) names its own files after itself; a run of the whole that is resumed in
the same folder takes over what shards have done.

Names are as the system gives them. In ``transcripts.jsonl``, which is ASCII, the bytes of a name
that are not UTF-8 appear as ``\udc80`` to ``\udcff`` (``os.fsencode`` gives the name back);
in messages these, line breaks and control characters are shown as Python escapes.

A bar that moves while a long recording is at work, and not only after it.

Who transcribes: this process alone, or as many workers as suit the machine.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from speechattn.errors import SpeechattnError, cannot_write
from speechattn.files import atomic_path, atomic_write_text
from speechattn.process import environment, may_have_cuda, num_usable_cores
from speechattn.transcription.inputs import Recording, size_of
from speechattn.transcription.journal import (
    Journal,
    JournalEntry,
    death_line,
    discard_temporaries,
    is_done,
    read_journal,
    read_records,
)
from speechattn.transcription.outputs import OutputOptions
from speechattn.transcription.run_record import (
    RunFiles,
    Summary,
    check_same,
    read_record,
    sync_disks,
    sync_folder,
    write_record,
)
from speechattn.transcription.transcriber import GROUPING, Transcriber, TranscriberSpec
from speechattn.transcription.workers.pool import InProcessPool, ProcessPool
from speechattn.transcription.workers.worker import WorkerDied

if TYPE_CHECKING:
    from speechattn.inference.recognizer import Recognizer
    from speechattn.transcription.workers.ray_pool import RayPool


BAR_FORMAT = "{percentage:3.0f}%|{bar}| {postfix} [{elapsed}<{remaining}]"


WORKERS_ON_CUDA = 4  # at most, of one GPU


def transcribe_files(
    jobs: Sequence[Recording],
    recognizer: Recognizer,
    output_dir: str | Path,
    *,
    options: OutputOptions | None = None,
    channel: int | None = None,
    progress: bool = False,
) -> Summary:
    """Transcribe recordings in this process, one after the other, from the first to the last.

    Args:
        jobs: from :func:`speechattn.transcription.inputs.collect`, with the same ``output_dir`` and the kinds of
            files in ``options``.
        recognizer: with ``transcribe``, ``transcribing``, ``encode`` and ``phones``.
        output_dir: folder for ``transcripts.jsonl``.
        options: what is written for each recording; the default ones if None.
        channel: channel to take from recordings with several, from 0; None for their mean.
        progress: show a progress bar on standard error if that is a terminal.

    Raises:
        SpeechattnError: if ``transcripts.jsonl`` cannot be written.
    """
    do = Transcriber(recognizer, options or OutputOptions(), channel)
    crew = InProcessPool(lambda: (do, {}), GROUPING)
    return run_batch(jobs, crew, RunFiles(Path(output_dir)), {}, progress=progress)


def run_batch(
    jobs: Sequence[Recording],
    crew: InProcessPool | ProcessPool | RayPool,
    files: RunFiles,
    record: dict,
    *,
    resume: bool = False,
    fail_fast: bool = False,
    progress: bool = False,
) -> Summary:
    """Transcribe recordings; a failing one does not stop the others.

    Args:
        jobs: from :func:`speechattn.transcription.inputs.collect`.
        crew: who does the jobs; begins to work only if there is something to do.
        files: the run's own files.
        record: what the run is made with, for ``run.json``.
        resume: leave out what has been done.
        fail_fast: stop at the first failure; then there is no ``transcripts.jsonl``.
        progress: show a progress bar on standard error if that is a terminal.

    Raises:
        UsageError: if another run is at work in the folder, or the one to be resumed was made in
            another way.
        SpeechattnError: if the run's own files cannot be read or written, or no worker can start.
    """
    record, summary = dict(record), Summary()
    began = time.perf_counter()
    try:
        with files.locked():
            before = _before(files, record) if resume else []
            known = _known(part for part, _ in before)
            todo = [job for job in jobs if not is_done(job, known.get(job.file))]
            kept = {job.file for job in jobs}.difference(job.file for job in todo)
            if todo:
                with _at_work(crew):
                    began = time.perf_counter()
                    record |= crew.facts
                    for part, old in before:
                        check_same(part.run, old, record)
                    _begin(files, record, anew=not known)
                    known |= _work(todo, crew, files, summary, fail_fast, progress)
            elif not known:
                _begin(files, record, anew=True)
            _finish([known[job.file] for job in jobs if job.file in known], files, kept, summary)
            summary.wall_seconds = time.perf_counter() - began
            write_record(files.run, {**record, "summary": summary.to_dict()})
            sync_folder(files.folder)
    except OSError as error:  # those of a recording are in its record
        raise SpeechattnError(cannot_write(Path(error.filename or files.folder), error)) from error
    return summary


def _before(files: RunFiles, record: dict) -> list[tuple[RunFiles, dict]]:
    """The run that is to be resumed, and for the whole those of its shards, with their records.

    What a run computes on is known when its workers have started; until then that of the run
    before is entered in ``record``.

    Raises:
        UsageError: if one was made in another way.
    """
    found = []
    for part in (*([] if files.shard else files.shards()), files):
        old = read_record(part.run)
        if old is not None:
            check_same(part.run, old, record)
            found.append((part, old))
    if found:
        last = found[-1][1]
        record |= {key: last[key] for key in ("device", "precision") if key in last}
    return found


def _known(parts: Iterable[RunFiles]) -> dict[str, JournalEntry]:
    """What the journals have on each recording."""
    known: dict[str, JournalEntry] = {}
    for part in parts:
        known |= read_journal(part.journal)[0]
    return known


@contextlib.contextmanager
def _at_work(crew: InProcessPool | ProcessPool | RayPool) -> Iterator[None]:
    """Have a crew at work; what it leaves unfinished when it is stopped is cleared away."""
    try:
        with crew:
            yield
    finally:
        for job in crew.running.values():
            discard_temporaries(job)


def _begin(files: RunFiles, record: dict, *, anew: bool) -> None:
    """Write ``run.json``, after removing what is left of the run before where one starts anew."""
    if anew:
        files.remove()
    files.transcripts.unlink(missing_ok=True)
    write_record(files.run, {**record, "summary": None})


def _work(
    jobs: Sequence[Recording],
    crew: InProcessPool | ProcessPool | RayPool,
    files: RunFiles,
    summary: Summary,
    fail_fast: bool,
    progress: bool,
) -> dict[str, JournalEntry]:
    """Do the jobs and enter them in the journal as they are done.

    Returns:
        What the journal has then. Where not all jobs were done, the summary says so.
    """
    with Journal(files.journal) as journal, ProgressBar(jobs, shown=progress) as bar:
        for number, value in crew.run(jobs, bar.within):
            line = death_line(jobs[number], value) if isinstance(value, WorkerDied) else value
            journal.add(line)
            bar.done(number, line["record"]["duration"])
            if fail_fast and line["outputs"] is None:
                summary.complete = False
                break
        journal.flush()
        return journal.entries


def _finish(entries: list[JournalEntry], files: RunFiles, kept: set[str], summary: Summary) -> None:
    """Count what has been done, and write ``transcripts.jsonl`` if it is everything."""
    if not summary.complete:
        for record in read_records(entries):
            summary.add(record, kept=record["file"] in kept)
        return
    sync_disks()  # the outputs: transcripts.jsonl says that all is there
    with atomic_path(files.transcripts) as temporary, open(temporary, "wb") as file:
        for record in read_records(entries):
            summary.add(record, kept=record["file"] in kept)
            file.write(json.dumps(record, allow_nan=False).encode("ascii") + b"\n")


def write_errors(path: str | Path, summary: Summary) -> None:
    """Write a line of JSON for each recording that failed: file, kind and error.

    Raises:
        SpeechattnError: if it cannot be written.
    """
    lines = [
        json.dumps({"file": file, "kind": kind, "error": message}) + "\n"
        for file, kind, message in summary.failures
    ]
    try:
        atomic_write_text(path, "".join(lines))
    except OSError as error:
        raise SpeechattnError(cannot_write(Path(path), error)) from error


class ProgressBar:
    """Shows how far a run is, on standard error if that is a terminal; a context manager.

    How long a recording is, is known when it has been opened, so its share in the whole is that of
    its bytes; within it, that of its samples.

    Args:
        jobs: that are to be done.
        shown: False for no bar at all.
    """

    def __init__(self, jobs: Sequence[Recording], *, shown: bool):
        from tqdm import tqdm

        # None: not if standard error is no terminal
        self._bar = tqdm(bar_format=BAR_FORMAT, disable=None if shown else True)
        self._count, self._done, self._seconds = len(jobs), 0, 0.0
        self._began = time.monotonic()
        self._parts: dict[int, float] = {}
        self._sizes: list[int] = []
        if not self._bar.disable:
            self._sizes = [1 + size_of(job) for job in jobs]
            self._bar.total = sum(self._sizes)
            self._show()

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def within(self, number: int, share: float) -> None:
        """Of the job of that number, this share has been done."""
        if not self._bar.disable and share > self._parts.get(number, 0.0):
            self._bar.update(self._sizes[number] * (share - self._parts.get(number, 0.0)))
            self._parts[number] = share

    def done(self, number: int, seconds: float | None) -> None:
        """The job of that number has been done: so much audio, None if it failed."""
        if self._bar.disable:
            return
        self.within(number, 1.0)
        del self._parts[number]
        self._done += 1
        self._seconds += seconds or 0.0
        self._show()

    def _show(self) -> None:
        audio = datetime.timedelta(seconds=round(self._seconds))
        speed = self._seconds / max(1e-3, time.monotonic() - self._began)
        text = f"{self._done}/{self._count} files, {audio} of audio, {speed:.0f} x real time"
        self._bar.set_postfix_str(text, refresh=False)
        if self._done in (0, self._count):
            self._bar.refresh()


def choose_pool(
    setup: TranscriberSpec, workers: int, jobs: int, resume: bool = False
) -> InProcessPool | ProcessPool:
    """Who transcribes: this process, or workers.

    A run that is resumed may have been ended by a recording that brought its process down. So it
    has workers, be it one: what happens again costs that recording alone.

    Args:
        setup: what each needs.
        workers: their number; 0 for what suits the machine.
        jobs: number of recordings; there are no more workers than that.
        resume: whether the run goes on with another.
    """
    if not workers:
        # On CUDA the others decode and write while one computes.
        most = WORKERS_ON_CUDA if _on_cuda(setup.device) else num_usable_cores()
        workers = max(1, min(most, num_usable_cores() // max(1, setup.threads)))
    workers = min(workers, jobs)
    if workers <= 1 and not resume:
        return InProcessPool(setup, GROUPING)
    return ProcessPool(setup, max(1, workers), environment(setup.threads), GROUPING)


def _on_cuda(device: str) -> bool:
    if device == "auto" and may_have_cuda():
        import torch

        return torch.cuda.is_available()
    return device.startswith("cuda")
