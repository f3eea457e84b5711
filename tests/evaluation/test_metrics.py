"""Metrics against brute force: Levenshtein by recursion, matching by SciPy, the rest by hand."""

from __future__ import annotations

from functools import cache

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from speechattn.evaluation.metrics import (
    boundaries,
    confusion_matrix,
    frame_labels_of,
    match_boundaries,
    phone_errors,
    phones_right,
    ratio,
    top_confusions,
)
from speechattn.segments import FrameSegment

NAMES = ("SIL", "AA", "AO", "B")
SIL, AA, AO, B = range(4)
sequences = st.lists(st.integers(0, 3), max_size=8)
frame_lists = st.lists(st.integers(0, 60), max_size=15, unique=True).map(sorted)


def runs(*spans: tuple[int, int], confidence: float = 1.0) -> list[FrameSegment]:
    """Runs from (phone, length) pairs."""
    made, at = [], 0
    for phone, length in spans:
        made.append(FrameSegment(phone, at, at + length, confidence))
        at += length
    return made


def levenshtein(a: list[int], b: list[int]) -> int:
    @cache
    def distance(i: int, j: int) -> int:
        if i == 0 or j == 0:
            return i + j
        same = distance(i - 1, j - 1) + (a[i - 1] != b[j - 1])
        return min(same, distance(i - 1, j) + 1, distance(i, j - 1) + 1)

    return distance(len(a), len(b))


@given(sequences, sequences)
def test_phone_errors_are_the_edit_distance(reference, found):
    substitutions, insertions, deletions = phone_errors(reference, found)
    assert substitutions + insertions + deletions == levenshtein(reference, found)
    assert insertions - deletions == len(found) - len(reference)
    assert min(substitutions, insertions, deletions) >= 0


def test_each_kind_of_error():
    assert phone_errors([1, 2, 3], [1, 3, 3]) == (1, 0, 0)
    assert phone_errors([1, 2], [1, 3, 2]) == (0, 1, 0)
    assert phone_errors([1, 2, 3], [1, 3]) == (0, 0, 1)
    assert phone_errors([], [1, 2]) == (0, 2, 0)


@given(frame_lists, frame_lists, st.integers(0, 4))
def test_matching_is_maximal(reference, found, tolerance):
    near = np.abs(np.subtract.outer(reference, found)) <= tolerance
    best = 0
    if near.size:
        matching = maximum_bipartite_matching(csr_array(near.astype(int)), perm_type="column")
        best = int((matching >= 0).sum())
    assert match_boundaries(reference, found, tolerance) == best


def test_twenty_milliseconds_are_inclusive_and_pairs_one_to_one():
    assert match_boundaries([10], [12]) == 1
    assert match_boundaries([10], [13]) == 0
    assert match_boundaries([10], [9, 10, 11]) == 1
    assert boundaries(runs((SIL, 5), (AA, 3), (AA, 2), (B, 1))) == [5, 8, 10]


def test_confusions_name_the_worst_first():
    matrix = confusion_matrix(np.array([AA, AA, AA, AA, B]), np.array([AA, AO, AO, B, AO]), 4)
    first, *others = top_confusions(matrix, NAMES)
    assert first == {"reference": "AA", "recognised": "AO", "frames": 2, "share": 0.5}
    assert [(o["reference"], o["recognised"]) for o in others] == [("AA", "B"), ("B", "AO")]
    assert len(top_confusions(matrix, NAMES, count=1)) == 1


def test_a_phone_is_right_by_the_majority_of_its_frames():
    reference = np.array([AA, AA, AO, B, B, AO])
    assert phones_right(runs((AA, 3), (AO, 3)), reference) == [True, False]
    assert phones_right(runs((AO, 2), (B, 4)), reference) == [False, True]
    assert phones_right(runs((AA, 4), (AO, 2)), np.array([AA, AA, B, B, B, AO])) == [True, True]


def test_frame_labels_of_runs():
    assert frame_labels_of(runs((B, 2), (AA, 1))).tolist() == [B, B, AA]
    assert frame_labels_of([]).shape == (0,)


def test_a_ratio_of_nothing_is_none():
    assert ratio(1, 4) == 0.25 and ratio(0, 4) == 0
    assert ratio(0, 0) is None
