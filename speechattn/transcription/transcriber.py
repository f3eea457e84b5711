"""One recording of many: transcribed, its files written, and whatever goes wrong put into words.

Several recordings of many at a time: short ones go through the encoder together.

What comes of each is what comes of it alone (:mod:`~speechattn.encoder.varlen`).
"""

from __future__ import annotations

import contextlib
import functools
import os
import stat
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speechattn.errors import CHANGED, AudioError, kind_of
from speechattn.process import environment
from speechattn.text import one_line
from speechattn.transcription.inputs import Recording, input_state, size_of
from speechattn.transcription.journal import (
    _record_of,
    discard_temporaries,
    error_message,
    failure_line,
    output_state,
)
from speechattn.transcription.outputs import OutputOptions, RecordingOutputs
from speechattn.transcription.remote import Remote
from speechattn.transcription.workers.pool import Grouping

if TYPE_CHECKING:
    import numpy as np
    import torch

    from speechattn.inference.recognizer import Recognizer, Transcription


NO_LONGER_THE_SAME = "changed while it was read; run again when it is complete"


AT_A_TIME = 16  # recordings; with more a run gains no speed
SHORT_BYTES = 1 << 19  # of a recording that may be short: 16 seconds of WAV at 16 kHz


LOW_CONFIDENCE = 0.5  # mean over a recording's phones; that of the shared corpora is above


@dataclass(frozen=True)
class TranscriberSpec:
    """What a process needs to transcribe recordings; called, it loads the model.

    Attributes:
        model: name or folder.
        device: as for :func:`speechattn.load_model`.
        threads: that the encoder computes with on a CPU; 0 leaves it to PyTorch. Sums of many
            numbers, and so the last bits of what comes out, may depend on it.
        options: what is written for each recording.
        channel: to take from recordings with several, from 0; None for their mean.
        precision, window, lm_scale: as for :func:`speechattn.load_model`.
    """

    model: str
    device: str
    threads: int
    options: OutputOptions
    channel: int | None = None
    precision: str = "fp32"
    window: tuple[int, int] | None = None
    lm_scale: float | None = None

    def __call__(self) -> tuple[Callable[[Recording, Callable[[float], None]], dict], dict]:
        """The function for a :class:`~speechattn.transcription.inputs.Recording`, and what there is to know of it."""
        pass

        recognizer, facts = load(
            self.model,
            self.device,
            self.threads,
            precision=self.precision,
            window=self.window,
            lm_scale=self.lm_scale,
        )
        recognizer.phones.labels(self.options.labels)  # a model without them is refused now
        return Transcriber(recognizer, self.options, self.channel), facts


def load(model: str, device: str, threads: int, **options) -> tuple[Recognizer, dict]:
    """Load a model into this process, with the number of threads that it is to compute with.

    Args:
        model, device, options: as for :func:`speechattn.load_model`.
        threads: 0 leaves them to PyTorch.

    Returns:
        The model, and what it computes on and in (``device``, ``precision``).
    """
    if "numpy" not in sys.modules:  # later it is of no use
        os.environ.update(environment(threads))
    if threads:
        import torch

        torch.set_num_threads(threads)
    from speechattn.inference.recognizer import load_model

    recognizer = load_model(model, device=device, **options)
    return recognizer, {"device": str(recognizer.device), "precision": recognizer.precision}


def transcribe_one(
    job: Recording,
    recognizer: Recognizer,
    options: OutputOptions,
    channel: int | None,
    report: Callable[[float], None],
) -> dict:
    """Transcribe a recording and write its files, or say why not.

    Returns:
        Its line of the journal; see :mod:`~speechattn.transcription.journal`.
    """
    return value_of(steps(job, recognizer, options, channel, report, _at_once(recognizer)))


def value_of(generator: Generator, sent: Any = None, error: Exception | None = None) -> Any:
    """What a generator returns at its next step, to which a value or an error is sent."""
    try:
        generator.send(sent) if error is None else generator.throw(error)
    except StopIteration as end:
        return end.value
    raise AssertionError("the encoder is asked once")


def steps(
    job: Recording,
    recognizer: Recognizer,
    options: OutputOptions,
    channel: int | None,
    report: Callable[[float], None],
    transcribing: Callable[..., Generator],
) -> Generator[torch.Tensor, np.ndarray, dict]:
    """:func:`transcribe_one`, interrupted where ``transcribing`` wants the encoder."""
    discard_temporaries(job)
    before = input_state(job.path)
    try:
        with RecordingOutputs(job.outputs, job.file, recognizer.phones.silence) as outputs:
            transcription, warnings = yield from _listening(
                transcribing,
                recognizer.phones.silence,
                job.path,
                report,
                channel=channel,
                posteriors=False,
                labels=options.labels,
                alternatives=options.alternatives,
                on_posteriors=outputs.on_posteriors,
            )
            if input_state(job.path) != before:
                raise AudioError(f"{job.path}: {NO_LONGER_THE_SAME}", CHANGED)
            outputs.write(transcription)
        states = {kind: output_state(path) for kind, path in job.outputs.items()}
        record = _record_of(job, transcription, warnings)
    except Exception as error:  # noqa: BLE001 - the other recordings must get their turn
        return failure_line(job, error_message(job.path, error), kind_of(error), before)
    return {"file": job.file, "input": before, "outputs": states, "record": record}


def listen(
    recognizer: Recognizer, path: Path | Remote, report: Callable[[float], None], **options
) -> tuple[Transcription, list[str]]:
    """Transcribe a recording; returns what was heard, and what is odd about it.

    Args:
        recognizer: that transcribes.
        path: of the recording.
        report: is told how much has been read, from 0 to 1.
        options: of :meth:`speechattn.inference.recognizer.Recognizer.transcribe`, ``channel`` among them.

    Raises:
        AudioError: if the recording is no regular file, or cannot be read or trusted.
        OSError: if there is nothing.
    """
    silence = recognizer.phones.silence
    return value_of(_listening(_at_once(recognizer), silence, path, report, **options))


def _at_once(recognizer: Recognizer) -> Callable[..., Generator]:
    def transcribing(*arguments, **options):
        return recognizer.transcribe(*arguments, **options)
        yield

    return transcribing


def _listening(
    transcribing: Callable[..., Generator],
    silence: str,
    path: Path | Remote,
    report: Callable[[float], None],
    **options,
) -> Generator[torch.Tensor, np.ndarray, tuple[Transcription, list[str]]]:
    """:func:`listen`, interrupted where ``transcribing`` wants the encoder."""
    from speechattn.audio.quality import QualityMonitor

    suspicions = QualityMonitor(options["channel"], report)
    with _here(path) as local:
        check_regular(local)
        found = yield from transcribing(local, on_samples=suspicions.add, **options)
    return found, suspicions.found() + low_confidence(found, silence)


@contextlib.contextmanager
def _here(path: Path | Remote) -> Iterator[Path]:
    """A recording on this machine; errors in the block call it by its own name."""
    if not isinstance(path, Remote):
        yield path
        return
    with path.copied() as copy:
        try:
            yield copy
        except AudioError as error:
            message = str(error).replace(one_line(copy), one_line(str(path)))
            raise AudioError(message, error.kind) from None


def check_regular(path: Path) -> None:
    """Refuse pipes and devices: reading one may never end.

    Raises:
        AudioError: if it is one.
        OSError: if there is nothing.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise AudioError(f"{path}: not a regular file; copy the audio into one")


def is_short(job: Recording) -> bool:
    """Whether a recording is likely to be short, by the size of its file."""
    return size_of(job) <= SHORT_BYTES


GROUPING = Grouping(AT_A_TIME, is_short)


class Transcriber:
    """Transcribes recordings: the function for tasks that :mod:`speechattn.transcription.workers.worker` knows.

    Args:
        recognizer: that transcribes.
        options: what is written for each recording.
        channel: to take from recordings with several, from 0; None for their mean.
    """

    def __init__(self, recognizer: Recognizer, options: OutputOptions, channel: int | None):
        self._arguments = recognizer, options, channel

    def __call__(self, job: Recording, report: Callable[[float], None]) -> dict:
        """One; returns its line of the journal."""
        return transcribe_one(job, *self._arguments, report)

    def several(
        self, jobs: Sequence[Recording], report: Callable[[int, float], None]
    ) -> list[dict]:
        """As :func:`transcribe_several`."""
        return transcribe_short(jobs, *self._arguments, report)


def transcribe_short(
    jobs: Sequence[Recording],
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


def low_confidence(transcription: Transcription, silence: str) -> list[str]:
    """The warning that a recognizer is unsure of all of a recording, or none.

    Args:
        transcription: with confidences.
        silence: label that does not count.
    """
    phones = [phone for phone in transcription.phones if phone.label != silence]
    seconds = sum(phone.end - phone.start for phone in phones)
    if not seconds:
        return []
    mean = sum((phone.end - phone.start) * phone.confidence for phone in phones) / seconds
    if mean >= LOW_CONFIDENCE:
        return []
    return [f"low confidence: {mean:.2f} on average; is this clear speech in the model's language?"]
