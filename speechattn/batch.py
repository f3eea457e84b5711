"""Many recordings: find them, transcribe one after the other, say which failed and why.

What a run leaves in its output folder:

- For every recording that went well, one file a format, in the folders the recording had below
  the input folder: ``rec/a/b.wav`` of the input ``rec`` gives ``DIR/a/b.TextGrid``. A recording
  named itself gives ``DIR/b.TextGrid``. Files that are there already are replaced.
- For a recording that failed, none: what an earlier run wrote for it in the formats asked for is
  removed, lest it be taken for the result of this one. Other formats are not touched.
- ``transcripts.jsonl``, one line a recording in input order. It is there only when the run came
  to its end: a run removes the old one when it begins and collects its own lines in
  ``transcripts.jsonl.partial``, which stays behind, with the recordings done so far, when the run
  is interrupted.

Names are as the system gives them. In ``transcripts.jsonl``, which is ASCII, the bytes of a name
that are not UTF-8 appear as ``\\udc80`` to ``\\udcff`` (``os.fsencode`` gives the name back);
in messages these, line breaks and control characters are shown as Python escapes.
"""

from __future__ import annotations

import errno
import json
import os
import stat
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from speechattn.atomic import atomic_write_text, growing_text
from speechattn.errors import AudioError, SpeechattnError, UsageError
from speechattn.writers import WRITERS, phone_records

if TYPE_CHECKING:
    from speechattn.recognizer import Recognizer, Transcription

TRANSCRIPTS = "transcripts.jsonl"

_WAYS_OUT = {
    errno.ENOSPC: "free some disk space and run again",
    errno.EACCES: "check the permissions",
    errno.EPERM: "check the permissions",
    errno.ENAMETOOLONG: "give the recording a shorter name",
}


@dataclass(frozen=True)
class Job:
    """One recording to transcribe.

    Attributes:
        path: of the recording.
        file: its path below the input folder, parts separated by ``/``; its name if it was
            given as a file.
        outputs: format → file to write.
    """

    path: Path
    file: str
    outputs: dict[str, Path]


@dataclass
class Summary:
    """What came of a run.

    Attributes:
        succeeded: number of recordings transcribed.
        errors: one message a failed recording, in input order.
        audio_seconds: length of what was transcribed.
        wall_seconds: time it took, without loading the model.
    """

    succeeded: int = 0
    errors: list[str] = field(default_factory=list)
    audio_seconds: float = 0.0
    wall_seconds: float = 0.0

    def add(self, record: dict) -> None:
        """Count a recording by its line of ``transcripts.jsonl``."""
        if record["status"] == "ok":
            self.succeeded += 1
            self.audio_seconds += record["duration"]
        else:
            self.errors.append(record["error"])

    def __str__(self) -> str:
        speed = self.audio_seconds / self.wall_seconds if self.wall_seconds > 0 else 0.0
        return (
            f"{self.succeeded} files ok, {len(self.errors)} failed; "
            f"{self.audio_seconds / 3600:.2f} h of audio in {self.wall_seconds:.1f} s, "
            f"{speed:.1f} x real time"
        )


def one_line(text: str) -> str:
    """A message without line breaks and control characters, which are shown as escapes."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


# --- finding the recordings -----------------------------------------------------------------


def collect(
    inputs: Sequence[str | Path], output_dir: str | Path, formats: Sequence[str]
) -> list[Job]:
    """Find the recordings and name their outputs, before anything is transcribed.

    A folder is searched with all its folders for names with an audio suffix, in sorted order;
    hidden files and folders (such as the ``._a.wav`` of macOS archives) are left out, links are
    followed, except to a folder that is being searched already. A file is taken whatever its
    name. A recording found twice under one output name is transcribed once.

    Args:
        inputs: audio files and folders.
        output_dir: folder for the outputs; need not exist.
        formats: keys of :data:`speechattn.writers.WRITERS`.

    Raises:
        UsageError: if a format is unknown; if there are no inputs; if an input does not exist, is
            a folder that cannot be searched or holds no audio; if two recordings would be written
            to one output, or an output would replace a recording.
    """
    unknown = [name for name in formats if name not in WRITERS]
    if unknown or not formats:
        what = f"unknown format {unknown[0]!r}" if unknown else "no output format"
        raise UsageError(f"{what}; choose from {', '.join(WRITERS)}")
    if not inputs:
        raise UsageError("no input; give audio files or folders that hold some")
    jobs: dict[str, Job] = {}
    for item in inputs:
        for path, file in _recordings(item):
            target = Path(output_dir, file)
            outputs = {f: target.with_name(target.stem + WRITERS[f].suffix) for f in formats}
            job = Job(path, file, outputs)
            first = jobs.setdefault(os.path.normcase(target.with_name(target.stem)), job)
            if first.path != path and not _same_file(first.path, path):
                raise _usage_error(
                    f"{first.path} and {path} would both be written to {outputs[formats[0]]}; "
                    "rename one or transcribe them into different folders"
                )
    recordings = {os.path.realpath(job.path) for job in jobs.values()}
    for job in jobs.values():
        for output in job.outputs.values():
            if os.path.realpath(output) in recordings:
                raise _usage_error(
                    f"{output}: the output for {job.path} would replace a recording; "
                    "choose another output folder"
                )
    return list(jobs.values())


def _usage_error(message: str) -> UsageError:
    return UsageError(one_line(message))


def _recordings(item: str | Path) -> Iterator[tuple[Path, str]]:
    """The recordings of one input with their relative paths."""
    path = Path(item)
    try:
        os.stat(item)  # not of `path`: Path("") would be the current folder
    except OSError as error:
        message = f"{str(item)!r}: {error.strerror}; check the name of this input"
        raise _usage_error(message) from error
    if not os.path.isdir(path):
        yield path, path.name
        return
    found = False
    for recording in _search(path, ancestors=()):
        found = True
        yield recording, recording.relative_to(path).as_posix()
    if not found:
        suffixes = " ".join(sorted(_audio_suffixes()))
        raise _usage_error(f"{path}: no audio in this folder; looked for names in {suffixes}")


def _search(folder: Path, ancestors: tuple[tuple[int, int], ...]) -> Iterator[Path]:
    """Audio files below a folder, sorted; ``ancestors`` are (device, inode) of those above it."""
    try:
        status = os.stat(folder)
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        message = f"{folder}: cannot be searched ({error.strerror}); check its permissions"
        raise _usage_error(message) from error
    identity = (status.st_dev, status.st_ino)
    if identity in ancestors:  # a link that leads back up
        return
    suffixes = _audio_suffixes()
    for entry in entries:
        if entry.name.startswith("."):
            continue
        path = folder / entry.name
        # The entry knows of a folder that cannot be entered, the path what a link leads to.
        if entry.is_dir(follow_symlinks=False) or os.path.isdir(path):
            yield from _search(path, (*ancestors, identity))
        elif path.suffix.lower() in suffixes:
            # Links that lead nowhere come along and fail by name: nothing is left out unsaid.
            yield path


def _audio_suffixes() -> frozenset[str]:
    # Imported here: it brings audio libraries, which `speechattn --help` does without.
    from speechattn.audio import AUDIO_SUFFIXES

    return AUDIO_SUFFIXES


def _same_file(one: Path, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:  # a link that leads nowhere
        return False


# --- transcribing them ----------------------------------------------------------------------


def transcribe_files(
    jobs: Sequence[Job],
    recognizer: Recognizer,
    output_dir: str | Path,
    *,
    channel: int | None = None,
    progress: bool = False,
) -> Summary:
    """Transcribe recordings one after the other; a failing one does not stop the others.

    Args:
        jobs: from :func:`collect`, with the same ``output_dir``.
        recognizer: with ``transcribe(path, channel=...)`` and ``phones``.
        output_dir: folder for ``transcripts.jsonl``.
        channel: channel to take from recordings with several, from 0; None for their mean.
        progress: show a progress bar on standard error if that is a terminal.

    Raises:
        SpeechattnError: if ``transcripts.jsonl`` cannot be written.
    """
    from tqdm import tqdm

    summary = Summary()
    began = time.perf_counter()
    bar = tqdm(jobs, unit="file", disable=None if progress else True)  # None: off if no terminal
    transcripts = Path(output_dir, TRANSCRIPTS)
    try:
        with growing_text(transcripts) as add, bar:
            for job in bar:
                record = _transcribe_job(job, recognizer, channel)
                add(json.dumps(record, allow_nan=False) + "\n")
                summary.add(record)
    except OSError as error:  # of the list: those of a recording are in its record
        raise SpeechattnError(_cannot_write(transcripts, error)) from error
    summary.wall_seconds = time.perf_counter() - began
    return summary


def _transcribe_job(job: Job, recognizer: Recognizer, channel: int | None) -> dict:
    """Transcribe one recording, write its outputs, return its line of ``transcripts.jsonl``."""
    try:
        _check_regular(job.path)
        transcription = recognizer.transcribe(job.path, channel=channel)
        _write_outputs(job, transcription, recognizer.phones.silence)
    except Exception as error:  # noqa: BLE001 - the other recordings must get their turn
        message = error_message(job.path, error) + _remove_outputs(job)
        return {
            "file": job.file,
            "duration": None,
            "sample_rate": None,
            "status": "error",
            "error": message,
            "phones": [],
        }
    return {
        "file": job.file,
        "duration": float(transcription.duration),
        "sample_rate": int(transcription.sample_rate),
        "status": "ok",
        "error": None,
        "phones": phone_records(transcription),
    }


def _check_regular(path: Path) -> None:
    """Refuse pipes and devices: reading one may never end."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise AudioError(f"{path}: not a regular file; copy the audio into one")


def _write_outputs(job: Job, transcription: Transcription, silence: str) -> None:
    """Write all formats; all texts are made before the first is written."""
    texts = {name: WRITERS[name].render(transcription, job.file, silence) for name in job.outputs}
    for name, text in texts.items():
        path = job.outputs[name]
        try:
            atomic_write_text(path, text)
        except OSError as error:
            raise SpeechattnError(f"{job.path}: {_cannot_write(path, error)}") from error


def _remove_outputs(job: Job) -> str:
    """Remove what an earlier run, or this one, wrote for a job that failed.

    Returns:
        What to add to the error message: nothing, or which file could not be removed.
    """
    for path in job.outputs.values():
        try:
            if path.is_symlink() or path.is_file():
                path.unlink()
        except OSError as error:
            return f"; {one_line(str(path))} is of an earlier run and stays ({error.strerror})"
    return ""


def error_message(path: Path, error: Exception) -> str:
    """One line that says which recording failed and why."""
    if isinstance(error, SpeechattnError):
        message = str(error)
    elif isinstance(error, OSError) and error.strerror:
        way_out = _WAYS_OUT.get(error.errno, "check the file")
        message = f"{error.filename or path}: {error.strerror}; {way_out}"
    elif isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        # The second is PyTorch's, for a GPU.
        message = "not enough memory; split the recording, close other programs or use the CPU"
    else:
        message = f"{type(error).__name__}: {error}"
    message, name = one_line(message), one_line(str(path))
    return message if name in message else f"{name}: {message}"


def _cannot_write(path: Path, error: OSError) -> str:
    way_out = _WAYS_OUT.get(error.errno, "check the output folder")
    return one_line(f"{path}: cannot be written ({error.strerror}); {way_out}")
