"""What the outputs of a recording call it, and where it lies as seen from them."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from speechattn.inference.transcription import Transcription


class RecordingName(str):
    """The path of a recording below its input, as text, with what outputs say about it.

    Args:
        file: relative path with its suffix, parts separated by ``/``.
        keep_suffix: whether the suffix is part of the utterance's name.
        media: path of the recording from the folder of its outputs, parts separated by ``/``; None
            for a recording that lies beside them, or that has none.

    Attributes:
        utterance: name in tables and Kaldi archives: ``a/b`` for ``a/b.wav``.
        media: as given, or the recording's name.
    """

    utterance: str
    media: str

    def __new__(
        cls, file: str, *, keep_suffix: bool = False, media: str | None = None
    ) -> RecordingName:
        """Make the text and its attributes."""
        name = super().__new__(cls, file)
        name.utterance = str(file) if keep_suffix else _without_suffix(file)
        name.media = media or PurePosixPath(file).name
        return name


def named(file: str) -> RecordingName:
    """Return the name of a recording, which may be plain text."""
    return file if isinstance(file, RecordingName) else RecordingName(file)


def utterance_name(file: str) -> str:
    """Return the recording's relative path without its suffix: ``a/b.wav`` → ``a/b``."""
    return named(file).utterance


def _without_suffix(file: str) -> str:
    path = PurePosixPath(file)
    return os.fspath(path.parent / path.stem)


def media_path(recording: Path, folder: Path) -> str | None:
    """Return the path of a recording from a folder of outputs; None if no such path exists.

    The folder's links are resolved first: ``..`` leads above the folder itself, not above a link.
    """
    try:
        return Path(os.path.relpath(recording, os.path.realpath(folder))).as_posix()
    except ValueError:  # another drive of Windows
        return None


def voice(one: Transcription) -> str:
    """Return the name of the speaker or channel of one of several transcriptions."""
    return one.speaker or f"channel {one.channel}"


def track(one: Transcription) -> str:
    """Return what stands before a line of a speaker or channel: its name or number."""
    return one.speaker or str(one.channel)
