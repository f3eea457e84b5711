"""Calibration: whether a confidence of 0.8 means that four phones in five are right."""

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
        low, high: confidences of the bin, ``low <= confidence < high`` (1 is in the last bin).
        phones: recognised phones in it.
        confidence: their mean confidence; None without phones.
        accuracy: the share of them that is right; None without phones.
    """

    low: float
    high: float
    phones: int
    confidence: float | None
    accuracy: float | None


class Calibration:
    """Whether confidences can be taken at their word: right phones counted by confidence."""

    def __init__(self) -> None:
        self._phones = np.zeros(RELIABILITY_BINS, dtype=np.int64)
        self._right = np.zeros(RELIABILITY_BINS, dtype=np.int64)
        self._confidence = np.zeros(RELIABILITY_BINS)

    def add(self, confidences: Sequence[float], right: Sequence[bool]) -> None:
        """Count phones; confidences lie between 0 and 1."""
        values = np.asarray(confidences, dtype=np.float64)
        # Half an ulp above 1 comes out of summing probabilities; it belongs into the last bin.
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
        """Expected calibration error: the mean distance of accuracy and confidence over bins.

        Bins weigh as many phones as they hold (Guo et al., "On Calibration of Modern Neural
        Networks", ICML 2017). None without phones.
        """
        return ratio(float(np.abs(self._right - self._confidence).sum()), int(self._phones.sum()))

    def table(self) -> list[ReliabilityBin]:
        """The reliability table, one row a bin."""
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
