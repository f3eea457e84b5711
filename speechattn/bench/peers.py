"""Other phone recognizers that ours is measured against: pocketsphinx and hama.

``python -m speechattn.bench.peers NAME LIST OUT`` is a process that recognises files with one of
them: NAME is one of :data:`PEERS`, LIST a JSON array of paths, OUT a folder for TextGrids. Audio is
read and results are written by our own code, so that a comparison is about the recognition between
them. The process imports neither PyTorch nor the other peer.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import numpy as np

from speechattn.audio.load import read_audio
from speechattn.bench.sounds import pcm16
from speechattn.files import atomic_write_text
from speechattn.inference.transcription import Transcription
from speechattn.segments import SAMPLE_RATE, Segment, frame_to_seconds
from speechattn.transcription.formats.registry import WRITERS

SILENCE = "SIL"
# Language weight and beams of CMU Sphinx's tutorial on phoneme recognition; insertion penalty ours.
SPHINX_SETTINGS = {"lw": 2.0, "pip": 0.3, "beam": 1e-20, "pbeam": 1e-20}
HAMA_FRAMES = 2  # of 10 ms, in one of hama's

HAMA_PHONES = {  # IPA of hama → ARPAbet, as far as English needs it
    **{"ɑ": "AA", "a": "AA", "ɒ": "AA", "æ": "AE", "ʌ": "AH", "ə": "AH", "ɐ": "AH", "ɔ": "AO"},
    **{"aʊ": "AW", "aɪ": "AY", "ɛ": "EH", "ɝ": "ER", "ɚ": "ER", "ɜ": "ER", "eɪ": "EY", "e": "EY"},
    **{"ɪ": "IH", "ɨ": "IH", "i": "IY", "ĩ": "IY", "oʊ": "OW", "o": "OW", "õ": "OW", "ɔɪ": "OY"},
    **{"ʊ": "UH", "u": "UW", "ʉ": "UW", "ũ": "UW", "b": "B", "t͡ʃ": "CH", "d": "D", "ð": "DH"},
    **{"f": "F", "g": "G", "ɡ": "G", "h": "HH", "d͡ʒ": "JH", "k": "K", "kʰ": "K", "l": "L"},
    **{"ɫ": "L", "m": "M", "n": "N", "ŋ": "NG", "p": "P", "pʰ": "P", "ɹ": "R", "r": "R"},
    **{"s": "S", "ʃ": "SH", "t": "T", "tʰ": "T", "ɾ": "T", "θ": "TH", "v": "V", "w": "W"},
    **{"j": "Y", "z": "Z", "ʒ": "ZH"},
}


class Peer(Protocol):
    """Another recognizer."""

    def phones(self, samples: np.ndarray) -> list[Segment]:
        """Return the phones of a recording, from 0 to its end.

        Args:
            samples: 16 kHz mono floats, shape (samples,).
        """


def tile(found: Sequence[tuple[str, int]], num_samples: int) -> list[Segment]:
    """Return segments that cover a recording, each up to the start of the next one.

    Args:
        found: labels and first frames (10 ms), in order; silence if there is none.
        num_samples: length of the recording at 16 kHz.
    """
    duration = num_samples / SAMPLE_RATE
    found = found or [(SILENCE, 0)]
    starts = [0.0, *(frame_to_seconds(frame) for _, frame in found[1:])]
    edges = [start for start in starts if start < duration] + [duration]
    return [Segment(label, *edge) for (label, _), edge in zip(found, pairwise(edges))]


def recognise_all(
    listing: Path, folder: Path, phones: Callable[[np.ndarray], list[Segment]]
) -> None:
    """Recognise every file of a list, one TextGrid each, numbered in the order of the list.

    Args:
        listing: JSON array of paths.
        folder: of the TextGrids.
        phones: segments that cover a recording, given its 16 kHz mono samples.
    """
    for number, path in enumerate(json.loads(listing.read_text(encoding="ascii"))):
        samples, _ = read_audio(path)
        duration = len(samples) / SAMPLE_RATE
        result = Transcription(phones(samples), duration, SAMPLE_RATE, labels=())
        text = WRITERS["textgrid"].render(result, path, SILENCE)
        atomic_write_text(folder / f"{number:06d}.TextGrid", text)


class AllphoneDecoder:
    """pocketsphinx with its US English model, which recognises phones with a phone n-gram.

    Its mode ``allphone``, with the settings :data:`SPHINX_SETTINGS`.
    """

    def __init__(self) -> None:
        import pocketsphinx

        model = Path(pocketsphinx.get_model_path(), "en-us")
        self._decoder = pocketsphinx.Decoder(
            hmm=str(model / "en-us"),
            allphone=str(model / "en-us-phone.lm.bin"),
            # It would load its dictionary and never use it: without, it starts 0.4 s earlier.
            lm=None,
            dict=None,
            loglevel="ERROR",
            **SPHINX_SETTINGS,
        )

    def phones(self, samples: np.ndarray) -> list[Segment]:
        """Return the phones of a recording, from 0 to its end.

        Args:
            samples: 16 kHz mono floats, shape (samples,).
        """
        self._decoder.start_utt()
        self._decoder.process_raw(pcm16(samples), no_search=False, full_utt=True)
        self._decoder.end_utt()
        # It gives None for a recording too short for a phone.
        found = [(entry.word, entry.start_frame) for entry in self._decoder.seg() or ()]
        return tile(found, len(samples))


class CtcModel:
    """hama, a small CTC model that gives phones in IPA.

    It takes a recording as a whole. A phone lasts from the frame in which the model is sure of it
    to the frame in which it is sure of the next.
    """

    def __init__(self) -> None:
        from hama.asr import ASRModel

        self._model = ASRModel()

    def phones(self, samples: np.ndarray) -> list[Segment]:
        """Return the phones of a recording, from 0 to its end.

        Args:
            samples: 16 kHz mono floats, shape (samples,).
        """
        result = self._model.transcribe_waveform(samples, SAMPLE_RATE)
        spans = self._model.phoneme_spans(result)
        return tile(
            [(span.phoneme, HAMA_FRAMES * span.start_frame) for span in spans], len(samples)
        )


PEERS: dict[str, Callable[[], Peer]] = {
    "pocketsphinx": AllphoneDecoder,
    "hama": CtcModel,
}


def is_installed(name: str) -> bool:
    """Whether the package of a peer is installed."""
    return importlib.util.find_spec(name) is not None


def main(arguments: Sequence[str]) -> None:
    """Recognise what the arguments NAME, LIST and OUT say."""
    name, listing, folder = arguments
    recognise_all(Path(listing), Path(folder), PEERS[name]().phones)


if __name__ == "__main__":
    main(sys.argv[1:])
