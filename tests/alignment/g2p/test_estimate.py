"""Smoothed n-grams: probabilities that add up, and counts by an independent computation."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechattn.alignment.g2p.estimate import NEVER, estimate

TOKENS = 4
BEGIN, END = TOKENS, TOKENS + 1
sequences = st.lists(
    st.lists(st.integers(0, TOKENS - 1), min_size=1, max_size=6), min_size=1, max_size=8
)


def table(orders) -> list[dict[tuple[int, ...], tuple[float, float]]]:
    """For each length, the n-grams as tuples → log probability and back-off."""
    found: list[dict] = []
    names: list[tuple[int, ...]] = [()]
    for order in orders:
        names = [(*names[h], t) for h, t in zip(order.history.tolist(), order.token.tolist())]
        found.append(dict(zip(names, zip(order.log_prob, order.back_off))))
    return found


def log_prob(tables, history: tuple[int, ...], token: int) -> float:
    """By the definition of back-off, from the longest history that is known."""
    gram = (*history, token)
    if gram in tables[len(history)]:
        return tables[len(history)][gram][0]
    weight = tables[len(history) - 1][history][1] if history in tables[len(history) - 1] else 0.0
    return weight + log_prob(tables, history[1:], token)


@given(sequences)
@settings(max_examples=60, deadline=None)
def test_probabilities_after_every_history_add_up_to_one(words):
    tables = table(estimate(words, BEGIN, END, 3))
    histories = [(), *tables[0], *tables[1]]
    for history in histories:
        if history[-1:] == (END,):
            continue
        whole = sum(np.exp(log_prob(tables, history, t)) for t in [*range(TOKENS), END])
        assert whole == pytest.approx(1.0, abs=1e-6)
    assert tables[0][BEGIN,][0] == NEVER


@given(sequences)
@settings(max_examples=60, deadline=None)
def test_all_ngrams_that_occur_are_there_with_their_suffixes(words):
    orders = estimate(words, BEGIN, END, 3)
    tables = table(orders)
    expected: list[Counter] = [Counter() for _ in range(3)]
    for word in words:
        padded = (BEGIN, *word, END)
        for n in range(1, 4):
            expected[n - 1].update(padded[i : i + n] for i in range(len(padded) - n + 1))
    assert tables[1].keys() == expected[1].keys() and tables[2].keys() == expected[2].keys()
    shorter = list(tables[1])
    for gram, suffix in zip(tables[2], orders[2].suffix):
        assert shorter[suffix] == gram[1:]


def test_kneser_ney_by_hand():
    """Bigrams of "ab ab ab cb": after how many tokens b comes counts, not how often."""
    a, b, c = 0, 1, 2
    orders = estimate([[a, b]] * 3 + [[c, b]], 3, 4, 2)
    unigrams, bigrams = table(orders)
    # Each of a and c comes after 1 token, b after 2, the end after 1: five in all.
    discounts = {1: 1 - 2 * (3 / 5) * (1 / 3), 2: 2.0}  # of 3, 1 and 0 of them
    taken = 3 * discounts[1] + discounts[2]
    spare = taken / 5 / 4
    assert np.exp(unigrams[a,][0]) == pytest.approx((1 - discounts[1]) / 5 + spare)
    assert np.exp(unigrams[b,][0]) == pytest.approx((2 - discounts[2]) / 5 + spare)
    assert bigrams[a, b][0] > bigrams[c, b][0]  # three times against once
