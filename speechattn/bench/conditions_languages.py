"""Speech that is not English, by synthetic voices, and English by the same ones to compare with.

The engine is the one that makes the embedded corpus. What a recognizer of English claims to hear
should be less sure in other languages than in its own.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from speechattn.audio.load import array_blocks
from speechattn.corpora.synth.espeak import espeak

VARIANTS = ("f2", "m3")  # a woman and a man
ENGLISH = "English, synthetic voices"
OTHER = "other languages, synthetic voices"
TEXTS = {
    "en-us": "Tomorrow morning we will take the early train to the coast. The children want to "
    "see the harbour, and their grandmother has promised to cook fish for everybody.",
    "de": "Morgen früh nehmen wir den ersten Zug an die Küste. Die Kinder möchten den Hafen "
    "sehen, und ihre Großmutter hat versprochen, für alle Fisch zu kochen.",
    "fr": "Demain matin, nous prendrons le premier train pour la côte. Les enfants veulent voir "
    "le port, et leur grand-mère a promis de préparer du poisson pour tout le monde.",
    "es": "Mañana por la mañana tomaremos el primer tren hacia la costa. Los niños quieren ver "
    "el puerto, y su abuela ha prometido cocinar pescado para todos.",
    "fi": "Huomenna aamulla lähdemme ensimmäisellä junalla rannikolle. Lapset haluavat nähdä "
    "sataman, ja heidän isoäitinsä on luvannut keittää kalaa kaikille.",
    "pl": "Jutro rano pojedziemy pierwszym pociągiem na wybrzeże. Dzieci chcą zobaczyć port, a "
    "ich babcia obiecała ugotować rybę dla wszystkich.",
}


def synthetic_languages() -> Iterator[tuple[str, np.ndarray]]:
    """Every text in every voice.

    Yields:
        ``ENGLISH`` or ``OTHER``, and samples at 16 kHz, float32, shape (n,).
    """
    for language, text in TEXTS.items():
        for variant in VARIANTS:
            said = espeak().synthesize(text, language, variant)
            samples = said.samples.astype(np.float32) / 32768
            blocks = array_blocks(samples, said.sample_rate)
            yield ENGLISH if language == "en-us" else OTHER, np.concatenate(list(blocks))
