"""Corpora: folders of recordings with time-aligned phones, in Kaldi's data-dir conventions.

A corpus folder holds ``wav.scp`` (utterance, path relative to the folder) and perhaps ``utt2spk``,
``utt2dur`` (seconds), ``text``, ``phones.ctm`` or ``phones.ctm.gz`` (utterance, channel, start,
duration, phone) and ``splits/NAME`` (utterance ids). With ``segments`` (utterance, recording,
start, end in seconds; -1 for the end of the recording), ``wav.scp`` lists recordings, and times in
``phones.ctm`` still count from the start of the utterance.

An error in one utterance leaves it out and becomes a line in ``Corpus.problems``. An error that
leaves nothing out becomes a line in ``Corpus.notes``. An error in the corpus as a whole is a
:class:`CorpusError`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from speechattn.corpora.alignment import alignment_from_ctm
from speechattn.corpora.tables import (
    Span,
    Unusable,
    duration_from_text,
    find_ctm,
    read_ctm,
    read_lines,
    read_paths,
    read_segments,
    read_table,
)
from speechattn.errors import CorpusError
from speechattn.files import is_file, is_folder
from speechattn.phones import PhoneSet
from speechattn.segments import Segment
from speechattn.text import one_line


@dataclass(frozen=True)
class Utterance:
    """One recording of a corpus.

    Attributes:
        id: id of the utterance, as in ``wav.scp``.
        path: path of the audio file, which exists.
        speaker: from ``utt2spk``; the utterance's own id if it is not listed there.
        duration: seconds, from ``utt2dur``; None if it is not listed there.
        text: transcript; None without one.
        alignment: phones and silence from 0 s on, without gaps or overlaps; on the 10 ms grid if
            :func:`read_corpus` read it. None without one.
        words: with their times, as far as the corpus has any; no pauses.
        start: seconds in the audio file where the utterance begins; alignment and words count from
            there.
        end: seconds in the audio file where it ends; None for the end of the file.
    """

    id: str
    path: Path
    speaker: str
    duration: float | None = None
    text: str | None = None
    alignment: tuple[Segment, ...] | None = None
    words: tuple[Segment, ...] = ()
    start: float = 0.0
    end: float | None = None

    @property
    def is_whole(self) -> bool:
        """Whether it is all of its audio file."""
        return self.start == 0 and self.end is None


@dataclass(frozen=True)
class Corpus:
    """The usable utterances of a corpus folder or one of its splits, in the order listed there.

    Attributes:
        folder: where it was read.
        split: name of the split, None for the whole corpus.
        utterances: at least one.
        problems: one line for each utterance left out.
        splits: name → utterance ids, where a reader of :mod:`speechattn.corpora.readers` found any.
        notes: one line for each error that leaves nothing out.
    """

    folder: Path
    split: str | None
    utterances: tuple[Utterance, ...]
    problems: tuple[str, ...] = ()
    splits: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

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
        strict: raise the first problem or note instead of collecting it.

    Raises:
        CorpusError: if the folder, ``wav.scp``, the split or (with ``alignments``) the alignment
            file is missing, empty or not readable, if nothing usable remains, or, with
            ``strict``, for any problem or note.
    """
    folder = Path(folder)
    if not is_folder(folder):
        raise CorpusError(f"{folder}: no such folder; give one that holds a wav.scp")
    problems: list[str] = []
    notes: list[str] = []

    def report(problem: str) -> None:
        if strict:
            raise CorpusError(problem)
        problems.append(one_line(problem))

    def note(text: str) -> None:
        if strict:
            raise CorpusError(text)
        notes.append(one_line(text))

    paths, unusable = read_paths(folder)
    spans: dict[str, Span] = {}
    if (folder / "segments").exists():
        paths, spans, unusable = read_segments(folder / "segments", paths, unusable, note)
    wanted = _wanted(folder, split, paths, unusable, report, note)
    speakers = read_table(folder / "utt2spk", wanted, note)
    durations = read_table(folder / "utt2dur", wanted, note)
    texts = read_table(folder / "text", wanted, note, may_be_empty=True)
    if speakers and (orphans := [u for u in wanted if u not in speakers]):
        note(
            f"{folder / 'utt2spk'}: no speaker for {len(orphans)} utterances (first: "
            f"{orphans[0]}); each counts as its own speaker until it is listed"
        )
    ctm = find_ctm(folder) if alignments else None
    entries = read_ctm(ctm, set(wanted)) if ctm else {}

    utterances = []
    for utterance in wanted:
        try:
            if not is_file(paths[utterance]):
                raise CorpusError(
                    f"{folder / 'wav.scp'}: {utterance}: no file {str(paths[utterance])!r}; "
                    "put it there or correct the path"
                )
            duration = duration_from_text(folder / "utt2dur", utterance, durations.get(utterance))
            start, end = spans.get(utterance, (0.0, None))
            duration = end - start if duration is None and end is not None else duration
            aligned = None
            if ctm:
                lines = entries.get(utterance, [])
                aligned = alignment_from_ctm(ctm, utterance, lines, phones, duration)
        except CorpusError as error:
            report(str(error))
            continue
        speaker, text = speakers.get(utterance, utterance), texts.get(utterance)
        path = paths[utterance]
        utterances.append(
            Utterance(utterance, path, speaker, duration, text, aligned, (), start, end)
        )
    if not utterances:
        first = f"; first of {len(problems)} problems: {problems[0]}" if problems else ""
        raise CorpusError(f"{folder}: no usable utterance in {split or 'wav.scp'}{first}")
    return Corpus(folder, split, tuple(utterances), tuple(problems), notes=tuple(notes))


def _wanted(
    folder: Path,
    split: str | None,
    paths: dict[str, Path],
    unusable: Unusable,
    report: Callable[[str], None],
    note: Callable[[str], None],
) -> list[str]:
    """Return the usable utterances of a split, or of the corpus, and report the others of it."""
    if split is None:
        for problem in chain.from_iterable(unusable.values()):
            report(problem)
        return list(paths)
    path = folder / "splits" / split
    if not path.is_file():
        names = sorted(p.name for p in path.parent.iterdir()) if path.parent.is_dir() else []
        known = f"this corpus has {', '.join(names)}" if names else "this corpus has no splits"
        raise CorpusError(f"{path}: no such split; {known}")
    wanted: dict[str, None] = {}
    lines = read_lines(path)
    if not lines:
        raise CorpusError(f"{path}: the split is empty; write one utterance id a line")
    for number, utterance in lines:
        if utterance in wanted:
            note(f"{path}:{number}: {utterance} is listed more than once; it is used once")
        elif utterance in paths:
            wanted[utterance] = None
        else:
            unlisted = f"{path}:{number}: {utterance!r} is not usable in wav.scp; list it there"
            for problem in unusable.get(utterance, [unlisted]):
                report(problem)
    return list(wanted)
