"""The files of a corpus folder: ``wav.scp``, ``segments``, tables of utterances, CTM files."""

from __future__ import annotations

import codecs
import gzip
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from speechattn.corpora.alignment import seconds_from_text
from speechattn.errors import CorpusError
from speechattn.segments import Segment
from speechattn.text import one_line

CTM_NAMES = ("phones.ctm.gz", "phones.ctm")
WORD_CTM_NAMES = ("words.ctm.gz", "words.ctm")
PAUSES = ("SIL", "<eps>", "sil")  # in the place of a word
Span = tuple[float, float | None]  # start and end in a recording, seconds
Unusable = dict[str, list[str]]  # utterance (or recording) → problems


def read_paths(folder: Path) -> tuple[dict[str, Path], Unusable]:
    """Read ``wav.scp``: utterance → path, and utterance → what is wrong with its lines."""
    path = folder / "wav.scp"
    paths: dict[str, Path] = {}
    unusable: Unusable = {}
    lines = read_lines(path)
    counts = Counter(line.split(None, 1)[0] for _, line in lines)
    for number, line in lines:
        utterance, *rest = line.split(None, 1)
        if counts[utterance] > 1:
            problem = f"{utterance} is listed more than once; keep one line"
        elif not rest:
            problem = f"{line!r} has no path; write: utterance path"
        elif rest[0].startswith("|") or rest[0].endswith("|"):
            problem = (
                f"{utterance}: a pipe is never executed ({rest[0][:60]!r}); "
                "convert the audio once and give its path"
            )
        else:
            paths[utterance] = folder / rest[0]
            continue
        unusable.setdefault(utterance, []).append(f"{path}:{number}: {problem}")
    if not lines:
        raise CorpusError(f"{path}: is empty; write one line an utterance: utterance path")
    return paths, unusable


def read_segments(
    path: Path,
    recordings: dict[str, Path],
    unusable_recordings: Unusable,
    note: Callable[[str], None],
) -> tuple[dict[str, Path], dict[str, Span], Unusable]:
    """Read ``segments``.

    Args:
        path: of the file.
        recordings: paths of the recordings in ``wav.scp``.
        unusable_recordings: what is wrong with the others.
        note: takes a line about an error that leaves nothing out.

    Returns:
        By utterance: the path of its recording, its start and end, and what is wrong with it.
    """
    paths: dict[str, Path] = {}
    spans: dict[str, Span] = {}
    unusable: Unusable = {}
    for number, line in read_lines(path):
        utterance, *rest = line.split()
        start, end = [*map(seconds_from_text, rest[1:3]), None, None][:2]
        if utterance in paths:
            note(f"{path}:{number}: {utterance} is listed more than once; the first line counts")
            continue
        reasons = []
        if len(rest) not in (3, 4) or start is None or end is None:
            problem = f"{line[:60]!r}; write: utterance recording start end"
        elif len(rest) == 4 and rest[3] != "0":
            problem = (
                f"{utterance}: channel {rest[3]} of a recording; write that channel to an audio "
                "file of its own"
            )
        elif rest[0] not in recordings:
            reasons = unusable_recordings.get(rest[0], [])
            problem = f"{utterance}: {rest[0]!r} is not usable in wav.scp; list it"
        elif start < 0 or (end <= start and end != -1):
            problem = f"{utterance}: {start:g} to {end:g} s is no stretch of time"
        else:
            paths[utterance] = recordings[rest[0]]
            spans[utterance] = (start, None if end == -1 else end)
            continue
        unusable.setdefault(utterance, []).extend([*reasons, f"{path}:{number}: {problem}"])
    return paths, spans, unusable


def read_table(
    path: Path, wanted: Sequence[str], note: Callable[[str], None], may_be_empty: bool = False
) -> dict[str, str]:
    """Read a table of utterances.

    Args:
        path: of the file; without one, the table is empty.
        wanted: utterances to read.
        note: takes a line about an error in the file.
        may_be_empty: allow lines with no value.

    Returns:
        Utterance → the rest of its line.
    """
    if not path.exists():
        return {}
    table: dict[str, str] = {}
    known = set(wanted)
    for number, line in read_lines(path):
        utterance, *rest = line.split(None, 1)
        if utterance not in known:
            continue
        if utterance in table:
            note(f"{path}:{number}: {utterance} is listed more than once; the first line counts")
        elif rest or may_be_empty:
            table[utterance] = rest[0] if rest else ""
        else:
            note(f"{path}:{number}: {utterance} has no value; write: utterance value")
    return table


def duration_from_text(path: Path, utterance: str, value: str | None) -> float | None:
    """Convert a value of ``utt2dur`` to seconds."""
    if value is None:
        return None
    seconds = seconds_from_text(value)
    if seconds is None or seconds <= 0:
        raise CorpusError(f"{path}: {utterance}: {value!r} is no duration; write it in seconds")
    return seconds


def find_ctm(folder: Path) -> Path:
    """Return the phone alignment file of a corpus; there must be exactly one."""
    found = [folder / name for name in CTM_NAMES if (folder / name).is_file()]
    if not found:
        raise CorpusError(f"{folder}: no {' or '.join(CTM_NAMES)}; align the corpus first")
    if len(found) > 1:
        raise CorpusError(f"{folder}: has both {' and '.join(CTM_NAMES)}; remove one")
    return found[0]


def read_ctm(path: Path, wanted: set[str]) -> dict[str, list[tuple[int, str]]]:
    """Read the numbered CTM lines of each wanted utterance; ``;;`` begins a comment."""
    entries: dict[str, list[tuple[int, str]]] = {}
    for number, line in read_lines(path):
        utterance = line.split(None, 1)[0]
        if utterance in wanted and not line.startswith(";;"):
            entries.setdefault(utterance, []).append((number, line))
    return entries


def read_words(folder: Path, note: Callable[[str], None]) -> dict[str, list[Segment]]:
    """Read ``words.ctm``; without one, there are no words.

    Args:
        folder: of the corpus.
        note: takes a line about each line that is not understood.

    Returns:
        Utterance → its words, in seconds of the utterance; pauses left out.

    Raises:
        CorpusError: if the file cannot be read.
    """
    names = WORD_CTM_NAMES
    path = next((folder / name for name in names if (folder / name).is_file()), None)
    words: dict[str, list[Segment]] = {}
    for number, line in read_lines(path) if path else ():
        columns = line.split()
        if line.startswith(";;"):
            continue
        start, length = [*map(seconds_from_text, columns[2:4]), None, None][:2]
        if len(columns) not in (5, 6) or start is None or not length or start < 0 or length < 0:
            note(
                one_line(
                    f"{path}:{number}: {line[:60]!r}; write: utterance channel start duration word"
                )
            )
        elif columns[4] not in PAUSES:
            found = words.setdefault(columns[0], [])
            found.append(Segment(columns[4], start, round(start + length, 6)))
    return words


def read_lines(path: Path, *, strip: bool = True) -> list[tuple[int, str]]:
    """Return the numbered lines of a text file, gzipped or plain, without blank lines.

    It is in UTF-8, or in UTF-16 with a byte order mark.

    Args:
        path: of the file.
        strip: remove the white space around each line.

    Raises:
        CorpusError: if it cannot be read, unpacked or decoded.
    """
    try:
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = gzip.decompress(data)
        wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        content = data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        if wide:
            raise CorpusError(
                f"{path}: damaged UTF-16 at byte {error.start}; save the file as UTF-8"
            ) from None
        line = data.count(b"\n", 0, error.start) + 1
        raise CorpusError(
            f"{path}:{line}: byte 0x{data[error.start]:02x} is not UTF-8; save the file as UTF-8"
        ) from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise CorpusError(f"{path}: not a whole gzip file ({error}); write it again") from None
    except FileNotFoundError:
        raise CorpusError(f"{path}: no such file; every corpus folder needs it") from None
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read ({error.strerror}); check it") from None
    # Not str.splitlines(): that would also split at characters a transcript may contain.
    numbered = enumerate(content.split("\n"), 1)
    ends = None if strip else "\r"
    return [(number, line.strip(ends)) for number, line in numbered if line.strip()]
