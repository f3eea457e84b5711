"""Where a report of a batch finds recordings and references."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from speechattn.errors import UsageError
from speechattn.files import exists, is_folder
from speechattn.phones import PhoneSet
from speechattn.segments import Segment
from speechattn.viewer.results import (
    PHONES,
    REFERENCE_SUFFIXES,
    find_labels,
    read_labels,
    recorded_inputs,
)

CORPUS_FILES = ("wav.scp",)
# From the name, the seconds and the path of a recording to its speaker and its reference phones.
Reference = Callable[[str, float, Path | None], tuple[str, Sequence[Segment]]]


class Recordings:
    """Finds the recordings of a run.

    Attributes:
        name: of the batch.
    """

    def __init__(self, run: dict[str, Any], folder: Path, recordings: Path | None) -> None:
        self.name = folder.resolve().name
        self._files: dict[str, Path] = {}
        self._places = [recordings] if recordings is not None else []
        if recordings is not None:
            return
        for place in recorded_inputs(run, folder):
            if place.is_file():
                self._files.setdefault(place.name, place)
            elif place.is_dir():
                self._places.append(place)

    def __call__(self, file: str) -> Path | None:
        """Return where a recording is; None if it is gone."""
        names = [place / file for place in self._places]
        if self._places and not names[0].is_file():
            names += [place / Path(file).name for place in self._places]
        listed = self._files.get(Path(file).name)
        return next(
            (path for path in [*names, *([listed] if listed else [])] if path.is_file()), None
        )


def find_references(where: Path, phones: PhoneSet) -> Reference:
    """Return the function from a recording to its speaker and its reference phones."""
    if is_folder(where) and all((where / name).is_file() for name in CORPUS_FILES):
        return _from_corpus(where, phones)
    if not exists(where):
        raise UsageError(f"--reference {where}: no such file or folder; check its name")

    def find(file: str, duration: float, path: Path | None) -> tuple[str, Sequence[Segment]]:
        labels = read_labels(
            find_labels(where, file, REFERENCE_SUFFIXES, "reference"), file, duration, "reference"
        )
        if PHONES not in labels:
            raise UsageError(f"{file}: its reference has no tier {PHONES!r}; name one so")
        return "", labels[PHONES]

    return find


def _from_corpus(folder: Path, phones: PhoneSet) -> Reference:
    from speechattn.corpora.corpus import read_corpus

    corpus = read_corpus(folder, phones=phones)
    whole = [u for u in corpus.utterances if u.is_whole and u.alignment]
    by_id = {utterance.id: utterance for utterance in whole}
    by_path = {utterance.path.resolve(): utterance for utterance in whole}

    def find(file: str, duration: float, path: Path | None) -> tuple[str, Sequence[Segment]]:
        name = PurePosixPath(file)
        utterance = by_path.get(path.resolve()) if path else None
        utterance = utterance or by_id.get(str(name.with_suffix(""))) or by_id.get(name.stem)
        if utterance is None or utterance.alignment is None:
            raise UsageError(f"{file}: no whole utterance of {folder} has this recording")
        return utterance.speaker, utterance.alignment

    return find
