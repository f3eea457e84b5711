"""What a lane of the synthetic corpus does: it makes the utterances that it is asked for, in order.

Standard input has one line of JSON, ``{"folder": ..., "jobs": [...]}``; standard output gets the
version of espeak-ng, then a line for each job. An error a user can act on is the last line.
"""

from __future__ import annotations

import io
import json
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import soundfile

from speechattn.corpora.synth.corpus import Job, Speaker
from speechattn.corpora.synth.espeak import espeak
from speechattn.corpora.synth.espeak_phones import PhonemeTable
from speechattn.corpora.synth.render import render
from speechattn.errors import CorpusError, SpeechattnError
from speechattn.timing import SAMPLE_RATE, SHIFT_SAMPLES


def work() -> None:
    """Read a request from standard input and answer it on standard output."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the caller, who stops the lanes
    request = json.loads(sys.stdin.buffer.readline())
    jobs = [_job(values) for values in request["jobs"]]
    try:
        for answer in _answers(Path(request["folder"]), jobs):
            _say(answer)
    except SpeechattnError as error:
        _say({"error": type(error).__name__, "message": str(error)})


def _say(answer: dict) -> None:
    sys.stdout.buffer.write(json.dumps(answer).encode("ascii") + b"\n")
    sys.stdout.buffer.flush()


def _job(values: dict) -> Job:
    """The inverse of :func:`dataclasses.asdict` and JSON."""
    return Job(**{**values, "speaker": Speaker(**values["speaker"]), "seed": tuple(values["seed"])})


def _answers(folder: Path, jobs: Sequence[Job]) -> Iterator[dict]:
    table = PhonemeTable()
    yield {"version": espeak().version}
    for job in jobs:
        samples, phones = render(job, table)
        path = f"audio/{job.speaker.id}/{job.id}.flac"
        _write_flac(folder / path, samples)
        yield {"path": path, "frames": len(samples) // SHIFT_SAMPLES, "phones": phones}


def _write_flac(path: Path, samples: np.ndarray) -> None:
    """Write int16 samples at 16 kHz, shape (samples,).

    Raises:
        CorpusError: if it cannot be written.
    """
    flac = io.BytesIO()  # libsndfile may cut a file on a full disk short and not say so
    soundfile.write(flac, samples, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(flac.getvalue())
    except OSError as error:
        raise CorpusError(
            f"{path}: cannot be written ({error.strerror}); free the disk or use another folder"
        ) from None
