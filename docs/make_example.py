"""Make ``docs/pictures/example.png`` and print the CTM that README.md shows.

    python docs/make_example.py ../shared/corpora

The recording is of the corpus dataset-voice-kathleen (CC0). Only the picture is committed, neither
the audio nor the text. Run it again when the English model changes, and put the printed lines into
README.md.
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

import speechattn
from speechattn.audio import read_audio
from speechattn.corpora import read_corpus
from speechattn.evaluation.pictures import utterance_picture
from speechattn.phones import arpabet
from speechattn.transcription.formats.registry import WRITERS

UTTERANCE = "kathleen_arctic_b0133_1592698669"
NAME = "roar.ogg"  # what README.md calls the file
PICTURE = Path(__file__).parent / "pictures" / "example.png"
COLOURS = 200  # enough for a grey spectrogram and its tints; keeps the file below 300 kB


def main(corpora: str) -> None:
    """Draw the picture and print the CTM.

    Args:
        corpora: folder that holds the corpus ``kathleen``.
    """
    corpus = read_corpus(Path(corpora) / "kathleen", phones=arpabet(), split="test")
    utterance = next(u for u in corpus if u.id == UTTERANCE)
    samples, _ = read_audio(utterance.path)
    result = speechattn.load_model(precision="auto").transcribe(utterance.path, posteriors=False)
    title = utterance.text.capitalize()
    utterance_picture(PICTURE, samples, utterance.alignment, result.phones, title=title)
    Image.open(PICTURE).convert("RGB").quantize(COLOURS, Image.Quantize.MAXCOVERAGE).save(PICTURE)
    print(WRITERS["ctm"].render(result, NAME), end="")


if __name__ == "__main__":
    main(sys.argv[1])
