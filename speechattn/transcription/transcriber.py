"""One recording of many: transcribed, its files written, and whatever goes wrong put into words."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speechattn.errors import AudioError, SpeechattnError
from speechattn.failures import CHANGED, CRASH, kind_of
from speechattn.files import temporary_path
from speechattn.text import one_line
from speechattn.transcription.formats.tables import phone_records
from speechattn.transcription.inputs import Job
from speechattn.transcription.journal import input_state, output_state
from speechattn.transcription.outputs import WAYS_OUT, OutputOptions, RecordingOutputs
from speechattn.transcription.remote import Remote
from speechattn.transcription.workers.pool import Died

if TYPE_CHECKING:
    import numpy as np
    import torch

    from speechattn.inference.recognizer import Recognizer, Transcription

NO_LONGER_THE_SAME = "changed while it was read; run again when it is complete"


@dataclass(frozen=True)
class Setup:
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

    def __call__(self) -> tuple[Callable[[Job, Callable[[float], None]], dict], dict]:
        """The function for a :class:`~speechattn.transcription.inputs.Job`, and what there is to know of it."""
        from speechattn.transcription.severalfiles import Transcriber

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


def environment(threads: int) -> dict[str, str]:
    """Variables for a process of its own: no library in it computes with more threads."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return dict.fromkeys(names, str(threads)) if threads else {}


def transcribe_one(
    job: Job,
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
    job: Job,
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
    from speechattn.audio.quality import Suspicions, low_confidence

    suspicions = Suspicions(options["channel"], report)
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


def _record_of(job: Job, transcription: Transcription, warnings: list[str]) -> dict:
    return {
        "file": job.file,
        "duration": float(transcription.duration),
        "sample_rate": int(transcription.sample_rate),
        "status": "ok",
        "error": None,
        "kind": None,
        "warnings": warnings,
        "phones": phone_records(transcription),
    }


def failure_line(job: Job, message: str, kind: str, state: tuple[int, int] | None) -> dict:
    """The journal's line of a recording that failed; what there was of its outputs is removed."""
    record = {
        "file": job.file,
        "duration": None,
        "sample_rate": None,
        "status": "error",
        "error": message + _remove_outputs(job),
        "kind": kind,
        "warnings": [],
        "phones": [],
    }
    return {"file": job.file, "input": state, "outputs": None, "record": record}


def death_line(job: Job, died: Died) -> dict:
    """The journal's line of a recording whose process died."""
    discard_temporaries(job)
    return failure_line(job, death_message(job.path, died), CRASH, input_state(job.path))


def death_message(path: Path | Remote, died: Died) -> str:
    """One line that says which recording's process died, and how."""
    return f"{one_line(str(path))}: {died.reason}; free memory, use fewer workers or convert the recording"


def check_regular(path: Path) -> None:
    """Refuse pipes and devices: reading one may never end.

    Raises:
        AudioError: if it is one.
        OSError: if there is nothing.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise AudioError(f"{path}: not a regular file; copy the audio into one")


def discard_temporaries(job: Job) -> None:
    """Remove what a killed process left of the outputs; nobody else may be writing them."""
    for path in job.outputs.values():
        try:
            temporary_path(path).unlink()
        except OSError:
            pass


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


def error_message(path: Path | Remote, error: Exception) -> str:
    """One line that says which recording failed and why."""
    if isinstance(error, SpeechattnError):
        message = str(error)
    elif isinstance(error, OSError) and error.strerror:
        way_out = WAYS_OUT.get(error.errno, "check the file")
        message = f"{error.filename or path}: {error.strerror}; {way_out}"
    elif isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        # The second is PyTorch's, for a GPU.
        message = "not enough memory; split the recording, close other programs or use the CPU"
    else:
        message = f"{type(error).__name__}: {error}"
    message, name = one_line(message), one_line(str(path))
    return message if name in message else f"{name}: {message}"
