"""The peer: pocketsphinx in its allphone mode, files in, TextGrids out.

``python -m speechattn.bench.peer_pocketsphinx LIST OUT``: LIST is a JSON array of paths, OUT a
folder. Audio comes through our own door and results leave through our own writers, so that a
comparison is about the recognition between them. The process never imports PyTorch.

Phone decoding with a phone language model (``allphone``), at the settings that CMU Sphinx's
tutorial on phoneme recognition gives (language weight 2.0, beams 1e-20), with a phone insertion
penalty of 0.3.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from speechattn.atomic import atomic_write_text
from speechattn.audio import read_audio
from speechattn.bench.recordings import pcm16
from speechattn.segments import Segment
from speechattn.timing import SAMPLE_RATE, frame_to_seconds
from speechattn.writers import WRITERS

SETTINGS = {"lw": 2.0, "pip": 0.3, "beam": 1e-20, "pbeam": 1e-20}
SILENCE = "SIL"


class AllphoneDecoder:
    """pocketsphinx with its US English model, recognising phones."""

    def __init__(self) -> None:
        import pocketsphinx

        model = os.path.join(pocketsphinx.get_model_path(), "en-us")
        self._decoder = pocketsphinx.Decoder(
            hmm=os.path.join(model, "en-us"),
            allphone=os.path.join(model, "en-us-phone.lm.bin"),
            # It would load its dictionary and never use it: without, it starts 0.4 s earlier.
            lm=None,
            dict=None,
            loglevel="ERROR",
            **SETTINGS,
        )

    def phones(self, samples: np.ndarray) -> list[Segment]:
        """The phones of a recording, from 0 to its end.

        Args:
            samples: 16 kHz mono floats, shape (samples,).
        """
        self._decoder.start_utt()
        self._decoder.process_raw(pcm16(samples), no_search=False, full_utt=True)
        self._decoder.end_utt()
        # It gives None for a recording too short for a phone.
        found = [(entry.word, entry.start_frame) for entry in self._decoder.seg() or ()]
        return tile(found, len(samples))


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


def main(arguments: Sequence[str]) -> None:
    """Recognise every file of a list, one TextGrid each, numbered in the order of the list."""
    listing, folder = map(Path, arguments)
    decoder = AllphoneDecoder()
    for number, path in enumerate(json.loads(listing.read_text(encoding="ascii"))):
        samples, _ = read_audio(path)
        result = SimpleNamespace(
            phones=decoder.phones(samples), duration=len(samples) / SAMPLE_RATE
        )
        text = WRITERS["textgrid"].render(result, path, SILENCE)
        atomic_write_text(folder / f"{number:06d}.TextGrid", text)


if __name__ == "__main__":
    main(sys.argv[1:])
