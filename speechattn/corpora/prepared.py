"""Prepared sets: frames and labels of corpora, and frames of noises, computed once on disk.

A set is a folder: ``frames.npy`` (all frames, float16), ``runs.npy`` (reference segments as
phone, first frame, frame after the last) and ``index.json`` (names of the phones, and for each
utterance where its frames and segments begin). A training set may have ``coded.npy`` as well, see
:mod:`speechattn.corpora.coded`. Noises for augmentation are in one file.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from speechattn.audio.features import FrontEnd, FrontEndConfig
from speechattn.audio.load import AUDIO_SUFFIXES
from speechattn.corpora.corpus import Corpus
from speechattn.corpora.frames import Item, LabelledFrames, by_recording, file_frames, group_frames
from speechattn.errors import CorpusError
from speechattn.files import atomic_folder, atomic_write_bytes
from speechattn.phones import PhoneSet
from speechattn.progress import with_progress
from speechattn.segments import FrameSegment
from speechattn.text import one_line

CODED = "coded.npy"

# Errors raised by JSON of another shape and by arrays that are cut off.
_DAMAGE = (
    ValueError, TypeError, AttributeError, EOFError, RecursionError, zipfile.BadZipFile,
)  # fmt: skip


@dataclass(frozen=True)
class PreparedUtterance:
    """One utterance of a prepared set.

    Attributes:
        id, speaker, corpus: where it comes from.
        path: its audio file.
        first, frames: its rows of ``frames.npy``.
        first_run, runs: its rows of ``runs.npy``.
        start, end: where it lies in its audio file, seconds; None for the end of the file.
        text: what is said; None if nothing says it, or in a set of an early version.
    """

    id: str
    speaker: str
    corpus: str
    path: str
    first: int
    frames: int
    first_run: int
    runs: int
    start: float = 0.0
    end: float | None = None
    text: str | None = None


class PreparedSet:
    """The frames and labels of a set, read from its folder as they are needed.

    Args:
        folder: as :func:`prepare_set` writes it.

    Attributes:
        entries: the utterances.
        problems: one line for each utterance that was left out.
        phones: names of the classes; empty in a set of an early version.
        digest: of all frames and labels; None in a set of an early version.

    Raises:
        CorpusError: if something is missing or damaged, or the files do not belong together.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = folder = Path(folder)
        try:
            index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
            self.entries = [PreparedUtterance(**entry) for entry in index["utterances"]]
            self.problems: list[str] = list(index["problems"])
            self.phones: tuple[str, ...] = tuple(index.get("phones", ()))
            self.digest: str | None = index.get("digest")
            self._frames = np.load(folder / "frames.npy", mmap_mode="r", allow_pickle=False)
            self._runs = np.load(folder / "runs.npy", mmap_mode="r", allow_pickle=False)
            self._check()
        except KeyError as error:
            raise _damaged(folder, f"no key {error} in index.json") from None
        except OSError as error:
            raise _damaged(folder, error.strerror or str(error)) from None
        except _DAMAGE as error:
            raise _damaged(folder, str(error)) from None

    def _check(self) -> None:
        """Raise a ValueError if the utterances do not tile the frames and the runs."""
        if not self.entries:
            raise ValueError("no utterances")
        if self._frames.ndim != 2 or self._runs.ndim != 2 or self._runs.shape[1] != 3:
            raise ValueError(f"arrays of shape {self._frames.shape} and {self._runs.shape}")
        first = first_run = 0
        for entry in self.entries:
            runs = self._runs[entry.first_run : entry.first_run + entry.runs]
            edges = [0, *runs[:, 2].tolist()]
            tiled = (np.diff(edges) > 0).all() and runs[:, 1].tolist() == edges[:-1]
            if (entry.first, entry.first_run) != (first, first_run) or entry.frames < 1:
                raise ValueError(f"utterance {entry.id} does not follow the one before")
            if len(runs) != entry.runs or not tiled or edges[-1] != entry.frames:
                raise ValueError(f"the labels of utterance {entry.id} do not cover its frames")
            first, first_run = first + entry.frames, first_run + entry.runs
        if (first, first_run) != (len(self._frames), len(self._runs)):
            raise ValueError(f"{len(self._frames)} frames where index.json has {first}")

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def num_frames(self) -> int:
        """10 ms frames in all."""
        return sum(entry.frames for entry in self.entries)

    def frames(self, entry: PreparedUtterance) -> np.ndarray:
        """Frames of an utterance, float32, shape (frames, dim)."""
        return self._frames[entry.first : entry.first + entry.frames].astype(np.float32)

    def coded_frames(self, entry: PreparedUtterance) -> np.ndarray:
        """Frames of an utterance as a codec leaves it, float32, shape (frames, dim).

        Raises:
            CorpusError: if the set has none, or they are damaged.
        """
        return self._coded[entry.first : entry.first + entry.frames].astype(np.float32)

    @cached_property
    def _coded(self) -> np.ndarray:
        try:
            coded = np.load(self._folder / CODED, mmap_mode="r", allow_pickle=False)
        except OSError as error:
            raise _damaged(self._folder, f"{CODED}: {error.strerror or error}") from None
        except _DAMAGE as error:
            raise _damaged(self._folder, f"{CODED}: {error}") from None
        if coded.shape != self._frames.shape:
            raise _damaged(self._folder, f"{CODED} has shape {coded.shape}")
        return coded

    def runs(self, entry: PreparedUtterance) -> list[FrameSegment]:
        """Reference segments of an utterance."""
        rows = self._runs[entry.first_run : entry.first_run + entry.runs]
        return [FrameSegment(int(p), int(s), int(e)) for p, s, e in rows]

    def labels(self, entry: PreparedUtterance) -> np.ndarray:
        """Class of every frame, int64, shape (frames,)."""
        rows = self._runs[entry.first_run : entry.first_run + entry.runs]
        return np.repeat(rows[:, 0], rows[:, 2] - rows[:, 1]).astype(np.int64)


def prepare_set(
    folder: str | Path,
    corpora: Iterable[Corpus],
    *,
    phones: PhoneSet,
    front_end: FrontEndConfig,
    progress: str | None = None,
) -> list[str]:
    """Compute frames and labels and write them to ``folder``, completely or not at all.

    Args:
        folder: folder to write, replaced if it exists. An unfinished set is in
            ``<folder>.partial``; only a killed process leaves it, and the next one removes it.
        corpora: with alignments.
        phones: classes of the labels.
        front_end: front end of the frames.
        progress: what the progress is called; None to show none.

    Returns:
        One line for each utterance that was left out.

    Raises:
        CorpusError: if nothing remains.
        OSError: if the set cannot be written.
    """
    folder, corpora = Path(folder), list(corpora)
    problems = [problem for corpus in corpora for problem in corpus.problems]
    with atomic_folder(folder) as partial:
        digest = hashlib.blake2b(digest_size=16)
        entries, runs = _compute(
            partial, corpora, phones, FrontEnd(front_end), progress, problems, digest
        )
        if not entries:
            why = problems[0] if problems else "no utterance was chosen"
            raise CorpusError(f"{folder.name}: no usable utterance; the first problem: {why}")
        _finish(partial, front_end.dim, runs, entries, problems, phones, digest)
    return problems


def _compute(
    partial: Path,
    corpora: list[Corpus],
    phones: PhoneSet,
    front_end: FrontEnd,
    progress: str | None,
    problems: list[str],
    digest: hashlib.blake2b,
) -> tuple[list[PreparedUtterance], list[tuple[int, int, int]]]:
    """Write ``frames.raw``; return entries and the rows of ``runs.npy``.

    Adds to ``problems``, and the frames to ``digest``.
    """

    def work(group: list[Item]) -> list[LabelledFrames]:
        return group_frames(group, phones, front_end)

    chosen = [(corpus, utterance) for corpus in corpora for utterance in corpus.utterances]
    entries: list[PreparedUtterance] = []
    rows: list[tuple[int, int, int]] = []
    first = 0
    with ThreadPoolExecutor(2) as pool, (partial / "frames.raw").open("wb") as raw:
        results = chain.from_iterable(pool.map(work, by_recording(chosen, lambda item: item[1])))
        shown = with_progress(
            results, progress or "", len(chosen), unit="file", shown=progress is not None
        )
        try:
            for result, (corpus, utterance) in zip(shown, chosen):
                frames, runs = result.frames, result.runs
                if frames is None or runs is None:
                    problems.append(result.problem or utterance.id)
                    continue
                data = frames.numpy().astype(np.float16).tobytes()
                raw.write(data)
                digest.update(data)
                where = str(Path(utterance.path).resolve())
                entries.append(
                    PreparedUtterance(
                        utterance.id, utterance.speaker, corpus.name, where,
                        first, len(frames), len(rows), len(runs),
                        utterance.start, utterance.end, utterance.text,
                    )
                )  # fmt: skip
                rows += [(run.phone, run.start, run.end) for run in runs]
                first += len(frames)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)  # or all of it would be computed
            raise
    return entries, rows


def _finish(
    partial: Path,
    dim: int,
    runs: list,
    entries: list[PreparedUtterance],
    problems: list[str],
    phones: PhoneSet,
    digest: hashlib.blake2b,
) -> None:
    """Turn ``frames.raw`` into the files of a set."""
    raw = partial / "frames.raw"
    frames = sum(entry.frames for entry in entries)
    stored = np.memmap(raw, np.float16, "r", shape=(frames, dim))
    np.save(partial / "frames.npy", stored)
    raw.unlink()
    rows = np.array(runs, dtype=np.int32).reshape(-1, 3)
    np.save(partial / "runs.npy", rows)
    digest.update(rows.tobytes())
    index = {
        "phones": list(phones.names),
        "problems": problems,
        "digest": digest.hexdigest(),
        "utterances": [asdict(entry) for entry in entries],
    }
    (partial / "index.json").write_text(json.dumps(index), encoding="utf-8")


def _damaged(folder: Path, reason: str) -> CorpusError:
    return CorpusError(
        f"{one_line(folder)}: no prepared set, or a damaged one ({one_line(reason)}); "
        "run stage prepare again (stages=prepare force=true)"
    )


def prepare_noises(target: Path, folder: Path, config: FrontEndConfig) -> None:
    """Compute the frames of every recording in a folder and write them to one file.

    Args:
        target: file to write, replaced if it exists.
        folder: folder to search, with all its folders.
        config: front end of the frames.

    Raises:
        CorpusError: if there is no recording.
        AudioError: if one cannot be read.
        OSError: if the file cannot be written.
    """
    front_end = FrontEnd(config)
    found = (path for path in folder.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES)
    files = sorted(found, key=lambda path: path.relative_to(folder).as_posix())
    if not files:
        raise CorpusError(
            f"noise: no recordings in {one_line(folder)}; name a folder of the corpora that has "
            "some, or none at all (noise=null)"
        )
    # Numbered, because the name of a file need not be UTF-8.
    frames = {
        f"{number:08d}": file_frames(path, front_end).half().numpy()
        for number, path in enumerate(with_progress(files, "prepare noise", unit="file"))
    }
    atomic_write_bytes(target, save(frames))


def read_noises(path: Path) -> list[np.ndarray]:
    """Read what :func:`prepare_noises` wrote: log-mel frames, float16, shape (frames, bins) each.

    Raises:
        CorpusError: if it is missing or damaged.
    """
    try:
        return [frames for _, frames in sorted(load_file(path).items())]
    except (OSError, SafetensorError) as error:
        raise CorpusError(
            f"{one_line(path)}: no prepared noises, or damaged ones ({one_line(str(error))}); "
            "run stage prepare again (stages=prepare force=true)"
        ) from None
