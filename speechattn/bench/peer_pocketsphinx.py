"""The peer pocketsphinx in its allphone mode; see :mod:`~speechattn.bench.peers`.

Phone decoding with a phone language model (``allphone``), at the settings that CMU Sphinx's
tutorial on phoneme recognition gives (language weight 2.0, beams 1e-20), with a phone insertion
penalty of 0.3.
"""

from __future__ import annotations

import os
import sys

import numpy as np

from speechattn.bench.peers import recognise_all, tile
from speechattn.bench.recordings import pcm16
from speechattn.segments import Segment

SETTINGS = {"lw": 2.0, "pip": 0.3, "beam": 1e-20, "pbeam": 1e-20}


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
