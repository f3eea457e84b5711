"""Kaldi data folders, with or without ``segments``: the form that training reads.

More than :func:`speechattn.corpora.corpus.read_corpus` needs is looked at here: whether every
recording can be opened and is as long as the tables say, words and splits.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from speechattn.audio.load import audio_info
from speechattn.corpora.alignment import END_TOLERANCE_FRAMES
from speechattn.corpora.corpus import Corpus, Utterance, read_corpus
from speechattn.corpora.tables import CTM_NAMES, read_lines, read_paths, read_words
from speechattn.errors import AudioError, CorpusError
from speechattn.phones import phone_set
from speechattn.segments import FRAMES_PER_SECOND
from speechattn.text import one_line

TOLERANCE = END_TOLERANCE_FRAMES / FRAMES_PER_SECOND  # seconds between a table and the audio


def matches(folder: Path) -> bool:
    """Whether this is a Kaldi data folder: ``wav.scp`` in it."""
    return (folder / "wav.scp").is_file()


def read(folder: Path, *, phones: str | Path = "arpabet") -> Corpus:
    """Read a Kaldi data folder; see :func:`speechattn.corpora.readers.read_published`."""
    aligned = any((folder / name).is_file() for name in CTM_NAMES)
    corpus = read_corpus(folder, phones=phone_set(phones), alignments=aligned)
    problems = list(corpus.problems)
    notes = list(corpus.notes)
    words = read_words(folder, notes.append)
    lengths: dict[Path, float | str] = {}
    utterances = []
    for utterance in corpus:
        try:
            duration = check_length(utterance, lengths)
        except CorpusError as error:
            problems.append(str(error))
            continue
        spoken = tuple(words.get(utterance.id, ()))
        utterances.append(dataclasses.replace(utterance, duration=duration, words=spoken))
    if not utterances:
        raise CorpusError(f"{folder}: no usable utterance; the first problem: {problems[0]}")
    splits = _read_splits(folder, {utterance.id for utterance in utterances}, notes)
    return Corpus(folder, None, tuple(utterances), tuple(problems), splits, tuple(notes))


def length_of(path: Path) -> float | str:
    """Return the seconds of a recording, or why it cannot be opened."""
    try:
        return audio_info(path).duration
    except (AudioError, OSError) as error:
        return one_line(str(error))


def check_length(utterance: Utterance, lengths: dict[Path, float | str]) -> float:
    """Return the duration of an utterance, which lies in its recording.

    Args:
        utterance: to look at.
        lengths: from :func:`length_of`, of recordings that were opened before; more are added.

    Raises:
        CorpusError: if its recording cannot be opened or is of another length than tables say.
    """
    if utterance.path not in lengths:
        lengths[utterance.path] = length_of(utterance.path)
    length = lengths[utterance.path]
    if isinstance(length, str):
        raise CorpusError(f"{utterance.id}: {length}")
    end = length if utterance.end is None else utterance.end
    if end > length + TOLERANCE or utterance.start >= length:
        raise CorpusError(
            f"{utterance.id}: {utterance.start:g} to {end:g} s does not lie in {utterance.path}, "
            f"which has {length:.2f} s; correct segments"
        )
    duration = min(end, length) - utterance.start
    told = utterance.duration
    if told is not None and abs(told - duration) > TOLERANCE:
        raise CorpusError(
            f"{utterance.id}: {told:g} s in utt2dur or segments, {duration:.2f} s in "
            f"{utterance.path}; correct the table or the recording"
        )
    return duration


def _read_splits(folder: Path, usable: set[str], notes: list[str]) -> dict[str, tuple[str, ...]]:
    """Name → usable utterance ids of every file in ``splits``; notes those that nothing lists."""
    paths, unusable = read_paths(folder)
    listed = paths.keys() | unusable.keys()
    if (folder / "segments").exists():
        listed = {line.split()[0] for _, line in read_lines(folder / "segments")}
    splits = {}
    for path in sorted((folder / "splits").glob("*")):
        if not path.is_file() or path.name.startswith("."):
            continue
        try:
            lines = read_lines(path)
        except CorpusError as error:
            notes.append(str(error))
            continue
        notes += [
            one_line(f"{path}:{number}: {name!r} is not listed in this corpus; leave it out")
            for number, name in lines
            if name not in listed
        ]
        splits[path.name] = tuple(name for _, name in lines if name in usable)
    return splits
