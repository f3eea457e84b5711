"""Phone feature errors: edit distances in which a wrong phone costs as much as it differs.

A phone is one segment of the International Phonetic Alphabet, a diphthong is two. Each segment has
the articulatory features of panphon (Mortensen et al., "PanPhon: a resource for mapping IPA
segments to articulatory feature vectors", COLING 2016). A substitution costs the share of features
that differ; an insertion or a deletion costs 1.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

import numpy as np

from speechattn.errors import UsageError
from speechattn.phones import PhoneSet

# What panphon, which wants tie bars and strict IPA, writes otherwise than phone tables do.
_AS_PANPHON = {"tʃ": "t͡ʃ", "dʒ": "d͡ʒ", "ɝ": "ɜ˞", "ɚ": "ə˞", "g": "ɡ"}


def is_installed() -> bool:
    """Whether panphon, which is part of the extra ``bench``, is installed."""
    return importlib.util.find_spec("panphon") is not None


class PhoneFeatures:
    """The segments of every phone of a set, and what it costs to take one for another.

    Args:
        phones: the set; every phone but silence needs its IPA.

    Raises:
        UsageError: if panphon knows no features of a phone.
        ConfigError: if a phone has no IPA.
    """

    def __init__(self, phones: PhoneSet) -> None:
        import panphon

        table = panphon.FeatureTable()
        names = phones.labels("ipa")
        vectors: list[list[int]] = []
        self._segments: dict[int, list[int]] = {phones.silence_index: []}
        for phone, ipa in enumerate(names):
            if phone == phones.silence_index:
                continue
            segments = table.word_fts(_AS_PANPHON.get(ipa, ipa))
            if not segments:
                raise UsageError(f"panphon has no features of {phones.names[phone]} ({ipa})")
            self._segments[phone] = list(range(len(vectors), len(vectors) + len(segments)))
            vectors += [segment.numeric() for segment in segments]
        features = np.array(vectors)
        self._costs = (features[:, None] != features[None]).mean(-1)

    def errors(self, reference: Sequence[int], recognised: Sequence[int]) -> tuple[float, int]:
        """Compare two phone sequences; silence does not count.

        Args:
            reference: phone indices.
            recognised: phone indices.

        Returns:
            The cost of the cheapest alignment, and the number of segments of the reference.
        """
        expected, found = self._expand(reference), self._expand(recognised)
        costs = self._costs[np.ix_(expected, found)]
        steps = np.arange(len(found) + 1)
        row = steps.astype(float)
        for number, substitution in enumerate(costs, 1):
            best = np.empty_like(row)
            best[0] = number
            best[1:] = np.minimum(row[1:] + 1, row[:-1] + substitution)
            # An insertion costs 1 a step to the right of whatever cell is cheapest.
            row = steps + np.minimum.accumulate(best - steps)
        return float(row[-1]), len(expected)

    def _expand(self, phones: Sequence[int]) -> np.ndarray:
        segments = [segment for phone in phones for segment in self._segments[phone]]
        return np.array(segments, dtype=np.int64)
