"""Write a transcription or an alignment from Python, in any of the output formats."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from speechattn.errors import UsageError
from speechattn.transcription.formats.names import RecordingName, media_path
from speechattn.transcription.formats.registry import (
    NEED_WORDS,
    WORD_FILES,
    WRITERS,
    check_channels,
    word_kind,
)
from speechattn.transcription.outputs import RecordingOutputs

if TYPE_CHECKING:
    from speechattn.inference.transcription import Transcription

SILENCE = "SIL"  # of the models that come with the package
# By suffix. Several have some of them: the first counts, and for .txt the words.
FORMATS = {w.suffix.lower(): kind for kind, w in reversed(WRITERS.items())} | {".txt": "txt"}


def write_transcription(
    transcription: Transcription | Sequence[Transcription],
    path: str | Path,
    *,
    audio: str | Path | None = None,
    format: str | None = None,
    silence: str = SILENCE,
) -> list[Path]:
    """Write a transcription, or that of an alignment, to a file; whole or not at all.

    Args:
        transcription: from :meth:`Recognizer.transcribe` or :meth:`Aligner.align`; a list of them
            for the channels of a recording.
        path: file to write; replaced if it is there. Folders that are missing are made.
        audio: the recording, which JSON, CTM and ELAN name; None for the file that was transcribed
            (:attr:`Transcription.path`), or, of samples in memory, for the name of ``path``.
        format: ``"textgrid"``, ``"ctm"``, ``"json"`` and so on, as ``speechattn transcribe
            --format`` has them; None for the one that the suffix of ``path`` tells.
        silence: silence label of the phone set, which is an empty label in a TextGrid.

    Returns:
        The files written: ``path`` and, for CTM, Audacity and HTK labels with words, one more,
        such as ``a.words.ctm``.

    Raises:
        UsageError: if there is no transcription in the list, or the format is unknown, holds words
            and there are none, or holds one channel and there are several.
        SpeechattnError: if a file cannot be written.
    """
    path = Path(path)
    if isinstance(transcription, Sequence) and not transcription:
        raise UsageError(f"{path}: an empty list; give the transcription of at least one channel")
    first = transcription[0] if isinstance(transcription, Sequence) else transcription
    voices = first.speakers or [first]
    with_words = any(each.words is not None for each in voices)
    kind = _format_of(path) if format is None else format
    if kind not in WRITERS:
        raise UsageError(f"unknown format {kind!r}; choose from {', '.join(WRITERS)}")
    if kind in NEED_WORDS and not with_words:
        raise UsageError(f"{path}: format {kind} holds words, and there are none; ask for words")
    if isinstance(transcription, Sequence) or len(voices) > 1:
        check_channels([kind])
    paths = {kind: path}
    if with_words and kind in WORD_FILES:
        paths[word_kind(kind)] = path.with_name(path.stem + WORD_FILES[kind].suffix)
    with RecordingOutputs(paths, _name_of(audio or first.path, path), silence) as outputs:
        outputs.write(transcription)
    return list(paths.values())


def _name_of(audio: str | Path | None, path: Path) -> RecordingName:
    """Return what an output calls the recording; its own name where there is no file of it."""
    if audio is None:
        return RecordingName(path.name)
    recording = Path(audio)
    return RecordingName(recording.name, media=media_path(recording, path.parent))


def _format_of(path: Path) -> str:
    """Return the format that the suffix of a file tells."""
    if path.suffix.lower() not in FORMATS:
        raise UsageError(
            f"{path}: no format has the suffix {path.suffix!r}; give one of "
            f"{', '.join(WRITERS)} as format"
        )
    return FORMATS[path.suffix.lower()]
