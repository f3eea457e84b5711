"""Counting and estimating phone n-grams against Witten and Bell's definition."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.phone_ngrams import SENTENCES, contexts, corpora, learned

from speechattn.decoder.lm.ngram_estimation import count_ngrams, estimate_ngrams, neighbours
from speechattn.errors import ConfigError, CorpusError
from speechattn.segments import FrameSegment


def probability(counts: Counter, num_phones: int, context: tuple, phone: int) -> float:
    """Witten and Bell's, by the recursion of its definition."""
    if not context:
        total = sum(v for k, v in counts.items() if len(k) == 1)
        return (counts[(phone,)] + 0.5) / (total + num_phones / 2)
    shorter = probability(counts, num_phones, context[1:], phone)
    after = [v for k, v in counts.items() if k[:-1] == context]
    if not after:
        return shorter
    return (counts[(*context, phone)] + len(after) * shorter) / (sum(after) + len(after))


@settings(max_examples=60)
@given(corpora(), st.integers(2, 5))
def test_probabilities_are_those_of_witten_and_bell(corpus, order):
    num_phones, sentences = corpus
    counts = count_ngrams(sentences, order)
    ngrams = estimate_ngrams(counts, num_phones, order, least=1.0)
    table = ngrams.tables.log_prob
    for state, context in enumerate(contexts(ngrams)):
        expected = [probability(counts, num_phones, context, q) for q in range(num_phones)]
        assert np.exp(table[state]) == pytest.approx(expected, rel=0.01 * order)  # float16
        assert np.exp(table[state].astype(float)).sum() == pytest.approx(1, abs=0.01)
    assert ngrams.tables.best.tolist() == table.max(axis=1).tolist()


def test_what_is_learned_by_hand():
    ngrams = learned([[0, 1, 0, 1, 2]], num_phones=3)
    assert contexts(ngrams) == [(0,), (1,), (2,), (0, 1), (1, 0)]
    log_prob = ngrams.tables.log_prob
    # After 0: 1 twice, one kind; so (2 + 1 * p(1)) / 3, and p(1) = 2.5 / 6.5.
    assert math.exp(log_prob[0, 1]) == pytest.approx((2 + 2.5 / 6.5) / 3, rel=1e-3)
    assert math.exp(log_prob[0, 2]) == pytest.approx(1.5 / 6.5 / 3, rel=1e-3)
    # Nothing was seen after 2.
    assert np.exp(log_prob[2]) == pytest.approx(np.array([2.5, 2.5, 1.5]) / 6.5, rel=1e-3)
    assert ngrams.tables.following.tolist() == [
        [0, 3, 2],
        [4, 1, 2],
        [0, 1, 2],
        [4, 1, 2],
        [0, 3, 2],
    ]


def test_counts_are_of_all_lengths_and_add_up():
    counts = count_ngrams([[0, 1, 0, 1]], 3)
    assert counts == {(0,): 2, (1,): 2, (0, 1): 2, (1, 0): 1, (0, 1, 0): 1, (1, 0, 1): 1}
    mixed = count_ngrams([np.array([0, 1])], 3, weight=0.25, into=counts)
    assert mixed is counts and counts[(0, 1)] == 2.25 and counts[(1, 0)] == 1


def test_rare_long_ngrams_are_left_out():
    sentences = [[0, 1, 2, 3, 0], [0, 1, 2, 3, 1]]
    every, some = (learned(sentences, order=5, least=least) for least in (1, 2))
    assert (every.order, some.order) == (5, 4)
    gone = set(contexts(every)) - set(contexts(some))
    assert (1, 2, 3) in gone and (0, 1, 2) not in gone and (1, 2) not in gone
    place = contexts(some).index((0, 1, 2))
    assert some.arc_phone[some.arc_state == place].tolist() == [3]


def test_the_order_of_counting_does_not_matter():
    counts = count_ngrams(SENTENCES, 4)
    again = Counter(dict(reversed(counts.items())))
    one, two = (estimate_ngrams(c, 4, 4, 1.0).tensors() for c in (counts, again))
    assert all(np.array_equal(one[name], two[name]) for name in one)


def test_a_gap_parts_neighbours():
    runs = [
        FrameSegment(3, 0, 5),
        FrameSegment(1, 5, 9),
        FrameSegment(2, 10, 12),
        FrameSegment(2, 12, 13),
    ]
    assert list(neighbours(runs)) == [[3, 1], [2, 2]]
    assert list(neighbours([])) == []


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"order": 1}, ConfigError, "order is 1"),
        ({"order": 11}, ConfigError, "order is 11"),
        ({"least": 0.0}, ConfigError, "least is 0"),
        ({"weight": math.nan}, ConfigError, "weight is nan"),
        ({"sequences": []}, CorpusError, "no phones to learn from"),
        ({"sequences": [[0, 4]]}, CorpusError, "outside 0 to 3"),
        ({"sequences": [[-1]]}, CorpusError, "outside 0 to 3"),
    ],
)
def test_impossible_settings_and_labels_are_refused(settings, error, words):
    with pytest.raises(error, match=words):
        learned(**settings)
