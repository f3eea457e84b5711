"""Transcribe recordings of a batch: their files, their lines of the journal, what went wrong.

Short recordings go through the encoder together. The results are those of each alone
(:mod:`~speechattn.encoder.varlen`).
"""

from __future__ import annotations

import contextlib
import functools
import os
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speechattn.errors import CHANGED, AudioError, kind_of
from speechattn.inference.transcription import TranscribeOptions, low_confidence
from speechattn.process import environment
from speechattn.text import one_line
from speechattn.transcription.inputs import Recording, input_state, size_of
from speechattn.transcription.journal import (
    discard_temporaries,
    error_message,
    failure_line,
    output_state,
    success_record,
)
from speechattn.transcription.outputs import OutputOptions, RecordingOutputs
from speechattn.transcription.remote import Remote
from speechattn.transcription.workers.grouping import Grouping

if TYPE_CHECKING:
    import numpy as np
    import torch

    from speechattn.inference.recognizer import Recognizer
    from speechattn.inference.transcription import Prepared, Transcription

NO_LONGER_THE_SAME = "changed while it was read; run again when it is complete"
AT_A_TIME = 16  # recordings that are encoded together; more bring no further speed
SHORT_BYTES = 1 << 19  # of a recording that may be short: 16 seconds of WAV at 16 kHz


@dataclass(frozen=True)
class ModelSpec:
    """Which model a process loads, and how.

    Attributes:
        name: name or folder.
        device: as for :func:`speechattn.load_model`.
        threads: number that the encoder computes with on a CPU; 0 leaves it to PyTorch. The last
            bits of the results may depend on it.
        precision: as for :func:`speechattn.load_model`.
        window: as for :func:`speechattn.load_model`.
        lm_scale: as for :func:`speechattn.load_model`.
    """

    name: str
    device: str = "auto"
    threads: int = 1
    precision: str = "fp32"
    window: tuple[int, int] | None = None
    lm_scale: float | None = None

    def load(self) -> tuple[Recognizer, dict[str, Any]]:
        """Load the model into this process and set its number of threads.

        Returns:
            The model, and what it computes on and in (``device``, ``precision``).
        """
        if "numpy" not in sys.modules:  # NumPy reads the variables when it is imported
            os.environ.update(environment(self.threads))
        if self.threads:
            import torch

            torch.set_num_threads(self.threads)
        from speechattn.inference.recognizer import load_model

        recognizer = load_model(
            self.name,
            device=self.device,
            precision=self.precision,
            window=self.window,
            lm_scale=self.lm_scale,
        )
        return recognizer, {"device": str(recognizer.device), "precision": recognizer.precision}


@dataclass(frozen=True)
class TranscriberSpec:
    """What a process needs to transcribe recordings; calling it loads the model.

    Attributes:
        model: which model.
        outputs: files that are written for each recording.
        options: how each recording is transcribed.
    """

    model: ModelSpec
    outputs: OutputOptions
    options: TranscribeOptions

    def __call__(self) -> tuple[Transcriber, dict[str, Any]]:
        """Return the function for a recording, and the facts of :meth:`ModelSpec.load`."""
        recognizer, facts = self.model.load()
        recognizer.phones.labels(self.options.labels)  # refuse a model without them now
        return Transcriber(recognizer, self.outputs, self.options), facts


class Transcriber:
    """Transcribes recordings: the function for tasks that a worker calls.

    See :mod:`speechattn.transcription.workers.worker`.

    Args:
        recognizer: has the methods ``prepare``, ``encode`` and ``finish``, and ``phones``.
        outputs: files that are written for each recording.
        options: how each recording is transcribed.
    """

    def __init__(
        self, recognizer: Recognizer, outputs: OutputOptions, options: TranscribeOptions
    ) -> None:
        self.recognizer, self.outputs, self.options = recognizer, outputs, options

    def __call__(self, recording: Recording, report: Callable[[float], None]) -> dict[str, Any]:
        """Transcribe one recording; see :meth:`several`."""
        return self.several([recording], lambda _, share: report(share))[0]

    def several(
        self, recordings: Sequence[Recording], report: Callable[[int, float], None]
    ) -> list[dict[str, Any]]:
        """Transcribe recordings and write their files; the short ones are encoded together.

        Args:
            recordings: the frames of all short ones are in memory together.
            report: called with the index of a recording and the share of it that has been read.

        Returns:
            Line of the journal of each, also of those that failed; see
            :mod:`~speechattn.transcription.journal`.
        """
        tasks = [_Task(self, one, report, index) for index, one in enumerate(recordings)]
        waiting: list[tuple[_Task, Prepared]] = []
        frames: list[torch.Tensor] = []
        for task in tasks:
            prepared = task.prepare()
            if prepared is not None and prepared.frames is not None:
                waiting.append((task, prepared))
                frames.append(prepared.frames)
        for (task, prepared), posteriors in zip(waiting, self._encode(frames)):
            task.finish(prepared, posteriors)
        return [task.line for task in tasks]

    def _encode(self, frames: list[torch.Tensor]) -> Sequence[np.ndarray | Exception]:
        """Return the log posteriors of each recording, or the error that the encoder gave."""
        if len(frames) > 1:
            try:
                return self.recognizer.encode(frames)
            except Exception:
                pass  # because of one of them, or of all for lack of memory: try each alone
        return [self._encode_one(each) for each in frames]

    def _encode_one(self, frames: torch.Tensor) -> np.ndarray | Exception:
        try:
            return self.recognizer.encode([frames])[0]
        except Exception as error:
            return error


class _Task:
    """One recording on its way through the recognizer's three steps.

    Args:
        transcriber: owner.
        recording: to transcribe.
        report: as for :meth:`Transcriber.several`.
        index: of the recording, for ``report``.

    Attributes:
        line: of the journal, once the recording is finished.
    """

    def __init__(
        self,
        transcriber: Transcriber,
        recording: Recording,
        report: Callable[[int, float], None],
        index: int,
    ) -> None:
        self._transcriber, self._recording = transcriber, recording
        self._state: tuple[int, int] | None = None
        self._report = functools.partial(report, index)
        self.line: dict[str, Any] = {}

    def prepare(self) -> Prepared | None:
        """Read a short recording and return it; transcribe a long one.

        Returns:
            The recording, if it waits for the encoder.
        """
        from speechattn.audio.quality import QualityMonitor

        recording, options = self._recording, self._transcriber.options
        discard_temporaries(recording)
        self._state = input_state(recording.path)
        self._monitor = QualityMonitor(options.channel, self._report)
        with self._failing(), local_file(recording.path) as path:
            prepared = self._transcriber.recognizer.prepare(
                path, options, on_samples=self._monitor.add
            )
            if prepared.is_short:
                return prepared
            self._write(prepared, None)
        return None

    def finish(self, prepared: Prepared, posteriors: np.ndarray | Exception) -> None:
        """Write the files of a short recording.

        Args:
            prepared: from :meth:`prepare`.
            posteriors: log posteriors, shape (frames, phones), or the error of the encoder.
        """
        with self._failing():
            if isinstance(posteriors, Exception):
                raise posteriors
            self._write(prepared, posteriors)

    def _write(self, prepared: Prepared, posteriors: np.ndarray | None) -> None:
        recording, recognizer = self._recording, self._transcriber.recognizer
        silence = recognizer.phones.silence
        with RecordingOutputs(recording.outputs, recording.file, silence) as outputs:
            transcription = recognizer.finish(prepared, posteriors, outputs.on_posteriors)
            if input_state(recording.path) != self._state:
                raise AudioError(f"{recording.path}: {NO_LONGER_THE_SAME}", CHANGED)
            outputs.write(transcription)
        warnings = self._monitor.warnings() + low_confidence(transcription, silence)
        self.line = {
            "file": recording.file,
            "input": self._state,
            "outputs": {kind: output_state(path) for kind, path in recording.outputs.items()},
            "record": success_record(recording, transcription, warnings),
        }

    @contextlib.contextmanager
    def _failing(self) -> Iterator[None]:
        """Turn an error into the journal's line: the other recordings must get their turn."""
        try:
            yield
        except Exception as error:
            message = error_message(self._recording.path, error)
            self.line = failure_line(self._recording, message, kind_of(error), self._state)


def transcribe_with_warnings(
    recognizer: Recognizer,
    path: Path | Remote,
    options: TranscribeOptions,
    report: Callable[[float], None],
) -> tuple[Transcription, list[str]]:
    """Transcribe a recording without writing anything.

    Args:
        recognizer: transcribes it.
        path: of the recording.
        options: how it is transcribed.
        report: called with the share that has been read, from 0 to 1.

    Returns:
        The transcription, and the warnings about the recording.

    Raises:
        AudioError: if the recording is no regular file, or cannot be read or trusted.
        OSError: if it does not exist.
    """
    from speechattn.audio.quality import QualityMonitor

    monitor = QualityMonitor(options.channel, report)
    with local_file(path) as local:
        prepared = recognizer.prepare(local, options, on_samples=monitor.add)
        transcription = recognizer.finish(prepared, recognizer.encode_short(prepared))
    warnings = monitor.warnings() + low_confidence(transcription, recognizer.phones.silence)
    return replace(transcription, warnings=tuple(warnings)), warnings


@contextlib.contextmanager
def local_file(path: Path | Remote) -> Iterator[Path]:
    """Give the path of a recording on this machine; a remote one is copied for the block.

    Errors in the block name the recording, not the copy.

    Raises:
        AudioError: if it is no regular file.
        OSError: if it does not exist.
    """
    if not isinstance(path, Remote):
        check_regular(path)
        yield path
        return
    with path.copied() as copy:
        try:
            check_regular(copy)
            yield copy
        except AudioError as error:
            message = str(error).replace(one_line(copy), one_line(str(path)))
            raise AudioError(message, error.kind) from None


def check_regular(path: Path) -> None:
    """Refuse pipes and devices: reading one may never end.

    Raises:
        AudioError: if it is one.
        OSError: if it does not exist.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise AudioError(f"{path}: not a regular file; copy the audio into one")


def is_short(recording: Recording) -> bool:
    """Whether a recording is likely to be short, by the size of its file."""
    return size_of(recording) <= SHORT_BYTES


GROUPING = Grouping(AT_A_TIME, is_short)
