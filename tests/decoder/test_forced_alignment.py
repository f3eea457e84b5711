"""Forced alignment: the best path through the string, against a search written out."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechattn.decoder.forced_alignment import (
    LEAST_PHONE_FRAMES,
    LEAST_SILENCE_FRAMES,
    force_align,
)

SIL = 0
INF = float("inf")


def brute(logs: np.ndarray, phones, substitution: float = INF, deletion: float = INF) -> float:
    """Score of the best way to divide all frames among the string, -inf if there is none."""
    frames, classes = logs.shape
    sums = np.concatenate([np.zeros((1, classes)), np.cumsum(logs.astype(np.float64), 0)])

    @cache
    def spoken(place: int, start: int) -> float:
        """Of the frames from ``start`` on, the silence before this phone being over."""
        if place == len(phones):
            return 0.0 if start == frames else -INF
        found = [silent(place + 1, start) - deletion]
        for end in range(start + LEAST_PHONE_FRAMES, frames + 1):
            for label in range(classes):
                cost = 0.0 if label == phones[place] else substitution
                if label != SIL:
                    found.append(
                        sums[end, label] - sums[start, label] - cost + silent(place + 1, end)
                    )
        return max(found)

    @cache
    def silent(place: int, start: int) -> float:
        """The same, where silence may come first."""
        found = [spoken(place, start)]
        for end in range(start + LEAST_SILENCE_FRAMES, frames + 1):
            found.append(sums[end, SIL] - sums[start, SIL] + spoken(place, end))
        return max(found)

    return silent(0, 0)


def edits(phones, heard, substitution: float, deletion: float) -> float:
    """Least cost to make what was heard of a string, by substitutions and deletions."""
    costs = np.full((len(phones) + 1, len(heard) + 1), INF)
    costs[0, 0] = 0.0
    for i, phone in enumerate(phones, 1):
        for j in range(len(heard) + 1):
            costs[i, j] = costs[i - 1, j] + deletion
            if j:
                same = 0.0 if heard[j - 1] == phone else substitution
                costs[i, j] = min(costs[i, j], costs[i - 1, j - 1] + same)
    return float(costs[-1, -1])


def random_logs(frames: int, classes: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    return np.log(random.dirichlet(np.full(classes, 0.3), frames) + 1e-6).astype(np.float32)


@settings(max_examples=60)
@given(
    frames=st.integers(1, 18),
    phones=st.lists(st.integers(1, 3), max_size=4),
    seed=st.integers(0, 99),
    costs=st.sampled_from([(INF, INF), (2.0, INF), (INF, 3.0), (1.0, 2.5), (0.0, 0.0)]),
)
def test_the_best_path_is_found(frames, phones, seed, costs):
    logs = random_logs(frames, 4, seed)
    expected = brute(logs, phones, *costs)
    found = force_align(logs, phones, SIL, substitution=costs[0], deletion=costs[1])
    if expected == -INF:
        assert found is None
        return
    end, total = 0, 0.0
    for run in found.segments:
        assert run.start == end and run.confidence == 1.0
        least = LEAST_SILENCE_FRAMES if run.phone == SIL else LEAST_PHONE_FRAMES
        assert run.end - run.start >= least
        end, total = run.end, total + logs[run.start : run.end, run.phone].sum()
    heard = [run.phone for run in found.segments if run.phone != SIL]
    assert end == frames
    assert total - edits(phones, heard, *costs) == pytest.approx(expected, abs=1e-3)
    if costs == (INF, INF):
        assert heard == phones
    own = [logs[r.start : r.end, r.phone] for r in found.segments if r.phone != SIL]
    score = np.concatenate(own).mean() if own else -INF
    assert found.score == pytest.approx(score, abs=1e-4)


def sure(labels, classes: int = 4) -> np.ndarray:
    """Log posteriors of one who is nearly sure of every frame."""
    return np.log(np.full((len(labels), classes), 0.01) + 0.96 * np.eye(classes)[labels])


def spans(found) -> list[tuple[int, int, int]]:
    return [(run.phone, run.start, run.end) for run in found.segments]


def test_equal_neighbours_are_phones_of_their_own():
    found = force_align(sure([1] * 9), [1, 1, 1], SIL)
    assert [run.phone for run in found.segments] == [1, 1, 1]
    assert [found.segments[0].start, found.segments[-1].end] == [0, 9]


def test_silence_is_heard_between_phones_and_at_both_ends_where_it_is_long():
    labels = [0] * 7 + [1] * 3 + [0] * 6 + [2] * 4 + [0] * 8
    found = force_align(sure(labels), [1, 2], SIL)
    assert spans(found) == [(0, 0, 7), (1, 7, 10), (0, 10, 16), (2, 16, 20), (0, 20, 28)]
    short = force_align(sure([1] * 5 + [0] * 2 + [2] * 5), [1, 2], SIL)
    assert [run.phone for run in short.segments] == [1, 2]  # a closure, not a silence


def test_a_wrong_phone_is_corrected_where_that_is_cheaper_than_to_believe_it():
    logs = sure([1] * 4 + [3] * 4 + [2] * 4)
    assert spans(force_align(logs, [1, 2, 2], SIL, substitution=8.0)) == [
        (1, 0, 4), (3, 4, 8), (2, 8, 12),
    ]  # fmt: skip
    believed = force_align(logs, [1, 2, 2], SIL, substitution=30.0)
    assert [run.phone for run in believed.segments] == [1, 2, 2]
    assert believed.score < force_align(logs, [1, 3, 2], SIL).score


def test_a_phone_that_was_not_spoken_is_left_out_where_that_is_cheaper():
    logs = sure([1] * 4 + [2] * 4)
    assert spans(force_align(logs, [1, 3, 2, 3], SIL, deletion=3.0)) == [(1, 0, 4), (2, 4, 8)]
    kept = force_align(logs, [1, 3, 2], SIL, deletion=30.0)
    assert [run.phone for run in kept.segments] == [1, 3, 2]
    nothing = force_align(sure([0] * 9), [1, 2], SIL, deletion=3.0)
    assert spans(nothing) == [(0, 0, 9)] and nothing.score == -INF


@pytest.mark.parametrize(
    ("frames", "phones"), [(5, [1, 2, 3]), (1, [1]), (5, []), (0, []), (0, [1])]
)
def test_a_recording_too_short_for_its_phones_has_no_alignment(frames, phones):
    assert force_align(random_logs(frames, 4, 0), phones, SIL) is None


def test_a_string_without_phones_is_silence():
    assert spans(force_align(random_logs(6, 4, 0), [], SIL)) == [(0, 0, 6)]


@pytest.mark.parametrize(
    ("phones", "costs", "said"),
    [
        ([1, 4], {}, "phones: 4; a class below 4"),
        ([-1], {}, "phones: -1"),
        ([SIL], {}, "phones: 0; a class below 4, not 0"),
        ([1.0], {}, "phones: 1.0; a whole number"),
        (["AA"], {}, "phones: 'AA'; the number of a class"),
        ("AA", {}, "phones: 'A'; the number of a class"),
        ([1], {"substitution": -1.0}, "substitution: -1.0"),
        ([1], {"deletion": float("nan")}, "deletion: nan"),
    ],
)
def test_what_cannot_be_aligned_is_refused(phones, costs, said):
    with pytest.raises(ValueError, match=said):
        force_align(random_logs(9, 4, 0), phones, SIL, **costs)


@pytest.mark.parametrize("silence", ["SIL", -1, 4, 0.5])
def test_silence_is_a_class(silence):
    with pytest.raises(ValueError, match=f"^silence: {silence!r}; "):
        force_align(random_logs(9, 4, 0), [1], silence)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda logs: logs[0], r"shape \(4,\); give \(frames, classes\)"),
        (np.exp, "above 0; give logarithms"),
        (lambda logs: np.where(np.arange(9)[:, None] == 5, np.nan, logs), "frame 5 contain NaN"),
        (lambda logs: np.where(np.arange(9)[:, None] == 5, -INF, logs), "frame 5 are all -inf"),
        (lambda logs: np.full((9, 4), -INF), "frame 0 are all -inf"),
    ],
)
def test_what_is_no_log_posterior_is_refused(change, said):
    with pytest.raises(ValueError, match=said):
        force_align(change(random_logs(9, 4, 0)), [1], SIL)


def test_a_phone_that_is_never_possible_has_no_alignment():
    logs = random_logs(9, 4, 0)
    logs[:, 1] = -INF
    assert force_align(logs, [1], SIL) is None


def test_phones_may_be_of_any_whole_type():
    logs = random_logs(9, 4, 0)
    assert force_align(logs, np.array([1, 2]), np.int64(SIL)) == force_align(logs, [1, 2], SIL)
