"""Recordings as text, in their order, without any file: what ``transcribe`` prints."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from speechattn.errors import RECORDING_ERRORS, UsageError, kind_of
from speechattn.inference.transcription import TranscribeOptions
from speechattn.transcription.formats.registry import WORD_FILES, WRITERS
from speechattn.transcription.inputs import Recording
from speechattn.transcription.journal_lines import (
    death_line,
    error_message,
    failure_line,
    naming,
    success_record,
)
from speechattn.transcription.model_spec import ModelSpec
from speechattn.transcription.progress import ProgressBar
from speechattn.transcription.transcriber import transcribe_only
from speechattn.transcription.workers.pool import InProcessPool, ProcessPool
from speechattn.transcription.workers.worker import WorkerDied

if TYPE_CHECKING:
    from speechattn.inference.recognizer import Recognizer

# Formats that name the recording, so that several can follow each other.
NAMING = ("ctm", "json")


def check_printable(format: str, options: TranscribeOptions, recordings: int) -> None:
    """Check that recordings can be printed in a format.

    Raises:
        UsageError: if their words would need a file of their own, or they could not be told apart.
    """
    if options.words and format in WORD_FILES:
        raise UsageError(
            f"--format {format}: its words are a file of their own; give --output-dir, or choose "
            f"one of {', '.join(name for name in WRITERS if name not in WORD_FILES)}"
        )
    if recordings > 1 and format not in NAMING:
        raise UsageError(
            f"--format {format}: does not name the recording, and there are {recordings}; give "
            f"--output-dir, or choose {' or '.join(NAMING)}"
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
        model: which model.
        options: how each recording is transcribed.
        format: a key of :data:`speechattn.transcription.formats.registry.WRITERS`.
    """

    model: ModelSpec
    options: TranscribeOptions
    format: str

    def __call__(self) -> tuple[Callable[..., Printed], dict[str, Any]]:
        """Return the function for a recording, and the facts of :meth:`ModelSpec.load`."""
        recognizer, facts = self.model.load()
        recognizer.check(self.options)  # refuse now what the model cannot do
        return functools.partial(_printed, recognizer, self.options, self.format), facts


def _printed(
    recognizer: Recognizer,
    options: TranscribeOptions,
    format: str,
    recording: Recording,
    report: Callable[[float], None],
) -> Printed:
    try:
        with naming([recording.path]):
            channels = transcribe_only(recognizer, recording.path, options, report)
            found = channels if options.every_channel else channels[0]
            text = WRITERS[format].render(found, recording.name, recognizer.phones.silence)
    except RECORDING_ERRORS as error:  # the other recordings must get their turn
        message = error_message(recording.path, error)
        return Printed(None, failure_line(recording, message, kind_of(error), None)["record"])
    record = success_record(recording, found)
    return Printed(text, {key: record[key] for key in ("file", "status", "duration", "warnings")})


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
