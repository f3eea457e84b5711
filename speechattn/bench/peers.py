"""What all peers of ``speechattn bench transcribe`` do: a list of files in, TextGrids out.

``python -m speechattn.bench.peer_NAME LIST OUT``: LIST is a JSON array of paths, OUT a folder.
Audio comes through our own door and results leave through our own writers, so that a comparison is
about the recognition between them. The process never imports PyTorch.

The peer pocketsphinx in its allphone mode; see :mod:`~speechattn.bench.peers`.

Phone decoding with a phone language model (``allphone``), at the settings that CMU Sphinx's
tutorial on phoneme recognition gives (language weight 2.0, beams 1e-20), with a phone insertion
penalty of 0.3.

The peer hama, phones in IPA from a small CTC model; see :mod:`~speechattn.bench.peers`.

It takes a recording as a whole, and gives each phone from the moment it is sure of it to the moment
it is sure of the next, in frames of 20 ms.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from speechattn.audio.load import read_audio
from speechattn.bench.sounds import pcm16
from speechattn.files import atomic_write_text
from speechattn.segments import SAMPLE_RATE, Segment, frame_to_seconds
from speechattn.transcription.formats.registry import WRITERS

SILENCE = "SIL"


SETTINGS = {"lw": 2.0, "pip": 0.3, "beam": 1e-20, "pbeam": 1e-20}

OUR_FRAMES = 2  # of 10 ms, in one of its own


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


if __name__ == "__main__":
    recognise_all(sys.argv[1:], AllphoneDecoder().phones)


class CtcModel:
    """hama with the model that comes with it."""

    def __init__(self) -> None:
        from hama.asr import ASRModel

        self._model = ASRModel()

    def phones(self, samples: np.ndarray) -> list[Segment]:
        """The phones of a recording, from 0 to its end.

        Args:
            samples: 16 kHz mono floats, shape (samples,).
        """
        result = self._model.transcribe_waveform(samples, SAMPLE_RATE)
        spans = self._model.phoneme_spans(result)
        return tile([(span.phoneme, OUR_FRAMES * span.start_frame) for span in spans], len(samples))


if __name__ == "__main__":
    recognise_all(sys.argv[1:], CtcModel().phones)
