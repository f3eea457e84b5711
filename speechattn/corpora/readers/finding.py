"""Files of a corpus, found by name in either case, and tiers of words and phones."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from speechattn.audio.load import AUDIO_SUFFIXES
from speechattn.corpora.readers.textgrid import Interval, TextGrid, read_textgrid
from speechattn.errors import CorpusError


def files_under(folder: Path, *suffixes: str) -> list[Path]:
    """All files under a folder whose names end so, in either case, sorted; hidden ones left out."""
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [
            Path(parent) / name
            for name in names
            if name.lower().endswith(suffixes) and not name.startswith(".")
        ]
    return sorted(found)


def audio_under(folder: Path) -> list[Path]:
    """All sound files under a folder, sorted."""
    return files_under(folder, *AUDIO_SUFFIXES)


def child(folder: Path, name: str) -> Path | None:
    """The file or folder of this name in a folder, in either case."""
    if not folder.is_dir():
        return None
    exact = folder / name
    if exact.exists():
        return exact
    found = (path for path in folder.iterdir() if path.name.lower() == name.lower())
    return next(found, None)


def has_file(folder: Path, suffix: str, depth: int) -> bool:
    """Whether a file whose name ends so lies in a folder or at most ``depth`` folders below it."""
    try:
        paths = sorted(folder.iterdir())
    except OSError:
        return False
    if any(path.name.lower().endswith(suffix) and path.is_file() for path in paths):
        return True
    return depth > 0 and any(has_file(path, suffix, depth - 1) for path in paths if path.is_dir())


def text_between(words: Sequence[Interval], start: float, end: float) -> str:
    """The words whose middle lies between two times, as one line."""
    inside = (w.label for w in words if w.label and start <= (w.start + w.end) / 2 < end)
    return " ".join(inside)


def read_words_and_phones(
    path: Path,
) -> tuple[TextGrid, dict[str | None, tuple[Sequence[Interval], Sequence[Interval]]]]:
    """A TextGrid of MFA, and speaker → words and phones.

    The speaker of tiers called ``words`` and ``phones`` is None; the others are called
    ``SPEAKER - words`` and ``SPEAKER - phones``.

    Raises:
        CorpusError: if it cannot be read, or has no tier of phones.
    """
    grid = read_textgrid(path)
    words: dict[str | None, Sequence[Interval]] = {}
    phones: dict[str | None, Sequence[Interval]] = {}
    for tier in grid.tiers:
        speaker, _, kind = tier.name.rpartition(" - ")
        by_kind = {"words": words, "phones": phones}.get(kind.strip().lower())
        if by_kind is not None and not tier.points:
            by_kind.setdefault(speaker.strip() or None, tier.intervals)
    if not phones:
        names = ", ".join(repr(tier.name) for tier in grid.tiers) or "none"
        raise CorpusError(
            f"{path}: no tier 'phones' or 'SPEAKER - phones' (tiers: {names}); align the recording "
            "or rename the tier"
        )
    return grid, {speaker: (words.get(speaker, ()), phones[speaker]) for speaker in phones}
