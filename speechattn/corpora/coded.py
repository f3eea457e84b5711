"""A second version of every utterance of a prepared set: as a codec leaves it.

``coded.npy`` lies beside ``frames.npy`` and has its shape. Codecs work on samples, which training
never sees, so what they leave is computed once, when the set is prepared. Each utterance has one
codec, drawn by a digest of its name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

import numpy as np
import torch

from speechattn.audio.codecs import through_drawn_codec
from speechattn.audio.features import FrontEnd, FrontEndConfig
from speechattn.corpora.frames import by_recording
from speechattn.corpora.prepared import CODED, PreparedSet, PreparedUtterance
from speechattn.corpora.spans import read_spans
from speechattn.errors import CorpusError
from speechattn.files import atomic_path
from speechattn.progress import with_progress


def add_coded(folder: str | Path, front_end: FrontEndConfig, progress: str | None = None) -> None:
    """Write ``coded.npy``: every utterance of a prepared set as a codec leaves it.

    Args:
        folder: as :func:`~speechattn.corpora.prepared.prepare_set` writes it.
        front_end: front end of its frames.
        progress: what the progress is called; None to show none.

    Raises:
        CorpusError: if the set is damaged, or a recording has changed since.
        AudioError: if a recording cannot be decoded any more.
        OSError: if the file cannot be written.
    """
    folder, frames_of = Path(folder), FrontEnd(front_end)
    prepared = PreparedSet(folder)

    def work(group: list[PreparedUtterance]) -> list[np.ndarray]:
        return list(_coded_frames(group, frames_of))

    shape = (prepared.num_frames, front_end.dim)
    header = {"descr": np.dtype(np.float16).str, "fortran_order": False, "shape": shape}
    groups = by_recording(prepared.entries, lambda entry: entry)
    with (
        atomic_path(folder / CODED) as partial,
        partial.open("wb") as file,
        ThreadPoolExecutor(2) as pool,
    ):
        np.lib.format.write_array_header_1_0(file, header)
        results = chain.from_iterable(pool.map(work, groups))
        shown = with_progress(
            results, progress or "", len(prepared), unit="file", shown=progress is not None
        )
        try:
            for frames in shown:
                file.write(frames.astype(np.float16).tobytes())
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)  # or all of it would be computed
            raise


def _coded_frames(group: list[PreparedUtterance], front_end: FrontEnd) -> Iterator[np.ndarray]:
    """Frames of the utterances of one recording, shape (frames, dim) each."""
    path = group[0].path
    for entry, samples in zip(group, read_spans(path, [(e.start, e.end) for e in group])):
        digest = hashlib.blake2b(f"{entry.corpus}/{entry.id}".encode(errors="surrogateescape"))
        random = np.random.default_rng(int.from_bytes(digest.digest()[:8], "little"))
        stream = front_end.stream()
        heard = torch.from_numpy(through_drawn_codec(samples, random))
        frames = torch.cat([stream.push(heard), stream.finish()]).numpy()
        if len(frames) != entry.frames:
            raise CorpusError(
                f"{path}: {entry.id} has {len(frames)} frames, and had {entry.frames} when the set "
                "was prepared; run stage prepare again (stages=prepare force=true)"
            )
        yield frames
