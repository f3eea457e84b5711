"""Recordings as text, in their order, without any file: what ``transcribe`` and ``align`` print."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from speechattn.errors import RECORDING_ERRORS, UsageError, kind_of
from speechattn.transcription.formats.registry import WORD_FILES, WRITERS
from speechattn.transcription.inputs import Recording
from speechattn.transcription.journal_lines import (
    death_line,
    error_message,
    failure_line,
    naming,
    success_record,
)
from speechattn.transcription.model_spec import ModelSpec, TaskSpec
from speechattn.transcription.progress import ProgressBar
from speechattn.transcription.transcriber import Transcriber
from speechattn.transcription.workers.pool import InProcessPool, ProcessPool
from speechattn.transcription.workers.worker import WorkerDied

# Formats that name the recording, so that several can follow each other.
NAMING = ("ctm", "json")
# Of a record, what the text has as well.
_CONTENTS = ("phones", "words", "channels", "speakers")


def check_printable(format: str, recordings: int, *, words: bool) -> None:
    """Check that recordings can be printed in a format.

    Args:
        format: a key of :data:`speechattn.transcription.formats.registry.WRITERS`.
        recordings: their number.
        words: whether their words are printed too.

    Raises:
        UsageError: if their words would need a file of their own, or they could not be told apart.
    """
    able = [name for name in WRITERS if not words or name not in WORD_FILES]
    if format not in able:
        raise UsageError(
            f"--format {format}: its words are a file of their own; give --output-dir, or choose "
            f"one of {', '.join(able)}"
        )
    if recordings > 1 and format not in NAMING:
        raise UsageError(
            f"--format {format}: does not name the recording, and there are {recordings}; give "
            f"--output-dir, or choose {' or '.join(name for name in NAMING if name in able)}"
        )


@dataclass(frozen=True)
class Printed:
    """The text of one recording.

    Attributes:
        text: None if it failed.
        record: its line of ``transcripts.jsonl``, without words and phones.
    """

    text: str | None
    record: dict[str, Any]


@dataclass(frozen=True)
class PrinterSpec:
    """What a process needs to make the texts of recordings; calling it loads the model.

    Attributes:
        model: which model, also for the task.
        task: makes the transcriber, or what aligns.
        format: a key of :data:`speechattn.transcription.formats.registry.WRITERS`.
    """

    model: ModelSpec
    task: TaskSpec
    format: str

    def __call__(self) -> tuple[Callable[..., Printed], dict[str, Any]]:
        """Return the function for a recording, and the facts of :meth:`ModelSpec.load`."""
        transcriber, facts = replace(cast(Any, self.task), model=self.model)()
        return functools.partial(_printed, transcriber, self.format), facts


def _printed(
    transcriber: Transcriber,
    format: str,
    recording: Recording,
    report: Callable[[float], None],
) -> Printed:
    try:
        with naming([recording.path]):
            found = transcriber.alone(recording, report)
            silence = transcriber.recognizer.phones.silence
            text = WRITERS[format].render(found, recording.name, silence)
    except RECORDING_ERRORS as error:  # the other recordings must get their turn
        message = error_message(recording.path, error)
        return Printed(None, failure_line(recording, message, kind_of(error), None)["record"])
    record = success_record(recording, found)
    return Printed(text, {key: record[key] for key in record if key not in _CONTENTS})


def print_all(
    recordings: Sequence[Recording], pool: InProcessPool | ProcessPool, *, progress: bool
) -> Iterator[Printed]:
    """Yield the text of each recording, in their order.

    Args:
        recordings: without outputs.
        pool: of a :class:`PrinterSpec`.
        progress: show progress on standard error.

    Raises:
        SpeechattnError: if the model cannot be loaded, or no worker can start.
    """
    with pool, ProgressBar(recordings, shown=progress) as bar:
        for number, value in pool.run(recordings, bar.within, ordered=True):
            if isinstance(value, WorkerDied):
                value = Printed(None, death_line(recordings[number], value)["record"])
            bar.done(number, value.record["duration"])
            yield value
