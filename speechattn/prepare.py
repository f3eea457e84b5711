"""Prepared sets: the frames and labels of a corpus split, computed once and kept on disk.

A set is a folder: ``frames.npy`` (all frames, float16), ``runs.npy`` (reference segments as
phone, first frame, frame after the last) and ``index.json`` (utterances and where theirs begin).
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from speechattn.alignment import reference_runs
from speechattn.audio import AudioFile
from speechattn.corpus import Corpus, Utterance
from speechattn.errors import CorpusError, SpeechattnError
from speechattn.frontend import FrontEnd, FrontEndConfig
from speechattn.phones import PhoneSet
from speechattn.segments import FrameRun


@dataclass(frozen=True)
class Entry:
    """One utterance of a prepared set.

    Attributes:
        id, speaker, corpus: where it comes from.
        path: its audio file.
        first, frames: its rows of ``frames.npy``.
        first_run, runs: its rows of ``runs.npy``.
    """

    id: str
    speaker: str
    corpus: str
    path: str
    first: int
    frames: int
    first_run: int
    runs: int


class PreparedSet:
    """The frames and labels of a set, read from its folder as they are needed."""

    def __init__(self, folder: str | Path):
        folder = Path(folder)
        index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        self.entries = [Entry(**entry) for entry in index["utterances"]]
        self.problems: list[str] = index["problems"]
        self._frames = np.load(folder / "frames.npy", mmap_mode="r", allow_pickle=False)
        self._runs = np.load(folder / "runs.npy", allow_pickle=False)

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def num_frames(self) -> int:
        """10 ms frames in all."""
        return sum(entry.frames for entry in self.entries)

    def frames(self, entry: Entry) -> np.ndarray:
        """Frames of an utterance, float32, shape (frames, dim)."""
        return self._frames[entry.first : entry.first + entry.frames].astype(np.float32)

    def runs(self, entry: Entry) -> list[FrameRun]:
        """Reference segments of an utterance."""
        rows = self._runs[entry.first_run : entry.first_run + entry.runs]
        return [FrameRun(int(p), int(s), int(e)) for p, s, e in rows]

    def labels(self, entry: Entry) -> np.ndarray:
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
    """Compute frames and labels and write them to ``folder``, whole or not at all.

    Args:
        folder: replaced if it exists.
        corpora: with alignments.
        phones: classes of the labels.
        front_end: what a frame is.
        progress: what the progress bar says; None for no bar.

    Returns:
        One line for each utterance that had to be left out.

    Raises:
        CorpusError: if nothing remains.
    """
    corpora = list(corpora)
    chosen = [(c, u) for c in corpora for u in c.utterances]
    problems = [problem for corpus in corpora for problem in corpus.problems]
    compute = FrontEnd(front_end)

    def work(item: tuple[Corpus, Utterance]):
        corpus, utterance = item
        name = f"{corpus.name}: {utterance.id}"
        try:
            frames = file_frames(utterance.path, compute)
            return frames, reference_runs(utterance.alignment, len(frames), phones, name=name)
        except (SpeechattnError, OSError) as error:
            return str(error), None

    folder = Path(folder)
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    entries, runs, first, first_run = [], [], 0, 0
    with ThreadPoolExecutor(2) as pool, open(partial / "frames.raw", "wb") as raw:
        results = pool.map(work, chosen)
        bar = tqdm(results, desc=progress, total=len(chosen), disable=progress is None, unit="file")
        for (corpus, utterance), (frames, reference) in zip(chosen, bar):
            if reference is None:
                problems.append(frames)
                continue
            raw.write(frames.numpy().astype(np.float16).tobytes())
            where = str(Path(utterance.path).resolve())
            entries.append(
                Entry(
                    utterance.id, utterance.speaker, corpus.name, where,
                    first, len(frames), first_run, len(reference),
                )
            )  # fmt: skip
            runs += [(run.phone, run.start, run.end) for run in reference]
            first += len(frames)
            first_run += len(reference)
    if not entries:
        why = problems[0] if problems else "no utterance was chosen"
        raise CorpusError(f"{folder.name}: no usable utterance; the first problem: {why}")
    _finish(partial, first, compute.config.dim, runs, entries, problems)
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
    return problems


def file_frames(path: str | Path, front_end: FrontEnd) -> torch.Tensor:
    """All frames of an audio file, shape (frames, dim)."""
    stream = front_end.stream()
    with AudioFile(path) as audio:
        parts = [stream.push(torch.from_numpy(block)) for block in audio.blocks()]
    return torch.cat([*parts, stream.finish()])


def _finish(partial: Path, frames: int, dim: int, runs: list, entries: list, problems: list):
    raw = partial / "frames.raw"
    stored = np.memmap(raw, np.float16, "r", shape=(frames, dim))
    np.save(partial / "frames.npy", stored)
    raw.unlink()
    np.save(partial / "runs.npy", np.array(runs, dtype=np.int32).reshape(-1, 3))
    index = {"problems": problems, "utterances": [asdict(entry) for entry in entries]}
    (partial / "index.json").write_text(json.dumps(index), encoding="utf-8")


def held_out(utterance: Utterance, share: float) -> bool:
    """Whether an utterance is kept back from training: decided by its text, for ever the same.

    All recordings of one sentence fall on the same side.
    """
    text = utterance.text or utterance.id
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64
