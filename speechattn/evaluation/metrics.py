"""Metrics: what is counted when recognised phones are held against a reference.

Plain functions on frame runs, frame labels and phone sequences, all in integers on the 10 ms grid;
:mod:`speechattn.evaluation.scores` adds their counts up over utterances.

Rates with their intervals: what another draw of speakers, or of utterances, might have given.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import kaldialign
import numpy as np

from speechattn.segments import FrameRun

BOUNDARY_TOLERANCE_FRAMES = 2  # 20 ms, inclusive


REPEATS = 2000
CONFIDENCE = 0.95


def frame_labels_of(runs: Sequence[FrameRun]) -> np.ndarray:
    """The label of every frame of contiguous runs, shape (frames,), int64."""
    lengths = [run.end - run.start for run in runs]
    return np.repeat(np.array([run.phone for run in runs], dtype=np.int64), lengths)


def boundaries(runs: Sequence[FrameRun]) -> list[int]:
    """The frames at which one run ends and the next begins; start and end do not count."""
    return [run.start for run in runs[1:]]


def match_boundaries(
    reference: Sequence[int], found: Sequence[int], tolerance: int = BOUNDARY_TOLERANCE_FRAMES
) -> int:
    """The greatest number of one-to-one pairs that are at most ``tolerance`` frames apart.

    Both sequences are sorted. Pairing the two earliest that fit never costs a pair later on, so
    one sweep finds the maximum bipartite matching.
    """
    matched = i = j = 0
    while i < len(reference) and j < len(found):
        if abs(reference[i] - found[j]) <= tolerance:
            matched, i, j = matched + 1, i + 1, j + 1
        elif reference[i] < found[j]:
            i += 1
        else:
            j += 1
    return matched


def phone_errors(reference: Sequence[int], found: Sequence[int]) -> tuple[int, int, int]:
    """Substitutions, insertions and deletions of a cheapest alignment (Levenshtein, all cost 1)."""
    errors = kaldialign.edit_distance(list(reference), list(found))
    return errors["sub"], errors["ins"], errors["del"]


def confusion_matrix(reference: np.ndarray, found: np.ndarray, num_phones: int) -> np.ndarray:
    """Frames by reference (row) and recognised label (column), shape (phones, phones), int64."""
    pairs = np.asarray(reference) * num_phones + np.asarray(found)
    return np.bincount(pairs, minlength=num_phones**2).reshape(num_phones, num_phones)


def top_confusions(matrix: np.ndarray, names: Sequence[str], count: int = 20) -> list[dict]:
    """The most frequent confusions: reference, recognised, frames and share of the reference's."""
    wrong = matrix.copy()
    np.fill_diagonal(wrong, 0)
    totals = matrix.sum(axis=1)
    order = np.argsort(-wrong, axis=None, kind="stable")[:count]
    return [
        {
            "reference": names[row],
            "recognised": names[column],
            "frames": int(wrong[row, column]),
            "share": float(wrong[row, column] / totals[row]),
        }
        for row, column in zip(*np.unravel_index(order, wrong.shape))
        if wrong[row, column] > 0
    ]


def phones_right(runs: Sequence[FrameRun], reference: np.ndarray) -> list[bool]:
    """Whether no reference label has more frames within each run than the run's own label has."""
    right = []
    for run in runs:
        counts = np.bincount(reference[run.start : run.end], minlength=run.phone + 1)
        right.append(bool(counts[run.phone] > 0 and counts[run.phone] == counts.max()))
    return right


def ratio(part: float, whole: int) -> float | None:
    """A part of a whole as a fraction; None, never 0, where there is nothing to count."""
    return part / whole if whole else None


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


def resampling_units(rows: Sequence[dict]) -> tuple[str, list[str]]:
    """What to draw: speakers, or utterances where there is one speaker; and that of every row.

    Args:
        rows: with ``corpus``, ``speaker`` and ``utterance``.
    """
    speakers = [f"{row['corpus']}/{row['speaker']}" for row in rows]
    if len(set(speakers)) > 1:
        return "speakers", speakers
    return "utterances", [f"{row['corpus']}/{row['utterance']}" for row in rows]
