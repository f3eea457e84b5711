"""Transcripts: which text belongs to which recording.

Transcripts come as a folder with a ``.txt`` or ``.lab`` file for each recording, as one file for
one recording, as a Kaldi ``text`` file, or as a table (CSV or TSV) with a header.
"""

from __future__ import annotations

import codecs
import csv
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from speechattn.errors import EMPTY, MISSING, UNREADABLE, CorpusError, SpeechattnError

SUFFIXES = (".txt", ".lab")  # of the transcript of one recording
TABLES = {".csv": ",", ".tsv": "\t"}  # suffix → what separates the columns
KALDI = "text"  # name of Kaldi's file
RECORDING_COLUMNS = ("file", "path", "audio", "recording", "utterance", "utt", "id", "name")
TEXT_COLUMNS = ("text", "transcript", "transcription", "sentence", "words")


class AlignmentError(SpeechattnError):
    """A recording cannot be aligned.

    Attributes:
        kind: of failure, a few words; see :mod:`speechattn.errors`.
    """

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


class Transcript(NamedTuple):
    """The text of a recording.

    Attributes:
        text: on one line.
        source: file it comes from, with the line if it holds several texts.
    """

    text: str
    source: str


@dataclass
class Transcripts:
    """The texts of some recordings.

    Attributes:
        texts: recording → its text.
        problems: recording → why it has none.
        notes: what else is odd: transcripts of no recording, lines that are none.
    """

    texts: dict[str, Transcript] = field(default_factory=dict)
    problems: dict[str, AlignmentError] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, file: str, transcript: Transcript) -> None:
        """Take a text for a recording, or note that it is empty."""
        if transcript.text:
            self.texts[file] = transcript
        else:
            message = f"{transcript.source}: the text of {file} is empty; write what is said in it"
            self.problems[file] = AlignmentError(message, EMPTY)


def find_transcripts(where: str | Path, files: Sequence[str]) -> Transcripts:
    """Find the text of each recording.

    A folder has for ``a/b.wav`` the transcript ``a/b.txt`` or ``a/b.lab``, or ``b.txt`` or
    ``b.lab`` if no other recording is called ``b``. A single file is the text of the only
    recording, unless its name ends in ``.csv`` or ``.tsv`` or is ``text``. Kaldi's files and
    tables name recordings as their relative path, with or without its suffix, or as ``b``.

    Args:
        where: folder or file.
        files: relative path of each recording with its suffix, parts separated by ``/``.

    Raises:
        CorpusError: if there is no such file or folder, or a file of several texts cannot be read
            at all.
    """
    where = Path(where)
    if where.is_dir():
        return _from_folder(where, files)
    if not where.exists():
        raise CorpusError(
            f"{where}: no such file or folder; give the transcript of the recording, a folder of "
            "transcripts, a Kaldi text file, or a table in CSV or TSV"
        )
    if where.suffix.lower() in TABLES:
        return _from_lines(_table_lines(where), files, where)
    if len(files) == 1 and where.name != KALDI:
        found = Transcripts()
        found.add(files[0], Transcript(_one_text(where), str(where)))
        return found
    return _from_lines(_kaldi_lines(where), files, where)


def read_text(path: Path) -> str:
    """Read a file in UTF-8, with or without a byte order mark, or in UTF-16 with one.

    Raises:
        CorpusError: if it cannot be read or is in another encoding.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read ({error.strerror}); check the file") from None
    way_out = "save it as UTF-8"
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding, label = "utf-16", "UTF-16"
    elif b"\0" in data:
        raise CorpusError(
            f"{path}: no text in UTF-8 but perhaps UTF-16 without a byte order mark; {way_out}"
        )
    else:
        encoding, label = "utf-8-sig", "UTF-8"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise CorpusError(
            f"{path}:{line}: byte 0x{data[error.start]:02x} is not {label}, so the file is "
            f"perhaps in Latin-1; {way_out}"
        ) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _one_text(path: Path) -> str:
    return " ".join(read_text(path).split())


def _from_folder(folder: Path, files: Sequence[str]) -> Transcripts:
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
        if not sources:
            wanted = " or ".join(str(folder / names[0]) + suffix for suffix in SUFFIXES)
            found.problems[file] = AlignmentError(
                f"no transcript; write its words into {wanted}", MISSING
            )
        elif len(sources) > 1:
            both = " and ".join(map(str, sources))
            message = f"two transcripts, {both}; remove one"
            found.problems[file] = AlignmentError(message, UNREADABLE)
        else:
            try:
                found.add(file, Transcript(_one_text(sources[0]), str(sources[0])))
            except CorpusError as error:
                found.problems[file] = AlignmentError(str(error), UNREADABLE)
    for source in (source for sources in present.values() for source in sources):
        if source not in used:
            found.notes.append(f"{source}: a transcript of no recording; left out")
    return found


def _transcript_files(folder: Path) -> dict[str, list[Path]]:
    """Relative path without suffix → the transcripts of that name, below a folder."""
    found: dict[str, list[Path]] = {}
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(parent, name)
            if path.suffix.lower() in SUFFIXES and not name.startswith("."):
                key = path.relative_to(folder).with_suffix("").as_posix()
                found.setdefault(key, []).append(path)
    return found


class _Line(NamedTuple):
    """A line of a file of several texts: what it calls the recording, and where it stands."""

    name: str
    transcript: Transcript


def _from_lines(lines: Iterable[_Line | str], files: Sequence[str], where: Path) -> Transcripts:
    """The texts of lines that name recordings; what is no such line is a note."""
    known = _names_of(files)
    found = Transcripts()
    first: dict[str, str] = {}
    for line in lines:
        if isinstance(line, str):
            found.notes.append(line)
            continue
        name = line.name.replace("\\", "/").removeprefix("./")
        file = known.get(name) or known.get(PurePosixPath(name).stem)
        if file is None:
            found.notes.append(f"{line.transcript.source}: {name}: no such recording; left out")
        elif file in first:
            found.texts.pop(file, None)
            found.problems[file] = AlignmentError(
                f"{line.transcript.source}: {file} has a text in {first[file]} too; remove one",
                UNREADABLE,
            )
        else:
            first[file] = line.transcript.source
            found.add(file, line.transcript)
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


def _kaldi_lines(path: Path) -> Iterable[_Line | str]:
    """The lines of a Kaldi ``text`` file: a recording and its words."""
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if line.strip():
            name, *words = line.split()
            yield _Line(name, Transcript(" ".join(words), f"{path}:{number}"))


def _table_lines(path: Path) -> Iterable[_Line | str]:
    """The rows of a table with a header.

    Raises:
        CorpusError: if the header lacks a column.
    """
    rows = csv.reader(read_text(path).splitlines(), delimiter=TABLES[path.suffix.lower()])
    header = [cell.strip().lower() for cell in next(rows, [])]
    columns = []
    for what, names in (("recording", RECORDING_COLUMNS), ("text", TEXT_COLUMNS)):
        column = next((header.index(name) for name in names if name in header), None)
        if column is None:
            raise CorpusError(
                f"{path}:1: no column for the {what} in the header ({', '.join(header)}); call it "
                f"one of {', '.join(names)}"
            )
        columns.append(column)
    return _rows(path, rows, columns)


def _rows(path: Path, rows: Iterable[list[str]], columns: Sequence[int]) -> Iterable[_Line | str]:
    recording, text = columns
    for number, row in enumerate(rows, 2):
        if len(row) > max(columns) and row[recording].strip():
            words = " ".join(row[text].split())
            yield _Line(row[recording].strip(), Transcript(words, f"{path}:{number}"))
        elif row:
            yield f"{path}:{number}: {len(row)} columns, and no recording with a text; left out"
