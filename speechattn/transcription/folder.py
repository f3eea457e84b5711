"""All recordings of a folder in Python, one result after the other."""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from speechattn.checks import as_int
from speechattn.errors import CRASH, RECORDING_ERRORS, UsageError, kind_of
from speechattn.files import path_list
from speechattn.inference.transcription import TranscribeOptions, by_channel
from speechattn.options import DEFAULT_MODEL
from speechattn.process import environment
from speechattn.transcription.inputs import find_recordings, left_out_message
from speechattn.transcription.journal_lines import death_message, error_message, naming
from speechattn.transcription.model_spec import ModelSpec
from speechattn.transcription.remote import Remote
from speechattn.transcription.transcriber import transcribe_only
from speechattn.transcription.workers.pool import InProcessPool, ProcessPool
from speechattn.transcription.workers.worker import WorkerDied

if TYPE_CHECKING:
    from speechattn.inference.recognizer import Recognizer
    from speechattn.inference.transcription import Transcription


@dataclass(frozen=True)
class FolderResult:
    """The result of one recording of a folder.

    Attributes:
        path: of the recording; behind a URL, an object that stands for it.
        file: its path below the folder, parts separated by ``/``.
        transcription: None if it failed, and with ``channel="all"``.
        channels: with ``channel="all"``, the transcription of each channel.
        error: one line that says why it failed, or None.
        kind: kind of failure, one of :mod:`speechattn.errors`, or None.
        warnings: what is unusual about it; see :mod:`speechattn.audio.quality`.
    """

    path: Path | Remote
    file: str
    transcription: Transcription | None
    error: str | None = None
    kind: str | None = None
    warnings: tuple[str, ...] = ()
    channels: tuple[Transcription, ...] = ()


def transcribe_folder(
    inputs: str | Path | Sequence[str | Path],
    *,
    model: str | Path = DEFAULT_MODEL,
    device: str = "auto",
    workers: int = 1,
    threads: int = 1,
    channel: int | Literal["all"] | None = None,
    posteriors: bool = False,
    labels: str = "arpabet",
    alternatives: int = 0,
    precision: str = "fp32",
    window: tuple[int, int] | None = None,
    lm_scale: float | None = None,
    reading: str = "words",
    words: bool = False,
    forms: str = "heard",
) -> Iterator[FolderResult]:
    """Transcribe all recordings of a folder; a failing one does not stop the others.

    Nothing is written. Memory does not grow with the number of recordings: work waits until
    earlier results have been taken.

    Args:
        inputs: a folder, which is searched with all its folders, or several files and folders.
            Recordings in it of kinds that are not read are named in a Python warning.
        model: name or folder.
        device: as for :func:`speechattn.load_model`.
        workers: number of processes; with 1 it is this one. The results are the same.
        threads: number that each process computes with on a CPU; 0 for as many as there are
            cores. The last
            digits of the results may depend on it. With one worker it is set for this process.
        channel: which channel to take, from 0; None for the mean of all; ``"all"`` for each by
            itself.
        posteriors: whether to return the frame posteriors as well.
        labels: ``"arpabet"`` or ``"ipa"``.
        alternatives: how many other phones to give with each.
        precision: as for :func:`speechattn.load_model`.
        window: as for :func:`speechattn.load_model`.
        lm_scale: as for :func:`speechattn.load_model`.
        reading: as for :func:`speechattn.load_model`.
        words: whether to give the words as well.
        forms: ``"heard"`` or ``"dictionary"``, as for :meth:`speechattn.Recognizer.transcribe`.

    Yields:
        A result for each recording, in sorted order.

    Raises:
        UsageError: if an input is missing or holds no audio, or ``workers``, ``threads``,
            ``channel``, ``labels`` or ``alternatives`` are out of range.
        SpeechattnError: if there is no such model, or no worker can start.
    """
    options = TranscribeOptions(channel, posteriors, labels, alternatives, words, forms)
    try:
        workers, threads = as_int("workers", workers, 1), as_int("threads", threads)
    except ValueError as error:
        raise UsageError(str(error)) from None
    listed = [os.fsdecode(each) for each in path_list(inputs)]
    left_out: list[str] = []
    recordings = list(find_recordings(listed, left_out))
    if left_out:
        warnings.warn(left_out_message(left_out), stacklevel=2)
    chosen = ModelSpec(str(model), device, threads, precision, window, lm_scale, reading)
    spec = FolderSpec(chosen, options)
    workers = min(workers, len(recordings))
    pool: InProcessPool | ProcessPool = InProcessPool(spec)
    if workers > 1:
        pool = ProcessPool(spec, workers, environment(threads))
    return _results(pool, recordings)


def _results(
    pool: InProcessPool | ProcessPool, recordings: list[tuple[Path | Remote, str]]
) -> Iterator[FolderResult]:
    with pool:
        for number, result in pool.run(recordings, ordered=True):
            if isinstance(result, WorkerDied):
                path, file = recordings[number]
                message = death_message(path, result)
                yield FolderResult(path, file, None, message, CRASH)
            else:
                yield result


@dataclass(frozen=True)
class FolderSpec:
    """What a process needs to transcribe recordings of a folder; calling it loads the model.

    Attributes:
        model: which model.
        options: how each recording is transcribed.
    """

    model: ModelSpec
    options: TranscribeOptions

    def __call__(self) -> tuple[Callable, dict[str, Any]]:
        """Return the function for a recording, and the facts of :meth:`ModelSpec.load`."""
        recognizer, facts = self.model.load(to_decode=True)
        recognizer.check(self.options)  # refuse now what the model cannot do
        return functools.partial(_transcribe, recognizer, self.options), facts


def _transcribe(
    recognizer: Recognizer,
    options: TranscribeOptions,
    recording: tuple[Path | Remote, str],
    report: Callable[[float], None],
) -> FolderResult:
    path, file = recording
    try:
        with naming([path]):
            found = transcribe_only(recognizer, path, options, report)
    except RECORDING_ERRORS as error:
        return FolderResult(path, file, None, error_message(path, error), kind_of(error))
    warnings = tuple(by_channel([one.warnings for one in found]))
    if options.every_channel:
        return FolderResult(path, file, None, warnings=warnings, channels=tuple(found))
    return FolderResult(path, file, found[0], warnings=warnings)
