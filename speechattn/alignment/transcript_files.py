"""The files that transcripts come in: plain text, TextGrid, Kaldi's ``text``, tables.

A text may have utterances, with their times and speakers:

- The tiers of a TextGrid are speakers, and their intervals utterances, as the Montreal Forced
  Aligner has them.
- Beside Kaldi's ``text`` there may be ``segments`` and ``utt2spk``.
- A table may have columns of times and of the speaker.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from speechattn.alignment.encodings import Encoding
from speechattn.corpora.alignment import seconds_from_text
from speechattn.corpora.readers.textgrid import Tier
from speechattn.corpora.readers.texts import refuse_labels
from speechattn.errors import CorpusError
from speechattn.text import one_line

GRID = ".TextGrid"
TABLES = {".csv": ",;\t", ".tsv": "\t"}  # suffix → what may separate the columns
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
KALDI, SEGMENTS, SPEAKERS, RECORDINGS = "text", "segments", "utt2spk", "wav.scp"  # Kaldi's files
RECORDING_COLUMNS = (
    *("file", "filename", "file_name", "path", "audio", "audio_file", "audio_filepath"),
    *("audio_path", "wav", "wav_filename", "recording", "utterance", "utt", "id", "name"),
)
TEXT_COLUMNS = ("text", "transcript", "transcription", "sentence", "words", "wrd")
START_COLUMNS = ("start", "begin", "start_time", "from", "xmin")
END_COLUMNS = ("end", "stop", "end_time", "to", "xmax")
SPEAKER_COLUMNS = ("speaker", "speaker_id", "spk", "client_id")
UNICODE = Encoding()
ALIGNED_TIERS = ("words", "phones")  # of an aligner's output; also "SPEAKER - words"


class Utterance(NamedTuple):
    """A part of a text, its speaker and its time.

    Attributes:
        text: on one line.
        speaker: "" if there is only one.
        start: seconds.
        end: seconds; infinite for the end of the recording.
        source: file it comes from, and line.
    """

    text: str
    speaker: str
    start: float
    end: float
    source: str


class Transcript(NamedTuple):
    """The text of a recording.

    Attributes:
        text: on one line.
        source: file it comes from, with the line if it holds several texts.
        utterances: parts of it that have times; none if the whole text belongs to the whole
            recording.
    """

    text: str
    source: str
    utterances: tuple[Utterance, ...] = ()

    @property
    def content(self) -> str:
        """All that matters for an alignment, as text."""
        return "\n".join([self.text, *(repr(each[:-1]) for each in self.utterances)])


class TranscriptLine(NamedTuple):
    """A line of a file of several texts.

    Attributes:
        name: what it calls the recording.
        text: on one line.
        source: file and line.
        speaker: "" if it does not say.
        start, end: seconds; None if it has no times.
    """

    name: str
    text: str
    source: str
    speaker: str = ""
    start: float | None = None
    end: float | None = None

    @property
    def has_times(self) -> bool:
        """Whether it is a part of a recording."""
        return self.start is not None

    def utterance(self) -> Utterance:
        """The same as a part of a recording."""
        end = math.inf if self.end is None else self.end
        return Utterance(self.text, self.speaker, self.start or 0.0, end, self.source)


def text_transcript(path: Path, encoding: Encoding = UNICODE) -> Transcript:
    """Read a file that is one text.

    Raises:
        CorpusError: if it cannot be read or decoded, or has labels with times in place of words.
    """
    text = encoding.read(path)
    refuse_labels(path, [line for line in text.splitlines() if line.strip()])
    return Transcript(" ".join(text.split()), str(path))


def grid_transcript(path: Path, notes: list[str], encoding: Encoding = UNICODE) -> Transcript:
    """Read a TextGrid whose tiers are speakers and whose intervals are utterances.

    The tiers of an aligner, ``words`` and ``phones``, are left out beside others. Where there are
    no others, the words of each speaker are one utterance.

    Args:
        path: of the file.
        notes: takes a line for each tier that is left out.
        encoding: of the file.

    Raises:
        CorpusError: if it cannot be read, or has no tier of intervals.
    """
    grid = encoding.read_grid(path)
    spoken, words = [], []
    for tier in grid.tiers:
        name = tier.name.casefold()
        if tier.points:
            notes.append(f"{path}: tier {tier.name!r} has points, no intervals; left out")
        elif not name.endswith(ALIGNED_TIERS):
            spoken.append((tier.name, tier))
        elif name.endswith(ALIGNED_TIERS[0]):
            words.append((tier.name[: -len(ALIGNED_TIERS[0])].rstrip(" -"), tier))
    if not spoken and not words:
        raise CorpusError(
            f"{path}: no tier of intervals that could be utterances; its tiers are "
            f"{', '.join(repr(tier.name) for tier in grid.tiers) or 'none'}"
        )
    if spoken:
        several = len(spoken) > 1
        found = [u for name, tier in spoken for u in _utterances(tier, name * several, path)]
    else:
        notes.append(f"{path}: the words of its tiers are taken as the text")
        several = len(words) > 1
        found = [_whole(tier, name * several, path) for name, tier in words]
    found = sorted((each for each in found if each.text), key=lambda each: each.start)
    return Transcript(" ".join(each.text for each in found), str(path), tuple(found))


def is_aligned_grid(path: Path, encoding: Encoding = UNICODE) -> bool:
    """Whether a TextGrid is the output of an aligner: all tiers are words and phones."""
    if path.suffix.lower() != GRID.lower():
        return False
    try:
        tiers = encoding.read_grid(path).tiers
    except CorpusError:
        return False
    return bool(tiers) and all(tier.name.casefold().endswith(ALIGNED_TIERS) for tier in tiers)


def _utterances(tier: Tier, speaker: str, path: Path) -> Iterator[Utterance]:
    for interval in tier.intervals:
        source = f"{path}:{interval.line}" if interval.line else str(path)
        text = " ".join(interval.label.split())
        yield Utterance(text, speaker, interval.start, interval.end, source)


def _whole(tier: Tier, speaker: str, path: Path) -> Utterance:
    words = [each for each in tier.intervals if each.label not in ("", "sil", "sp", "<eps>")]
    text = " ".join(" ".join(word.label for word in words).split())
    return Utterance(text, speaker, 0.0, math.inf, str(path))


def kaldi_lines(path: Path, encoding: Encoding = UNICODE) -> Iterator[TranscriptLine | str]:
    """Read a Kaldi ``text`` file: an utterance and its words in each line.

    The file ``segments`` beside it says in which recording an utterance lies, and where;
    ``utt2spk`` whose it is; ``wav.scp`` which file a recording is. Pipes in it are not run.

    Yields:
        Lines, and notes about what is none.

    Raises:
        CorpusError: if one of the files cannot be read or decoded.
    """
    segments: dict[str, tuple[str, float, float]] = {}
    has_segments = (path.parent / SEGMENTS).is_file() and path.name == KALDI
    speakers: dict[str, str] = {}
    names: dict[str, str] = {}
    if has_segments:
        for place, fields in _fields(path.parent / SEGMENTS, encoding):
            start, end = (seconds_from_text(field) for field in (*fields[2:4], "", "")[:2])
            if start is None or end is None or not _ordered(start, end):
                yield f"{place}: {one_line(' '.join(fields))[:60]!r}; write: utterance recording " \
                    "start end, in seconds; left out"  # fmt: skip
                continue
            segments[fields[0]] = (fields[1], start, math.inf if end == -1 else end)
        speakers = {fields[0]: fields[1] for _, fields in _fields(path.parent / SPEAKERS, encoding)
                    if len(fields) > 1}  # fmt: skip
        for _, fields in _fields(path.parent / RECORDINGS, encoding):
            if len(fields) > 1 and not fields[-1].endswith("|"):
                names[fields[0]] = PurePosixPath(fields[-1].replace("\\", "/")).stem
    for number, line in enumerate(encoding.read(path).split("\n"), 1):
        if not line.strip():
            continue
        name, *words = line.split()
        text, source = " ".join(words), f"{path}:{number}"
        if not has_segments:
            yield TranscriptLine(name, text, source)
        elif name in segments:
            recording, start, end = segments[name]
            speaker = speakers.get(name, "")
            recording = names.get(recording, recording)
            yield TranscriptLine(recording, text, source, speaker, start, end)
        else:
            yield f"{source}: {name} is not in {path.parent / SEGMENTS}; left out"


def _ordered(start: float, end: float) -> bool:
    return start >= 0 and (end > start or end == -1)


def _fields(path: Path, encoding: Encoding) -> Iterator[tuple[str, list[str]]]:
    """Place and fields of each line of a file; nothing if there is none."""
    if path.is_file():
        for number, line in enumerate(encoding.read(path).split("\n"), 1):
            if line.strip():
                yield f"{path}:{number}", line.split()


def table_lines(path: Path, encoding: Encoding = UNICODE) -> Iterable[TranscriptLine | str]:
    """Read the rows of a table with a header.

    What separates the columns of a CSV file, a comma, a semicolon or a tab, is what separates the
    names in its header.

    Raises:
        CorpusError: if it cannot be read or decoded, or the header lacks a column.
    """
    lines = encoding.read(path).splitlines(keepends=True)
    separator, header = _header(lines, TABLES[path.suffix.lower()])
    for what, names in (("recording", RECORDING_COLUMNS), ("text", TEXT_COLUMNS)):
        if _column(header, names) is None:
            raise CorpusError(
                f"{path}:1: no column for the {what} in the header ({', '.join(header)}), whose "
                f"columns were taken to be separated by {_SEPARATORS[separator]}; call it one of "
                f"{', '.join(names)}"
            )
    columns = [
        _column(header, names)
        for names in (RECORDING_COLUMNS, TEXT_COLUMNS, SPEAKER_COLUMNS, START_COLUMNS, END_COLUMNS)
    ]
    rows = csv.reader(lines, delimiter=separator)
    next(rows, None)
    return _rows(path, lines, rows, columns, decimal="." if separator == "," else ",")


def _header(lines: Sequence[str], separators: str) -> tuple[str, list[str]]:
    """What separates the columns, and their names: the first that has those needed, or most."""
    headers = {
        separator: [
            cell.strip().lower() for cell in next(csv.reader(lines, delimiter=separator), [])
        ]
        for separator in separators
    }

    def rank(separator: str) -> tuple[bool, int]:
        header = headers[separator]
        needed = (_column(header, names) for names in (RECORDING_COLUMNS, TEXT_COLUMNS))
        return None not in needed, len(header)

    best = max(separators, key=rank)
    return best, headers[best]


def _column(header: Sequence[str], names: Sequence[str]) -> int | None:
    return next((header.index(name) for name in names if name in header), None)


def _rows(
    path: Path,
    lines: Sequence[str],
    rows: Iterator[list[str]],
    columns: Sequence[int | None],
    decimal: str,
) -> Iterator[TranscriptLine | str]:
    """Yield the rows after the header, and notes.

    Args:
        path: of the table.
        lines: of it.
        rows: of them, the header read.
        columns: of the recording, the text, the speaker, the start and the end.
        decimal: what may stand for the point of times: a comma, where that separates no columns.
    """
    line = 2
    while True:
        try:
            row = next(rows, None)
        except csv.Error as error:
            yield f"{path}:{line}: {error}; left out"
            line += 1
            continue
        if row is None:
            return
        first_line, line = line, 1 + getattr(rows, "line_num", line)
        place = f"{path}:{first_line}"
        if "".join(lines[first_line - 1 : line - 1]).count('"') % 2 and line > first_line + 1:
            yield f"{place}: a quotation mark opens here, and none closes it; left out, with all " \
                "lines after it"  # fmt: skip
            continue
        if not any(cell.strip() for cell in row):
            if row:
                yield f"{place}: {len(row)} columns, and no recording with a text; left out"
            continue
        name, text, speaker, start, end = (
            row[number].strip() if number is not None and number < len(row) else None
            for number in columns
        )
        if not name or text is None:
            yield f"{place}: {len(row)} columns, and no recording with a text; left out"
            continue
        text = " ".join(text.split())
        if not start:
            yield TranscriptLine(name, text, place, speaker or "")
            continue
        first, last = (
            seconds_from_text(value.replace(decimal, ".")) if value else math.inf
            for value in (start, end)
        )
        if first is None or last is None or not 0 <= first < last:
            yield f"{place}: {start} to {end} s is no stretch of time; left out"
            continue
        yield TranscriptLine(name, text, place, speaker or "", first, last)
