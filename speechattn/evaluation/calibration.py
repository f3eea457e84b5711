"""Calibration: whether a confidence of 0.8 means that four phones in five are right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from speechattn.evaluation.metrics import ratio

LITTLE = 1e-4  # what the square of a weight costs, in nats a phone
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


def fit_confidence(
    evidence: Sequence[Sequence[float]], right: Sequence[bool], weights: Sequence[float]
) -> tuple[float, ...]:
    """Weights of evidence, and an offset, that make confidences probabilities of being right.

    Maximises the likelihood of ``sigmoid(weights @ evidence + offset)`` (Platt, 1999), less a little
    for weights of what is not the phone itself.

    Args:
        evidence: of each phone K numbers, of which the first is the logit of what it has been given.
        right: whether each phone is right.
        weights: how much each counts.

    Returns:
        K weights and the offset: 1 and zeros, which change nothing, where there is nothing to learn
        from: no phones, all right, all wrong, or more often wrong the surer they are.
    """
    hits, counts = (np.asarray(x, dtype=np.float64) for x in (right, weights))
    if not len(hits):
        return 1.0, 0.0
    facts = np.column_stack([np.asarray(evidence, dtype=np.float64), np.ones(len(hits))])
    start = np.eye(facts.shape[1])[0]
    if hits.min() == hits.max():
        return tuple(start.tolist())

    def cost(parameters: np.ndarray) -> float:
        z = facts @ parameters
        loss = (counts * (np.logaddexp(0, z) - hits * z)).sum() / counts.sum()
        return float(loss + LITTLE * np.square(parameters[1:-1]).sum())

    found = minimize(cost, start, method="BFGS").x
    return tuple(round(float(x), 4) for x in found) if found[0] > 0.01 else tuple(start.tolist())
