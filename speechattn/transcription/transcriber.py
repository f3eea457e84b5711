"""Transcribe recordings of a batch: their files, their lines of the journal, what went wrong.

Short recordings go through the encoder together. The results are those of each alone
(:mod:`~speechattn.encoder.varlen`).
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from speechattn.errors import CHANGED, RECORDING_ERRORS, AudioError, kind_of
from speechattn.inference.transcription import TranscribeOptions
from speechattn.text import one_line
from speechattn.transcription.inputs import Recording, input_state, size_of
from speechattn.transcription.journal import output_state
from speechattn.transcription.journal_lines import (
    discard_temporaries,
    error_message,
    failure_line,
    journal_line,
    naming,
    success_record,
)
from speechattn.transcription.model_spec import ModelSpec
from speechattn.transcription.outputs import OutputOptions, RecordingOutputs
from speechattn.transcription.remote import Remote
from speechattn.transcription.workers.grouping import Grouping

if TYPE_CHECKING:
    import numpy as np

    from speechattn.inference.reading import OnPosteriors
    from speechattn.inference.recognizer import Recognizer
    from speechattn.inference.transcription import Prepared, Transcription

NO_LONGER_THE_SAME = "changed while it was read; run again when it is complete"
AT_A_TIME = 16  # recordings that are encoded together; more bring no further speed
SHORT_BYTES = 1 << 19  # of a recording that may be short: 16 seconds of WAV at 16 kHz


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
        recognizer, facts = self.model.load(to_decode=True)
        # Refuse now what the model cannot do.
        recognizer.check(self.options, posteriors=bool(self.outputs.posteriors))
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

        Raises:
            InternalError: for a mistake in this program, with the names of the recordings.
        """
        tasks = [_Task(self, one, report, index) for index, one in enumerate(recordings)]
        for task in tasks:
            task.prepare()
        short = [each.path for each, task in zip(recordings, tasks) if task.frames]
        with naming(short):
            encoded = iter(self._encode([frames for task in tasks for frames in task.frames]))
        for task in tasks:
            if task.frames:
                task.finish(list(itertools.islice(encoded, len(task.frames))))
        return [task.line for task in tasks]

    def alone(
        self, recording: Recording, report: Callable[[float], None]
    ) -> Transcription | list[Transcription]:
        """Return what would be written about a recording, or each of its channels; write nothing.

        Args:
            recording: needs no outputs.
            report: called with the share that has been read, from 0 to 1.

        Raises:
            AudioError: if the recording is no regular file, or cannot be read or trusted.
            OSError: if it does not exist.
        """
        from speechattn.inference.reading import PassMonitor, prepare_each

        recognizer, monitor, found = self.recognizer, PassMonitor(report), []
        with local_file(recording.path) as path:
            self.check(recording)
            for prepared in prepare_each(recognizer, path, self.options, monitor):
                posteriors = recognizer.encode_short(prepared)
                one = self.finish(recording, prepared, posteriors, None)
                found.append(monitor.warned(one, recognizer.phones.silence))
        return found if self.options.every_channel else found[0]

    def check(self, recording: Recording) -> None:
        """Refuse a recording before it is read, by an exception; here none is refused."""

    def finish(
        self,
        recording: Recording,
        prepared: Prepared,
        log_posteriors: np.ndarray | None,
        on_posteriors: OnPosteriors | None,
    ) -> Transcription:
        """Return what is written about a recording that was read; see ``finish`` of the recognizer.

        Args:
            recording: the task.
            prepared: the same, as it was read.
            log_posteriors: shape (frames, phones); None for a long recording.
            on_posteriors: called with the posteriors of every block.
        """
        return self.recognizer.finish(prepared, log_posteriors, on_posteriors)

    def _encode(self, frames: list[np.ndarray]) -> Sequence[np.ndarray | Exception]:
        """Return the log posteriors of each recording, or the error that the encoder gave."""
        if len(frames) > 1:
            try:
                return self.recognizer.encode(frames)
            except RECORDING_ERRORS:
                pass  # because of one of them, or of all for lack of memory: try each alone
        return [self._encode_one(each) for each in frames]

    def _encode_one(self, frames: np.ndarray) -> np.ndarray | Exception:
        try:
            return self.recognizer.encode([frames])[0]
        except RECORDING_ERRORS as error:
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
        frames: of a short recording that waits for the encoder: of each channel that is transcribed
            by itself, shape (frames, dimension of the front end).
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
        self._waiting: list[Prepared] = []
        self.line: dict[str, Any] = {}
        self.frames: list[np.ndarray] = []

    def prepare(self) -> None:
        """Read a short recording, which then waits for the encoder; transcribe a long one."""
        from speechattn.inference.reading import PassMonitor, prepare_each

        recording, transcriber = self._recording, self._transcriber
        discard_temporaries(recording)
        self._state = input_state(recording.path)
        self._monitor = PassMonitor(self._report)
        with self._failing(), local_file(recording.path) as path:
            transcriber.check(recording)
            passes = prepare_each(transcriber.recognizer, path, transcriber.options, self._monitor)
            first = next(passes)
            each = itertools.chain([first], passes)
            if first.frames is None:
                self._write((prepared, None) for prepared in each)
                return
            waiting = list(each)
            self.frames = [one.frames for one in waiting if one.frames is not None]
            self._waiting = waiting

    def finish(self, posteriors: Sequence[np.ndarray | Exception]) -> None:
        """Write the files of a short recording.

        Args:
            posteriors: for each of ``frames`` the log posteriors, shape (frames, phones), or the
                error of the encoder.
        """
        with self._failing():
            for one in posteriors:
                if isinstance(one, Exception):
                    raise one
            self._write(zip(self._waiting, cast("Sequence[np.ndarray]", posteriors)))

    def _write(self, passes: Iterable[tuple[Prepared, np.ndarray | None]]) -> None:
        """Decode the passes over a recording and write its files."""
        recording, transcriber = self._recording, self._transcriber
        silence = transcriber.recognizer.phones.silence
        every = transcriber.options.every_channel
        with RecordingOutputs(recording.outputs, recording.name, silence) as outputs:
            found = []
            for number, (prepared, posteriors) in enumerate(passes):
                one = transcriber.finish(recording, prepared, posteriors, outputs.on_posteriors)
                found.append(self._monitor.warned(one, silence, number))
            if input_state(recording.path) != self._state:
                raise AudioError(f"{recording.path}: {NO_LONGER_THE_SAME}", CHANGED)
            outputs.write(found if every else found[0])
        written = {kind: output_state(path) for kind, path in recording.outputs.items()}
        record = success_record(recording, found if every else found[0])
        self.line = journal_line(recording, self._state, written, record)

    @contextlib.contextmanager
    def _failing(self) -> Iterator[None]:
        """Turn an error into the journal's line: the other recordings must get their turn.

        Raises:
            InternalError: for a mistake in this program, with the name of the recording.
        """
        try:
            with naming([self._recording.path]):
                yield
        except RECORDING_ERRORS as error:
            message = error_message(self._recording.path, error)
            self.line = failure_line(self._recording, message, kind_of(error), self._state)


def transcribe_only(
    recognizer: Recognizer,
    path: Path | Remote,
    options: TranscribeOptions,
    report: Callable[[float], None],
) -> list[Transcription]:
    """Transcribe a recording without writing anything.

    Args:
        recognizer: transcribes it.
        path: of the recording.
        options: how it is transcribed.
        report: called with the share that has been read, from 0 to 1.

    Returns:
        The transcription, or that of each channel.

    Raises:
        AudioError: if the recording is no regular file, or cannot be read or trusted.
        OSError: if it does not exist.
    """
    from speechattn.inference.reading import PassMonitor, transcribe_each

    with local_file(path) as local:
        found = transcribe_each(recognizer, local, options, PassMonitor(report))
    # The copy of a remote one is gone.
    return [replace(one, path=None) for one in found] if isinstance(path, Remote) else found


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
