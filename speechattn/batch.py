"""Many recordings: transcribe one after the other, say which failed and why.

What a run leaves in its output folder:

- For every recording that went well, one file a format, named as :mod:`~speechattn.inputs` says.
  Files that are there already are replaced.
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
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from speechattn.atomic import atomic_write_text, growing_text
from speechattn.errors import AudioError, SpeechattnError
from speechattn.inputs import Job
from speechattn.text import one_line
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
        jobs: from :func:`speechattn.inputs.collect`, with the same ``output_dir``.
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
        transcription = recognizer.transcribe(job.path, channel=channel, posteriors=False)
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
