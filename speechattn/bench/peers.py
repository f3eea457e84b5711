"""What all peers of ``speechattn bench transcribe`` do: a list of files in, TextGrids out.

``python -m speechattn.bench.peer_NAME LIST OUT``: LIST is a JSON array of paths, OUT a folder.
Audio comes through our own door and results leave through our own writers, so that a comparison is
about the recognition between them. The process never imports PyTorch.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from speechattn.audio.load import read_audio
from speechattn.files import atomic_write_text
from speechattn.segments import Segment
from speechattn.timing import SAMPLE_RATE, frame_to_seconds
from speechattn.transcription.formats.registry import WRITERS

SILENCE = "SIL"


def tile(found: Sequence[tuple[str, int]], num_samples: int) -> list[Segment]:
    """Segments that cover a recording, each up to the start of the next one.

    Args:
        found: labels and first frames (10 ms), in order; silence if there is none.
        num_samples: length of the recording at 16 kHz.
    """
    duration = num_samples / SAMPLE_RATE
    found = found or [(SILENCE, 0)]
    starts = [0.0, *(frame_to_seconds(frame) for _, frame in found[1:])]
    edges = [start for start in starts if start < duration] + [duration]
    return [Segment(label, *edge) for (label, _), edge in zip(found, pairwise(edges))]


def recognise_all(arguments: Sequence[str], phones: Callable[[np.ndarray], list[Segment]]) -> None:
    """Recognise every file of a list, one TextGrid each, numbered in the order of the list.

    Args:
        arguments: LIST and OUT.
        phones: segments that cover a recording, given its 16 kHz mono samples.
    """
    listing, folder = map(Path, arguments)
    for number, path in enumerate(json.loads(listing.read_text(encoding="ascii"))):
        samples, _ = read_audio(path)
        result = SimpleNamespace(phones=phones(samples), duration=len(samples) / SAMPLE_RATE)
        text = WRITERS["textgrid"].render(result, path, SILENCE)
        atomic_write_text(folder / f"{number:06d}.TextGrid", text)
