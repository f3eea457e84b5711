"""Speech in other languages: who says what, and that it is speech."""

from __future__ import annotations

import numpy as np

from speechattn.bench.sounds import ENGLISH, OTHER, TEXTS, VARIANTS, synthetic_languages
from speechattn.corpora.synth.espeak import ACCENTS, OTHER_LANGUAGES


def test_every_language_in_every_voice():
    made = list(synthetic_languages())
    assert [name for name, _ in made].count(ENGLISH) == len(VARIANTS)
    assert [name for name, _ in made].count(OTHER) == len(VARIANTS) * len(OTHER_LANGUAGES)
    for _, samples in made:
        assert samples.dtype == np.float32 and 5 < len(samples) / 16_000 < 20
        assert 0.05 < np.abs(samples).max() < 1.1 and np.std(samples) > 0.01
    assert len({len(samples) for _, samples in made}) > len(TEXTS)  # voices and languages differ


def test_the_languages_are_those_of_the_engine():
    assert set(TEXTS) == {"en-us", *OTHER_LANGUAGES} and not set(ACCENTS) & set(OTHER_LANGUAGES)
