"""Transcripts: which text belongs to which recording.

Transcripts come as a folder with a ``.txt``, ``.lab`` or ``.TextGrid`` file for each recording, as
one such file for one recording, as a Kaldi ``text`` file, or as a table (CSV or TSV) with a header.
The utterances of a TextGrid, of Kaldi's ``segments`` and of a table with times have speakers and
times; see :mod:`speechattn.alignment.transcript_files`.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from speechattn.alignment.encodings import Encoding
from speechattn.alignment.transcript_files import (
    GRID,
    KALDI,
    TABLES,
    UNICODE,
    Transcript,
    TranscriptLine,
    Utterance,
    grid_transcript,
    is_aligned_grid,
    kaldi_lines,
    table_lines,
    text_transcript,
)
from speechattn.errors import (
    EMPTY,
    MISSING,
    UNREADABLE,
    CorpusError,
    SpeechattnError,
    UsageError,
)
from speechattn.files import exists, is_folder

SUFFIXES = (".txt", ".lab", GRID)  # of the transcript of one recording


class AlignmentError(SpeechattnError):
    """A recording cannot be aligned.

    Attributes:
        kind: of failure, a few words; see :mod:`speechattn.errors`.
    """

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass
class Transcripts:
    """The texts of some recordings.

    Attributes:
        texts: recording → its text.
        problems: recording → why it has none.
        notes: what else is odd: transcripts of no recording, lines that are none.
        files: that hold the texts.
    """

    texts: dict[str, Transcript] = field(default_factory=dict)
    problems: dict[str, AlignmentError] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    files: set[Path] = field(default_factory=set)

    def check_outputs(self, outputs: Iterable[Path]) -> None:
        """Refuse to write over the texts.

        Raises:
            UsageError: if an output is one of their files.
        """
        files = {path.resolve() for path in self.files}
        for path in outputs:
            if path.resolve() in files:
                raise UsageError(
                    f"{path}: is a transcript, and would be written over; give another --output-dir"
                )

    def add(self, file: str, transcript: Transcript) -> None:
        """Take a text for a recording, or note that it is empty."""
        if transcript.text:
            self.texts[file] = transcript
        else:
            message = f"{transcript.source}: the text of {file} is empty; write what is said in it"
            self.problems[file] = AlignmentError(message, EMPTY)

    def refuse(self, file: str, message: str) -> None:
        """Note that the text of a recording cannot be used."""
        self.texts.pop(file, None)
        self.problems[file] = AlignmentError(message, UNREADABLE)


def find_transcripts(
    where: str | Path, files: Sequence[str], encoding: Encoding = UNICODE
) -> Transcripts:
    """Find the text of each recording.

    A folder has for ``a/b.wav`` the transcript ``a/b.txt``, ``a/b.lab`` or ``a/b.TextGrid``, or
    the same without ``a/`` if no other recording is called ``b``; or it is a data folder of Kaldi
    with the file ``text``. A single file is the text of the only recording, unless its name ends
    in ``.csv`` or ``.tsv`` or is ``text``. Kaldi's files and tables name recordings as their
    relative path, with or without its suffix, or as ``b``.

    Args:
        where: folder or file.
        files: relative path of each recording with its suffix, parts separated by ``/``.
        encoding: of the transcripts.

    Raises:
        CorpusError: if there is no such file or folder, or a file of several texts cannot be read
            at all.
    """
    found = _found(Path(where), files, encoding)
    if not is_folder(where):
        found.files.add(Path(where))
    return found


def _found(where: Path, files: Sequence[str], encoding: Encoding) -> Transcripts:
    if is_folder(where):
        kaldi = where / KALDI
        if kaldi.is_file():
            return _from_lines(kaldi_lines(kaldi, encoding), files, kaldi)
        return _from_folder(where, files, encoding)
    if not exists(where):
        raise CorpusError(
            f"{where}: no such file or folder; give the transcript of the recording, a folder of "
            "transcripts, a Kaldi text file, or a table in CSV or TSV"
        )
    if where.suffix.lower() in TABLES:
        return _from_lines(table_lines(where, encoding), files, where)
    if len(files) == 1 and where.name != KALDI:
        found = Transcripts()
        found.add(files[0], _one_transcript(where, found.notes, encoding))
        return found
    if where.suffix.lower() == GRID.lower():
        raise CorpusError(
            f"{where}: one TextGrid for {len(files)} recordings; give a folder with one for each"
        )
    return _from_lines(kaldi_lines(where, encoding), files, where)


def _one_transcript(path: Path, notes: list[str], encoding: Encoding) -> Transcript:
    if path.suffix.lower() == GRID.lower():
        return grid_transcript(path, notes, encoding)
    return text_transcript(path, encoding)


def _from_folder(folder: Path, files: Sequence[str], encoding: Encoding) -> Transcripts:
    """The transcripts of a folder, with those of no recording among the notes."""
    present = _transcript_files(folder)
    stems = Counter(PurePosixPath(file).stem for file in files)
    found, used = Transcripts(), set()
    for file in files:
        path = PurePosixPath(file)
        names = [path.with_suffix("").as_posix()]
        if stems[path.stem] == 1:
            names.append(path.stem)
        sources = next((present[name] for name in names if name in present), [])
        used.update(sources)
        if len(sources) > 1:  # what an aligner wrote beside them is no second transcript
            sources = [each for each in sources if not is_aligned_grid(each, encoding)] or sources
        found.files.update(sources)
        if not sources:
            wanted = " or ".join(str(folder / names[0]) + suffix for suffix in SUFFIXES)
            found.problems[file] = AlignmentError(
                f"no transcript; write its words into {wanted}", MISSING
            )
        elif len(sources) > 1:
            both = " and ".join(map(str, sources))
            found.refuse(file, f"two transcripts, {both}; remove one")
        else:
            try:
                found.add(file, _one_transcript(sources[0], found.notes, encoding))
            except CorpusError as error:
                found.refuse(file, str(error))
    for source in (source for sources in present.values() for source in sources):
        if source not in used:
            found.notes.append(f"{source}: a transcript of no recording; left out")
    return found


def _transcript_files(folder: Path) -> dict[str, list[Path]]:
    """Relative path without suffix → the transcripts of that name, below a folder."""
    suffixes = {suffix.lower() for suffix in SUFFIXES}
    found: dict[str, list[Path]] = {}
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(parent, name)
            if path.suffix.lower() in suffixes and not name.startswith("."):
                key = path.relative_to(folder).with_suffix("").as_posix()
                found.setdefault(key, []).append(path)
    return found


def _from_lines(
    lines: Iterable[TranscriptLine | str], files: Sequence[str], where: Path
) -> Transcripts:
    """The texts of lines that name recordings; what is no such line is a note."""
    known = _names_of(files)
    found = Transcripts()
    first: dict[str, str] = {}
    utterances: dict[str, list[Utterance]] = {}
    for line in lines:
        if isinstance(line, str):
            found.notes.append(line)
            continue
        name = line.name.replace("\\", "/").removeprefix("./")
        file = known.get(name) or known.get(PurePosixPath(name).stem)
        if file is None:
            found.notes.append(f"{line.source}: {name}: no such recording; left out")
        elif line.has_times and (file in utterances or file not in first):
            first.setdefault(file, line.source)
            utterances.setdefault(file, []).append(line.utterance())
        elif file in first:
            utterances.pop(file, None)
            found.refuse(file, f"{line.source}: {file} has a text in {first[file]} too; remove one")
        else:
            first[file] = line.source
            found.add(file, Transcript(line.text, line.source))
    for file, parts in utterances.items():
        spoken = tuple(part for part in parts if part.text)
        text = " ".join(part.text for part in spoken)
        found.add(file, Transcript(text, first[file], spoken))
    for file in files:
        if file not in first:
            found.problems[file] = AlignmentError(
                f"no transcript; add a line for it to {where}", MISSING
            )
    return found


def _names_of(files: Sequence[str]) -> Mapping[str, str]:
    """What a recording may be called → the recording; what several are called is left out."""
    counts: Counter[str] = Counter()
    names: dict[str, str] = {}
    for file in files:
        path = PurePosixPath(file)
        for name in {file, path.with_suffix("").as_posix(), path.name, path.stem}:
            counts[name] += 1
            names[name] = file
    exact = {file: file for file in files}
    return {**{name: file for name, file in names.items() if counts[name] == 1}, **exact}
