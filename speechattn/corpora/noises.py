"""Recorded noises for augmentation: their frames, computed once and kept in one file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save
from tqdm import tqdm

from speechattn.audio.features import FrontEnd, FrontEndConfig
from speechattn.audio.load import AUDIO_SUFFIXES
from speechattn.corpora.prepared import file_frames
from speechattn.errors import CorpusError
from speechattn.files import atomic_write_bytes
from speechattn.text import one_line


def prepare_noises(target: Path, folder: Path, config: FrontEndConfig) -> None:
    """Compute the frames of every recording in a folder and write them to one file.

    Args:
        target: the file, replaced if it exists.
        folder: searched with all its folders.
        config: what a frame is.

    Raises:
        CorpusError: if there is no recording.
        AudioError: if one cannot be read.
        OSError: if the file cannot be written.
    """
    front_end = FrontEnd(config)
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES)
    if not files:
        raise CorpusError(
            f"noise: no recordings in {one_line(folder)}; name a folder of the corpora that has "
            "some, or none at all (noise=null)"
        )
    frames = {
        path.relative_to(folder).as_posix(): file_frames(path, front_end).half().numpy()
        for path in tqdm(files, desc="prepare noise", unit="file")
    }
    atomic_write_bytes(target, save(frames))


def read_noises(path: Path) -> list[np.ndarray]:
    """What :func:`prepare_noises` wrote: log-mel frames, float16, shape (frames, bins) each.

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
