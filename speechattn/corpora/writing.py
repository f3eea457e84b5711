"""Corpora written as folders in Kaldi's form, which training reads; audio stays where it is."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable
from pathlib import Path

from speechattn.corpora.corpus import Corpus, Utterance
from speechattn.errors import CorpusError, UsageError
from speechattn.files import atomic_folder
from speechattn.segments import Segment
from speechattn.text import one_line


def write_corpus(corpus: Corpus, folder: str | Path) -> Corpus:
    """Write ``wav.scp``, ``text``, ``utt2spk``, ``utt2dur``, CTM files and ``splits``.

    Paths of audio under the parent of the folder are relative, so that both can be moved
    together; others are absolute. Where an utterance is a part of a recording, ``wav.scp`` lists
    recordings and there is a file ``segments``. The folder appears when it is complete.

    Args:
        corpus: read by any reader.
        folder: new, or empty.

    Returns:
        The corpus as it is in the folder: utterances that its files cannot hold are left out, and
        named in its problems.

    Raises:
        UsageError: if the folder has something in it.
        CorpusError: if its files can hold no utterance.
        OSError: if it cannot be written.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder}: exists and is not empty; name a new folder")
    written, paths = _writable(corpus, folder)
    with atomic_folder(folder) as partial:
        (partial / "splits").mkdir()
        for name, lines in _tables(written, paths).items():
            if lines:
                data = "".join(f"{line}\n" for line in lines)
                (partial / name).write_bytes(data.encode("utf-8"))
        if not any((partial / "splits").iterdir()):
            (partial / "splits").rmdir()
    return written


def _writable(corpus: Corpus, folder: Path) -> tuple[Corpus, dict[Path, str]]:
    """What of a corpus the files of a folder can hold, and each path as ``wav.scp`` has it."""
    kept, problems = [], []
    paths: dict[Path, str] = {}
    for utterance in corpus:
        try:
            _check_encoding(utterance)
            if utterance.path not in paths:
                paths[utterance.path] = _path(utterance.path, folder)
        except CorpusError as error:
            problems.append(one_line(f"{corpus.name}: {utterance.id}: {error}"))
        else:
            kept.append(utterance)
    if not problems:
        return corpus, paths
    if not kept:
        raise CorpusError(
            f"{corpus.folder}: no utterance can be written; the first problem: {problems[0]}"
        )
    names = {utterance.id for utterance in kept}
    written = dataclasses.replace(
        corpus,
        utterances=tuple(kept),
        problems=(*corpus.problems, *problems),
        splits={key: tuple(filter(names.__contains__, ids)) for key, ids in corpus.splits.items()},
    )
    return written, paths


def _check_encoding(utterance: Utterance) -> None:
    """Raise a CorpusError if a text of an utterance cannot be written in UTF-8."""
    labels = [segment.label for segment in (*(utterance.alignment or ()), *utterance.words)]
    for text in (utterance.id, utterance.speaker, utterance.text or "", *labels):
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise CorpusError(
                f"{text[:60]!r}: character {error.start + 1} is none of Unicode; correct it"
            ) from None


def _tables(corpus: Corpus, paths: dict[Path, str]) -> dict[str, list[str]]:
    """File → its lines; no file for those without any."""
    utterances = corpus.utterances
    tables = {
        "text": [f"{u.id} {u.text}" for u in utterances if u.text is not None],
        "utt2spk": [f"{u.id} {u.speaker}" for u in utterances],
        "utt2dur": [f"{u.id} {u.duration:.4f}" for u in utterances if u.duration is not None],
        "phones.ctm": [line for u in utterances for line in _ctm(u.id, u.alignment or ())],
        "words.ctm": [line for u in utterances for line in _ctm(u.id, u.words)],
    }
    if all(utterance.is_whole for utterance in utterances):
        tables["wav.scp"] = [f"{u.id} {paths[u.path]}" for u in utterances]
    else:
        names = _recording_names(utterances)
        listed = {names[u.path]: paths[u.path] for u in utterances}
        tables["wav.scp"] = [f"{name} {path}" for name, path in sorted(listed.items())]
        tables["segments"] = [f"{u.id} {names[u.path]} {_span(u)}" for u in utterances]
    tables |= {f"splits/{name}": list(ids) for name, ids in corpus.splits.items()}
    return tables


def _ctm(name: str, segments: Iterable[Segment]) -> list[str]:
    """Lines of a CTM: start and duration in seconds with four decimals."""
    return [
        f"{name} 1 {s.start:.4f} {round(s.end, 4) - round(s.start, 4):.4f} {_word(s.label)}"
        for s in segments
    ]


def _word(label: str) -> str:
    """A label as one word of a line."""
    return "_".join(label.split())


def _span(utterance: Utterance) -> str:
    """Start and end of an utterance in its recording; -1 for the end of the recording."""
    end = "-1" if utterance.end is None else f"{utterance.end:.4f}"
    return f"{utterance.start:.4f} {end}"


def _path(audio: Path, folder: Path) -> str:
    """The path of an audio file as ``wav.scp`` has it.

    Raises:
        CorpusError: if a line of a file in UTF-8 cannot hold it.
    """
    audio, parent = audio.resolve(), folder.resolve().parent
    near = audio.is_relative_to(parent) and parent != Path(parent.anchor)
    path = os.path.relpath(audio, folder.resolve()) if near else os.fspath(audio)
    broken = "\n" in path or "\r" in path or path != path.strip()
    foreign = any("\ud800" <= character <= "\udfff" for character in path)
    if broken or foreign or path.startswith("|") or path.endswith("|"):
        raise CorpusError(
            f"{path!r}: a path that wav.scp cannot hold (line breaks, bytes that are not UTF-8, "
            "spaces around it, a bar at its ends); rename the file"
        )
    return path


def _recording_names(utterances: Iterable[Utterance]) -> dict[Path, str]:
    """Audio file → a name of its own, without spaces."""
    names: dict[Path, str] = {}
    taken: set[str] = set()
    for path in sorted({utterance.path for utterance in utterances}):
        stem = name = "_".join(path.stem.split()) or "recording"
        number = 1
        while name in taken:
            number += 1
            name = f"{stem}_{number}"
        taken.add(name)
        names[path] = name
    return names
