"""Several recordings of many at a time: short ones go through the encoder together.

What comes of each is what comes of it alone (:mod:`~speechattn.encoder.varlen`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from speechattn.transcription.inputs import Job
from speechattn.transcription.journal import size_of
from speechattn.transcription.outputs import OutputOptions
from speechattn.transcription.transcriber import steps, transcribe_one, value_of
from speechattn.transcription.workers.handfuls import Several

if TYPE_CHECKING:
    import torch

    from speechattn.inference.recognizer import Recognizer

AT_A_TIME = 16  # recordings; with more a run gains no speed
SMALL_BYTES = 1 << 19  # of a recording that may be short: 16 seconds of WAV at 16 kHz


def is_small(job: Job) -> bool:
    """Whether a recording is likely to be short, by the size of its file."""
    return size_of(job) <= SMALL_BYTES


TOGETHER = Several(AT_A_TIME, is_small)


class Transcriber:
    """Transcribes recordings: the function for tasks that :mod:`speechattn.transcription.workers.worker` knows.

    Args:
        recognizer: that transcribes.
        options: what is written for each recording.
        channel: to take from recordings with several, from 0; None for their mean.
    """

    def __init__(self, recognizer: Recognizer, options: OutputOptions, channel: int | None):
        self._arguments = recognizer, options, channel

    def __call__(self, job: Job, report: Callable[[float], None]) -> dict:
        """One; returns its line of the journal."""
        return transcribe_one(job, *self._arguments, report)

    def several(self, jobs: Sequence[Job], report: Callable[[int, float], None]) -> list[dict]:
        """As :func:`transcribe_several`."""
        return transcribe_several(jobs, *self._arguments, report)


def transcribe_several(
    jobs: Sequence[Job],
    recognizer: Recognizer,
    options: OutputOptions,
    channel: int | None,
    report: Callable[[int, float], None],
) -> list[dict]:
    """Transcribe recordings, of which the short ones go through the encoder together.

    Args:
        jobs: one after the other; all that are short are held in memory.
        recognizer, options, channel: as for :func:`transcribe_one`.
        report: is told of progress within the job of a number.

    Returns:
        Their lines of the journal.
    """
    lines: dict[int, dict] = {}
    frames: dict[int, torch.Tensor] = {}
    begun = [
        steps(
            job, recognizer, options, channel, functools.partial(report, n), recognizer.transcribing
        )
        for n, job in enumerate(jobs)
    ]
    for number, one in enumerate(begun):
        try:
            frames[number] = next(one)
        except StopIteration as end:
            lines[number] = end.value
    for number, (value, error) in _encoded(recognizer, frames).items():
        lines[number] = value_of(begun[number], value, error)
    return [lines[number] for number in range(len(jobs))]


def _encoded(recognizer: Recognizer, frames: dict[int, torch.Tensor]) -> dict[int, tuple]:
    """Log posteriors of recordings or the error of the encoder, by number."""
    try:
        values = recognizer.encode(list(frames.values()))
        return {number: (value, None) for number, value in zip(frames, values)}
    except Exception:  # noqa: BLE001 - of one of them, or of all for lack of memory: one by one
        found = {}
        for number, each in frames.items():
            try:
                found[number] = recognizer.encode([each])[0], None
            except Exception as error:  # noqa: BLE001 - the other recordings must get their turn
                found[number] = None, error
        return found
