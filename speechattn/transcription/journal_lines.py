"""The line of the journal of a recording: what was found, or why it failed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speechattn.errors import (
    CRASH,
    RECORDING_ERRORS,
    WAYS_OUT,
    InternalError,
    SpeechattnError,
)
from speechattn.files import temporary_path
from speechattn.inference.transcription import by_channel
from speechattn.segments import rounded
from speechattn.text import one_line
from speechattn.transcription.formats.tables import phone_records, word_records
from speechattn.transcription.inputs import Recording, input_state
from speechattn.transcription.remote import Remote
from speechattn.transcription.workers.worker import WorkerDied

if TYPE_CHECKING:
    from speechattn.inference.transcription import Transcription


def success_record(
    recording: Recording, found: Transcription | Sequence[Transcription]
) -> dict[str, Any]:
    """Return the line of ``transcripts.jsonl`` of a recording that was transcribed.

    Args:
        recording: that was transcribed.
        found: its transcription, or that of each channel; then ``channels`` stands instead of
            ``phones``.
    """
    channels = found if isinstance(found, Sequence) else [found]
    first = channels[0]
    record: dict[str, Any] = {
        "file": recording.file,
        "duration": rounded(first.duration),
        "sample_rate": int(first.sample_rate),
        "status": "ok",
        "error": None,
        "kind": None,
        "warnings": by_channel([_warnings(one, recording) for one in channels]),
    }
    if isinstance(found, Sequence):
        parts = [{"channel": one.channel, **_contents(one)} for one in found]
        return {**record, "channels": parts}
    return {**record, **_contents(found)}


def _warnings(found: Transcription, recording: Recording) -> Sequence[str]:
    """The warnings of one channel, but for those that mean nothing for such a recording."""
    unsaid = recording.path.unsaid if isinstance(recording.path, Remote) else None
    return [one for one in found.warnings if unsaid is None or not unsaid.search(one)]


def _contents(found: Transcription) -> dict[str, Any]:
    """The words, where there are some to be given, and the phones of one channel.

    Of several speakers, those of each are in the list ``speakers``.
    """
    words = {} if found.words is None else {"words": word_records(found)}
    assumed = {"assumed": dict(found.assumed)} if found.assumed else {}
    if found.speakers:
        speakers = [{"speaker": one.speaker, **_contents(one)} for one in found.speakers]
        return {**assumed, **found.more, "speakers": speakers}
    return {**assumed, **found.more, **words, "phones": phone_records(found)}


def failure_line(
    recording: Recording, message: str, kind: str, state: tuple[int, int] | None
) -> dict[str, Any]:
    """Return the journal's line of a recording that failed, and remove any outputs of it.

    Args:
        recording: that failed.
        message: why, one line.
        kind: kind of failure, one of :mod:`speechattn.errors`.
        state: from :func:`~speechattn.transcription.inputs.input_state`.
    """
    record: dict[str, Any] = {
        "file": recording.file,
        "duration": None,
        "sample_rate": None,
        "status": "error",
        "error": message + _remove_outputs(recording),
        "kind": kind,
        "warnings": [],
        "phones": [],
    }
    return journal_line(recording, state, None, record)


def journal_line(
    recording: Recording,
    state: tuple[int, int] | None,
    outputs: dict[str, tuple[int, int]] | None,
    record: dict[str, Any],
) -> dict[str, Any]:
    """Return the journal's line of a recording.

    Args:
        recording: that is done.
        state: from :func:`~speechattn.transcription.inputs.input_state`.
        outputs: from :func:`~speechattn.transcription.journal.output_state`, by kind; None if
            it failed.
        record: its line of ``transcripts.jsonl``.
    """
    line = {"file": recording.file, "input": state, "outputs": outputs, "record": record}
    if isinstance(recording.path, Path):
        line["path"] = os.path.abspath(recording.path)  # noqa: PTH100 - links stay
    return {**line, "key": recording.key} if recording.key else line


def death_line(recording: Recording, died: WorkerDied) -> dict[str, Any]:
    """Return the journal's line of a recording whose process died."""
    discard_temporaries(recording)
    message, state = death_message(recording.path, died), input_state(recording.path)
    return failure_line(recording, message, CRASH, state)


def death_message(path: Path | Remote, died: WorkerDied) -> str:
    """Return one line that says which recording's process died, and how."""
    name = one_line(str(path))
    return f"{name}: {died.reason}; free memory, use fewer workers or convert the recording"


def discard_temporaries(recording: Recording) -> None:
    """Remove temporary files of a killed process; no other process may be writing the outputs."""
    for path in recording.outputs.values():
        with contextlib.suppress(OSError):
            temporary_path(path).unlink()


def _remove_outputs(recording: Recording) -> str:
    """Remove what an earlier run, or this one, wrote for a recording that failed.

    Returns:
        Addition to the error message: nothing, or which file could not be removed.
    """
    for path in recording.outputs.values():
        try:
            if path.is_symlink() or path.is_file():
                path.unlink()
        except OSError as error:
            return f"; {one_line(str(path))} is of an earlier run and stays ({error.strerror})"
    return ""


def error_message(path: Path | Remote, error: Exception) -> str:
    """Return one line that says which recording failed and why."""
    if isinstance(error, SpeechattnError):
        message = str(error)
    elif isinstance(error, OSError) and error.strerror:
        way_out = WAYS_OUT.get(error.errno or 0, "check the file")
        message = f"{error.filename or path}: {error.strerror}; {way_out}"
    elif isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        # OutOfMemoryError is PyTorch's, for a GPU.
        message = "not enough memory; split the recording, close other programs or use the CPU"
    else:
        message = f"{type(error).__name__}: {error}"
    message, name = one_line(message), one_line(str(path))
    return message if name in message else f"{name}: {message}"


@contextlib.contextmanager
def naming(paths: Sequence[Path | Remote]) -> Iterator[None]:
    """Let errors of recordings pass; name the recordings in any other error of the block.

    Args:
        paths: of the recordings that are worked on together, at least one.

    Raises:
        InternalError: in place of an error that is none of ``RECORDING_ERRORS``.
    """
    try:
        yield
    except RECORDING_ERRORS:
        raise
    except Exception as error:
        first, more = one_line(str(paths[0])), len(paths) - 1
        name = f"{first} and {more} more" if more else first
        raise InternalError(
            f"{name}: {type(error).__name__}: {one_line(str(error))}; this is a mistake in "
            "speechattn, please report it with the lines above"
        ) from error
