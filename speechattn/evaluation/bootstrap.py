"""Rates with their intervals: what another draw of speakers, or of utterances, might have given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

REPEATS = 2000
CONFIDENCE = 0.95


class Rate(NamedTuple):
    """A rate and its interval, as fractions."""

    rate: float
    low: float
    high: float


def bootstrap(
    groups: Sequence[str], parts: Sequence[float], wholes: Sequence[float], seed: int = 0
) -> Rate | None:
    """Sum of parts over sum of wholes, and where it lies when groups are drawn anew with repeats.

    Args:
        groups: what each part is of: a speaker, or an utterance.
        parts: counted in it, such as errors.
        wholes: to be counted in it, such as phones.
        seed: of the draws.

    Returns:
        The rate with its percentile interval (Efron, 1979); one group gives an interval of no
        width; None if there is nothing to count.
    """
    names = {name: number for number, name in enumerate(dict.fromkeys(groups))}
    index = np.array([names[name] for name in groups], dtype=np.int64)
    part = np.bincount(index, parts, len(names)) if names else np.zeros(0)
    whole = np.bincount(index, wholes, len(names)) if names else np.zeros(0)
    if whole.sum() == 0:
        return None
    random = np.random.default_rng(seed)
    draws = random.integers(len(names), size=(REPEATS, len(names)))
    drawn = whole[draws].sum(1)
    rates = part[draws].sum(1)[drawn > 0] / drawn[drawn > 0]
    return Rate(float(part.sum() / whole.sum()), *interval(rates))


def interval(drawn: np.ndarray) -> tuple[float, float]:
    """Between which values the middle :data:`CONFIDENCE` of what was drawn lies."""
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(drawn, [tail, 100 - tail])
    return float(low), float(high)


def units(rows: Sequence[dict]) -> tuple[str, list[str]]:
    """What to draw: speakers, or utterances where there is one speaker; and that of every row.

    Args:
        rows: with ``corpus``, ``speaker`` and ``utterance``.
    """
    speakers = [f"{row['corpus']}/{row['speaker']}" for row in rows]
    if len(set(speakers)) > 1:
        return "speakers", speakers
    return "utterances", [f"{row['corpus']}/{row['utterance']}" for row in rows]
