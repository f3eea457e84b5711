"""Corpora: folders of recordings with time-aligned phones, in Kaldi's data-dir conventions.

A corpus folder holds ``wav.scp`` (utterance, path relative to the folder) and, where there are
any, ``utt2spk``, ``utt2dur`` (seconds), ``text``, ``phones.ctm`` or ``phones.ctm.gz`` (utterance,
channel, start, duration, phone) and ``splits/NAME`` (utterance ids).

What is wrong with one utterance leaves that utterance out and becomes one line in
``Corpus.problems``; what is wrong with the corpus as a whole is a :class:`CorpusError`.
"""

from __future__ import annotations

import gzip
import os
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from speechattn.corpora.alignment import alignment_from_ctm, seconds_from_text
from speechattn.errors import CorpusError
from speechattn.phones import PhoneSet
from speechattn.segments import Segment
from speechattn.text import one_line

CTM_NAMES = ("phones.ctm.gz", "phones.ctm")


@dataclass(frozen=True)
class Utterance:
    """One recording of a corpus.

    Attributes:
        id: as in ``wav.scp``.
        path: of the audio file, which exists.
        speaker: from ``utt2spk``; the utterance's own id where that says nothing.
        duration: seconds, from ``utt2dur``; None where that says nothing.
        text: transcript; None without one.
        alignment: phones and silence on the 10 ms grid from 0 s on, without gaps or overlaps;
            None without one.
    """

    id: str
    path: Path
    speaker: str
    duration: float | None = None
    text: str | None = None
    alignment: tuple[Segment, ...] | None = None


@dataclass(frozen=True)
class Corpus:
    """The usable utterances of a corpus folder or one of its splits, in the order listed there.

    Attributes:
        folder: where it was read.
        split: name of the split, None for the whole corpus.
        utterances: at least one.
        problems: one line for each utterance left out or line not understood.
    """

    folder: Path
    split: str | None
    utterances: tuple[Utterance, ...]
    problems: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.folder.resolve().name

    def __len__(self) -> int:
        return len(self.utterances)

    def __iter__(self) -> Iterator[Utterance]:
        return iter(self.utterances)


def read_entry(corpora: Path, entry: str, *, phones: PhoneSet, alignments: bool = True) -> Corpus:
    """Read what a recipe lists as ``corpus/split``, or ``corpus/all``; see :func:`read_corpus`.

    Args:
        corpora: folder that holds the corpus folders.
    """
    name, split = entry.split("/")
    return read_corpus(
        corpora / name,
        phones=phones,
        split=None if split == "all" else split,
        alignments=alignments,
    )


def read_corpus(
    folder: str | Path,
    *,
    phones: PhoneSet,
    split: str | None = None,
    alignments: bool = True,
    strict: bool = False,
) -> Corpus:
    """Read a corpus folder, or one split of it.

    Args:
        folder: of the form above.
        phones: the labels alignments may use.
        split: name of a file in ``splits/``; None for every utterance of ``wav.scp``.
        alignments: leave out utterances that have no phone alignment (for training and scoring);
            when false, ``phones.ctm`` is not read at all.
        strict: raise the first problem instead of collecting it.

    Raises:
        CorpusError: if the folder, ``wav.scp``, the split or (with ``alignments``) the alignment
            file is missing, empty or not readable, if nothing usable remains, or, with
            ``strict``, for any problem.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise CorpusError(f"{folder}: no such folder; give one that holds a wav.scp")
    if (folder / "segments").exists():
        raise CorpusError(
            f"{folder / 'segments'}: utterances cut out of longer recordings are not supported; "
            "write one audio file an utterance and list them in wav.scp"
        )
    problems: list[str] = []

    def report(problem: str) -> None:
        if strict:
            raise CorpusError(problem)
        problems.append(one_line(problem))

    paths = _read_paths(folder, report)
    wanted = _wanted(folder, split, paths, report)
    speakers = read_table(folder / "utt2spk", wanted, report)
    durations = read_table(folder / "utt2dur", wanted, report)
    texts = read_table(folder / "text", wanted, report, may_be_empty=True)
    if speakers and (orphans := [u for u in wanted if u not in speakers]):
        report(
            f"{folder / 'utt2spk'}: no speaker for {len(orphans)} utterances (first: "
            f"{orphans[0]}); each counts as its own speaker until it is listed"
        )
    ctm = _find_ctm(folder) if alignments else None
    entries = _read_ctm(ctm, set(wanted)) if ctm else {}

    utterances = []
    for utterance in wanted:
        try:
            if not os.path.isfile(paths[utterance]):
                raise CorpusError(
                    f"{folder / 'wav.scp'}: {utterance}: no file {str(paths[utterance])!r}; "
                    "put it there or correct the path"
                )
            duration = _duration(folder / "utt2dur", utterance, durations.get(utterance))
            aligned = None
            if ctm:
                lines = entries.get(utterance, [])
                aligned = alignment_from_ctm(ctm, utterance, lines, phones, duration)
        except CorpusError as error:
            report(str(error))
            continue
        speaker, text = speakers.get(utterance, utterance), texts.get(utterance)
        path = Path(paths[utterance])
        utterances.append(Utterance(utterance, path, speaker, duration, text, aligned))
    if not utterances:
        first = f"; first of {len(problems)} problems: {problems[0]}" if problems else ""
        raise CorpusError(f"{folder}: no usable utterance in {split or 'wav.scp'}{first}")
    return Corpus(folder, split, tuple(utterances), tuple(problems))


def _read_lines(path: Path) -> list[tuple[int, str]]:
    """The numbered lines of a UTF-8 text file, gzipped or plain, without the blank ones.

    Raises:
        CorpusError: if it cannot be read, unpacked or decoded.
    """
    try:
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = gzip.decompress(data)
        content = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
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
    return [(number, line.strip()) for number, line in numbered if line.strip()]


def _read_paths(folder: Path, report: Callable[[str], None]) -> dict[str, str]:
    """Utterance → path from ``wav.scp``, without the lines that are no plain paths."""
    path = folder / "wav.scp"
    paths: dict[str, str] = {}
    lines = _read_lines(path)
    counts = Counter(line.split(None, 1)[0] for _, line in lines)
    for number, line in lines:
        utterance, *rest = line.split(None, 1)
        if counts[utterance] > 1:
            report(f"{path}:{number}: {utterance} is listed more than once; keep one line")
        elif not rest:
            report(f"{path}:{number}: {line!r} has no path; write: utterance path")
        elif rest[0].startswith("|") or rest[0].endswith("|"):
            report(
                f"{path}:{number}: {utterance}: a pipe is never executed ({rest[0][:60]!r}); "
                "convert the audio once and give its path"
            )
        else:
            paths[utterance] = os.path.join(folder, rest[0])
    if not lines:
        raise CorpusError(f"{path}: is empty; write one line an utterance: utterance path")
    return paths


def _wanted(
    folder: Path, split: str | None, paths: dict[str, str], report: Callable[[str], None]
) -> list[str]:
    """The utterances to read, in order: those of the split that ``wav.scp`` has."""
    if split is None:
        return list(paths)
    path = folder / "splits" / split
    if not path.is_file():
        names = sorted(p.name for p in path.parent.iterdir()) if path.parent.is_dir() else []
        known = f"this corpus has {', '.join(names)}" if names else "this corpus has no splits"
        raise CorpusError(f"{path}: no such split; {known}")
    wanted: dict[str, None] = {}
    lines = _read_lines(path)
    if not lines:
        raise CorpusError(f"{path}: the split is empty; write one utterance id a line")
    for number, utterance in lines:
        if utterance in wanted:
            report(f"{path}:{number}: {utterance} is listed more than once; it is used once")
        elif utterance in paths:
            wanted[utterance] = None
        else:
            report(f"{path}:{number}: {utterance!r} is not usable in wav.scp; list it there")
    return list(wanted)


def read_table(
    path: Path, wanted: Sequence[str], report: Callable[[str], None], may_be_empty: bool = False
) -> dict[str, str]:
    """Utterance → rest of its line for the wanted utterances; nothing if there is no such file."""
    if not path.exists():
        return {}
    table: dict[str, str] = {}
    known = set(wanted)
    for number, line in _read_lines(path):
        utterance, *rest = line.split(None, 1)
        if utterance not in known:
            continue
        if utterance in table:
            report(f"{path}:{number}: {utterance} is listed more than once; the first line counts")
        elif rest or may_be_empty:
            table[utterance] = rest[0] if rest else ""
        else:
            report(f"{path}:{number}: {utterance} has no value; write: utterance value")
    return table


def _duration(path: Path, utterance: str, value: str | None) -> float | None:
    """Seconds from ``utt2dur``."""
    if value is None:
        return None
    seconds = seconds_from_text(value)
    if seconds is None or seconds <= 0:
        raise CorpusError(f"{path}: {utterance}: {value!r} is no duration; write it in seconds")
    return seconds


def _find_ctm(folder: Path) -> Path:
    """The phone alignment file of a corpus; two of them would leave open which one counts."""
    found = [folder / name for name in CTM_NAMES if (folder / name).is_file()]
    if not found:
        raise CorpusError(f"{folder}: no {' or '.join(CTM_NAMES)}; align the corpus first")
    if len(found) > 1:
        raise CorpusError(f"{folder}: has both {' and '.join(CTM_NAMES)}; remove one")
    return found[0]


def _read_ctm(path: Path, wanted: set[str]) -> dict[str, list[tuple[int, str]]]:
    """Utterance → its numbered CTM lines; ``;;`` begins a comment."""
    entries: dict[str, list[tuple[int, str]]] = {}
    for number, line in _read_lines(path):
        utterance = line.split(None, 1)[0]
        if utterance in wanted and not line.startswith(";;"):
            entries.setdefault(utterance, []).append((number, line))
    return entries
