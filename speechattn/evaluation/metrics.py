"""Metrics of recognised phones against a reference, and confidence intervals of rates.

The metrics are functions on frame segments, frame labels and phone sequences, all in integers on
the 10 ms grid. :mod:`speechattn.evaluation.scores` adds their counts up over utterances.
:func:`bootstrap` gives rates with intervals over speakers or utterances.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from speechattn.segments import FrameSegment

BOUNDARY_TOLERANCE_FRAMES = 2  # 20 ms, inclusive
REPEATS = 2000  # of the bootstrap
CONFIDENCE = 0.95  # of its intervals


def frame_labels_of(runs: Sequence[FrameSegment]) -> np.ndarray:
    """Return the label of every frame of contiguous segments, int64, shape (frames,)."""
    lengths = [run.end - run.start for run in runs]
    return np.repeat(np.array([run.phone for run in runs], dtype=np.int64), lengths)


def boundaries(runs: Sequence[FrameSegment]) -> list[int]:
    """Return the frames where one segment ends and the next begins, without the two ends."""
    return [run.start for run in runs[1:]]


def match_boundaries(
    reference: Sequence[int], found: Sequence[int], tolerance: int = BOUNDARY_TOLERANCE_FRAMES
) -> int:
    """Count boundaries that match one to one.

    To pair the two earliest that fit never costs a later pair. One sweep therefore finds the
    largest number of pairs, as maximum bipartite matching does.

    Args:
        reference: frames of boundaries, ascending.
        found: the same of the hypothesis.
        tolerance: frames that a pair may be apart.
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
    """Count substitutions, insertions and deletions (Levenshtein distance, all cost 1)."""
    import kaldialign

    errors = kaldialign.edit_distance(list(reference), list(found))
    return errors["sub"], errors["ins"], errors["del"]


def confusion_matrix(reference: np.ndarray, found: np.ndarray, num_phones: int) -> np.ndarray:
    """Count frames by reference (row) and recognised label (column).

    Args:
        reference: labels, shape (frames,).
        found: recognised labels, shape (frames,).
        num_phones: classes.

    Returns:
        int64, shape (num_phones, num_phones).
    """
    pairs = np.asarray(reference) * num_phones + np.asarray(found)
    return np.bincount(pairs, minlength=num_phones**2).reshape(num_phones, num_phones)


def top_confusions(matrix: np.ndarray, names: Sequence[str], count: int = 20) -> list[dict]:
    """List the most frequent confusions: reference, recognised, frames, share of the reference."""
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


def phones_right(runs: Sequence[FrameSegment], reference: np.ndarray) -> list[bool]:
    """Judge segments: right if no reference label has more frames within it than its own label."""
    right = []
    for run in runs:
        counts = np.bincount(reference[run.start : run.end], minlength=run.phone + 1)
        right.append(bool(counts[run.phone] > 0 and counts[run.phone] == counts.max()))
    return right


def ratio(part: float, whole: int) -> float | None:
    """Return a part of a whole as a fraction; None, not 0, if the whole is 0."""
    return part / whole if whole else None


class Rate(NamedTuple):
    """A rate and its interval, as fractions."""

    rate: float
    low: float
    high: float


def bootstrap(
    groups: Sequence[str], parts: Sequence[float], wholes: Sequence[float], seed: int = 0
) -> Rate | None:
    """Compute the ratio of two sums, and its interval when groups are resampled.

    Args:
        groups: group of each part: a speaker, or an utterance.
        parts: counts in the numerator, such as errors.
        wholes: counts in the denominator, such as phones.
        seed: seed of the draws.

    Returns:
        The rate with its percentile interval (Efron, 1979), which has no width if there is one
        group; None if the denominator is 0.
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
    """Return the interval of the middle :data:`CONFIDENCE` of drawn values."""
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(drawn, [tail, 100 - tail])
    return float(low), float(high)


def resampling_units(rows: Sequence[dict]) -> tuple[str, list[str]]:
    """Choose what to resample: speakers, or utterances if there is one speaker only.

    Args:
        rows: with ``corpus``, ``speaker`` and ``utterance``.

    Returns:
        ``"speakers"`` or ``"utterances"``, and the group of every row.
    """
    speakers = [f"{row['corpus']}/{row['speaker']}" for row in rows]
    if len(set(speakers)) > 1:
        return "speakers", speakers
    return "utterances", [f"{row['corpus']}/{row['utterance']}" for row in rows]
