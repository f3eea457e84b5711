"""Calibration: whether four in five phones with a confidence of 0.8 are right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from speechattn.evaluation.metrics import ratio

RELIABILITY_BINS = 10  # of equal width between confidence 0 and 1


@dataclass(frozen=True)
class ReliabilityBin:
    """One row of a reliability table.

    Attributes:
        low: least confidence of the bin.
        high: confidences of the bin are below this; 1 is in the last bin.
        phones: number of recognised phones in the bin.
        confidence: mean confidence of these phones; None without phones.
        accuracy: share of these phones that is right; None without phones.
    """

    low: float
    high: float
    phones: int
    confidence: float | None
    accuracy: float | None


class Calibration:
    """Counts of phones, and of right phones, by confidence."""

    def __init__(self) -> None:
        self._phones = np.zeros(RELIABILITY_BINS, dtype=np.int64)
        self._right = np.zeros(RELIABILITY_BINS, dtype=np.int64)
        self._confidence = np.zeros(RELIABILITY_BINS)

    def add(self, confidences: Sequence[float], right: Sequence[bool]) -> None:
        """Count phones.

        Args:
            confidences: of the phones, from 0 to 1.
            right: whether each phone is right.
        """
        values = np.asarray(confidences, dtype=np.float64)
        # A sum of probabilities may be half an ulp above 1; it belongs into the last bin.
        bins = np.clip((values * RELIABILITY_BINS).astype(np.int64), 0, RELIABILITY_BINS - 1)
        self._phones += np.bincount(bins, minlength=RELIABILITY_BINS)
        self._confidence += np.bincount(bins, weights=values, minlength=RELIABILITY_BINS)
        hits = np.asarray(right, dtype=bool)
        self._right += np.bincount(bins[hits], minlength=RELIABILITY_BINS)

    def __add__(self, other: Calibration) -> Calibration:
        total = Calibration()
        for name in ("_phones", "_right", "_confidence"):
            setattr(total, name, getattr(self, name) + getattr(other, name))
        return total

    def error(self) -> float | None:
        """Return the expected calibration error.

        It is the mean difference of accuracy and confidence over bins, weighted by their phones
        (Guo et al., "On Calibration of Modern Neural Networks", ICML 2017). None without phones.
        """
        return ratio(float(np.abs(self._right - self._confidence).sum()), int(self._phones.sum()))

    def table(self) -> list[ReliabilityBin]:
        """Return the reliability table, one row for each bin."""
        return [
            ReliabilityBin(
                b / RELIABILITY_BINS,
                (b + 1) / RELIABILITY_BINS,
                int(phones),
                ratio(float(self._confidence[b]), int(phones)),
                ratio(int(self._right[b]), int(phones)),
            )
            for b, phones in enumerate(self._phones)
        ]
