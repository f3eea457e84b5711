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

import numpy as np

from speechattn.errors import CorpusError
from speechattn.phones import PhoneSet
from speechattn.segments import FrameRun, Segment
from speechattn.timing import SAMPLE_RATE, frame_to_seconds, num_frames, seconds_to_frame

END_TOLERANCE_FRAMES = 3  # an aligner's last frame may lie this far from the audio's, either side
Span = tuple[int, int, int]  # class, first frame, frame after the last
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
        problems.append(problem)

    paths = _read_paths(folder, report)
    wanted = _wanted(folder, split, paths, report)
    speakers = _read_table(folder / "utt2spk", wanted, report)
    durations = _read_table(folder / "utt2dur", wanted, report)
    texts = _read_table(folder / "text", wanted, report, may_be_empty=True)
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
                aligned = _alignment(ctm, utterance, lines, phones, duration)
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


def reference_runs(
    alignment: Sequence[Segment], num_frames: int, phones: PhoneSet, *, name: str = "alignment"
) -> list[FrameRun]:
    """An alignment as frame runs that cover exactly frames 0 to ``num_frames``.

    Equal phones that follow each other stay apart. What the alignment leaves out is silence, but
    for its end: within ``END_TOLERANCE_FRAMES`` (30 ms) of the recording's end the last segment is
    prolonged or cut, because aligners frame the signal differently there.

    Args:
        alignment: sorted segments in seconds.
        num_frames: 10 ms frames of the audio.
        phones: classes of the labels.
        name: what error messages call the alignment.

    Raises:
        CorpusError: for an unknown label, a segment that has no frame or overlaps the one before,
            or an alignment that ends past the audio.
    """
    if num_frames <= 0:
        raise CorpusError(f"{name}: the audio has no frames; leave the utterance out")
    spans = []
    for segment in alignment:
        if segment.label not in phones.index:
            raise CorpusError(f"{name}: {_unknown(segment.label, phones)}")
        frames = seconds_to_frame(segment.start), seconds_to_frame(segment.end)
        spans.append((phones.index[segment.label], *frames))
    spans = _tile(spans, phones, name)
    if spans:
        _check_end(spans[-1], num_frames, name)
        if spans[-1][2] >= num_frames - END_TOLERANCE_FRAMES:
            spans[-1] = (*spans[-1][:2], num_frames)
    if not spans or spans[-1][2] < num_frames:
        end = spans[-1][2] if spans else 0
        spans = _tile([*spans, (phones.silence_index, end, num_frames)], phones, name)
    return [FrameRun(*span) for span in spans]


def frame_labels(
    alignment: Sequence[Segment], num_frames: int, phones: PhoneSet, *, name: str = "alignment"
) -> np.ndarray:
    """The class of every 10 ms frame, int64, shape (num_frames,); see :func:`reference_runs`.

    Raises:
        CorpusError: as :func:`reference_runs`.
    """
    runs = reference_runs(alignment, num_frames, phones, name=name)
    return np.repeat([run.phone for run in runs], [run.end - run.start for run in runs])


def _tile(spans: Sequence[Span], phones: PhoneSet, name: str) -> list[Span]:
    """Check that spans follow each other, and fill what lies between them with silence.

    Silence after silence becomes one silence, whereas two equal phones are two phones.
    """
    silence = phones.silence_index
    tiled: list[Span] = []

    def add(phone: int, start: int, stop: int) -> None:
        if phone == silence and tiled and tiled[-1][0] == silence:
            start = tiled.pop()[1]
        tiled.append((phone, start, stop))

    end = 0
    for phone, start, stop in spans:
        if start < end or stop <= start:
            raise CorpusError(
                f"{name}: {phones.names[phone]} at {frame_to_seconds(start):.2f}-"
                f"{frame_to_seconds(stop):.2f} s has no length or begins before the segment before "
                f"it ends ({frame_to_seconds(end):.2f} s); sort and correct the alignment"
            )
        if start > end:
            add(silence, end, start)
        add(phone, start, stop)
        end = stop
    return tiled


def _check_end(last: Span, num_frames: int, name: str) -> None:
    """Refuse an alignment that reaches past its audio, or whose last phone lies wholly there."""
    _, start, stop = last
    if stop > num_frames + END_TOLERANCE_FRAMES or start >= num_frames:
        raise CorpusError(
            f"{name}: CTM past the end of its audio: the last phone ends at "
            f"{frame_to_seconds(stop):.2f} s, the audio at {frame_to_seconds(num_frames):.2f} s; "
            "align this recording again"
        )


def _unknown(label: str, phones: PhoneSet) -> str:
    """Say that a label is unknown, and what it was probably meant to be."""
    bare = label.rstrip("012").upper()
    if bare in phones.index:
        way_out = f"write {bare}"
    elif label.lower() in ("", "sp", "spn", "sil", "pau", "h#", "<eps>"):
        way_out = f"silence is {phones.silence} here"
    else:
        way_out = f"use one of {phones.names[0]} ... {phones.names[-1]}"
    return f"unknown phone {label!r} among the {len(phones)} of the phone set; {way_out}"


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


def _read_table(
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
    seconds = _number(value)
    if seconds is None or seconds <= 0:
        raise CorpusError(f"{path}: {utterance}: {value!r} is no duration; write it in seconds")
    return seconds


def _number(value: str) -> float | None:
    """A number of seconds that can be counted in frames, or None."""
    try:
        number = float(value)
    except ValueError:
        return None
    return number if abs(number) < 1e9 else None  # False for NaN as well


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


def _alignment(
    path: Path,
    utterance: str,
    lines: Sequence[tuple[int, str]],
    phones: PhoneSet,
    duration: float | None,
) -> tuple[Segment, ...]:
    """The alignment of one utterance, snapped to the 10 ms grid, its gaps filled with silence."""
    if not lines:
        raise CorpusError(f"{path}: {utterance}: no alignment; align it or leave it out")
    spans = []
    for number, line in lines:
        columns = line.split()
        if len(columns) not in (5, 6):  # a sixth is a confidence
            raise CorpusError(
                f"{path}:{number}: {len(columns)} columns in {line[:60]!r}; "
                "write: utterance channel start duration phone"
            )
        start, length, label = _number(columns[2]), _number(columns[3]), columns[4]
        if start is None or length is None or start < 0 or length <= 0:
            raise CorpusError(
                f"{path}:{number}: {utterance}: start {columns[2]!r} and duration {columns[3]!r} "
                "are no stretch of time; write both in seconds"
            )
        if label not in phones.index:
            raise CorpusError(f"{path}:{number}: {utterance}: {_unknown(label, phones)}")
        # Rounding the sum lets "0.125" and "0.075 + 0.050" fall on the same frame.
        stop = seconds_to_frame(round(start + length, 6))
        spans.append((phones.index[label], seconds_to_frame(start), stop))
    spans = _tile(spans, phones, f"{path}:{lines[0][0]}: {utterance}")
    if duration is not None:
        frames = num_frames(round(duration * SAMPLE_RATE))
        _check_end(spans[-1], frames, f"{path}:{lines[-1][0]}: {utterance}")
    return tuple(
        Segment(phones.names[phone], frame_to_seconds(start), frame_to_seconds(stop))
        for phone, start, stop in spans
    )
