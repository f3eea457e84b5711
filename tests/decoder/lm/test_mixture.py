"""Mixtures of trigrams: exact where one of them knows a pair or triple."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.word_lms import small_trigram

from speechattn.decoder.lm.english import BEGIN, END
from speechattn.decoder.lm.mixture import mix_trigrams
from speechattn.decoder.lm.text_trigram import estimate_trigram

WORDS = ["a", "b", "c", BEGIN, END]
TEXTS = st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=5), min_size=1, max_size=9)


def known(trigram):
    """Histories with the words that are known after them: of pairs, and of triples."""
    for first, second in zip(trigram.first.tolist(), trigram.second.tolist()):
        yield [first], second
    for pair, third in zip(trigram.pair.tolist(), trigram.third.tolist()):
        yield [int(trigram.first[pair]), int(trigram.second[pair])], third


def prob(trigram, history, word):
    return float(np.exp(trigram.log_prob(np.array([word]), history)[0]))


@given(TEXTS, TEXTS, st.floats(0.01, 0.99))
@settings(max_examples=100)
def test_every_pair_and_triple_has_the_mean_probability(one, other, weight):
    parts = [estimate_trigram(text, WORDS) for text in (one, other)]
    mixture = mix_trigrams(parts, [weight, 1 - weight])
    found = {(*history, word) for history, word in known(mixture)}
    assert found == {(*history, word) for part in parts for history, word in known(part)}
    for history, word in known(mixture):
        values = [prob(part, history, word) for part in parts]
        value = prob(mixture, history, word)
        assert value == pytest.approx(weight * values[0] + (1 - weight) * values[1])
        assert min(values) * (1 - 1e-9) <= value <= max(values) * (1 + 1e-9)
    share = np.exp(mixture.log_unigram)
    assert share.sum() == pytest.approx(1)
    assert (mixture.back_off <= 0).all() and (mixture.pair_back_off <= 0).all()


@given(TEXTS, TEXTS)
@settings(max_examples=30)
def test_what_has_no_weight_has_no_part(one, other):
    parts = [estimate_trigram(text, WORDS) for text in (one, other)]
    for weights, part in (([1, 0], parts[0]), ([0, 1], parts[1])):
        mixture = mix_trigrams(parts, weights)
        for field in dataclasses.fields(part):
            np.testing.assert_array_equal(getattr(mixture, field.name), getattr(part, field.name))


def test_with_a_trigram_that_has_no_triples():
    words = small_trigram().words
    text = estimate_trigram([["a", "b", "c"], ["d"]], words)
    none = np.zeros(0, np.int64)
    bare = dataclasses.replace(text, pair=none, third=none, log_triple=np.zeros(0))
    mixture = mix_trigrams([small_trigram(), bare, text], [0.5, 0.25, 0.25])
    number = words.index
    value = prob(mixture, [number("a"), number("b")], number("c"))
    others = [prob(t, [number("a"), number("b")], number("c")) for t in (bare, text)]
    assert value == pytest.approx(0.5 * 0.95 + 0.25 * sum(others))


@pytest.mark.parametrize("weights", [[0.5, 0.6], [1.0], [-0.5, 1.5]])
def test_weights_are_one_together(weights):
    with pytest.raises(ValueError, match="1 together"):
        mix_trigrams([small_trigram(), small_trigram()], weights)


def test_trigrams_of_other_words_are_refused():
    with pytest.raises(ValueError, match="same words"):
        mix_trigrams([small_trigram(), estimate_trigram([["a"]], WORDS)], [0.5, 0.5])
