"""The peer hama, phones in IPA from a small CTC model; see :mod:`~speechattn.bench.peers`.

It takes a recording as a whole, and gives each phone from the moment it is sure of it to the moment
it is sure of the next, in frames of 20 ms.
"""

from __future__ import annotations

import sys

import numpy as np

from speechattn.bench.peers import recognise_all, tile
from speechattn.segments import Segment
from speechattn.timing import SAMPLE_RATE

OUR_FRAMES = 2  # of 10 ms, in one of its own


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
