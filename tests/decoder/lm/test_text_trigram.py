"""A trigram counted in sentences, beside the same formulas written down with dictionaries."""

from __future__ import annotations

import math
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from speechattn.decoder.lm.english import BEGIN, END, NEVER
from speechattn.decoder.lm.text_trigram import estimate_trigram
from speechattn.errors import CorpusError

WORDS = ["b", BEGIN, "a", END, "c"]  # in any order
SENTENCES = st.lists(st.lists(st.sampled_from(["a", "b", "c", "?"]), max_size=6), min_size=1)


def has_words(sentences):
    return any(word != "?" for words in sentences for word in words)


class KneserNey:
    """Chen and Goodman (1999), equation by equation."""

    def __init__(self, sentences):
        pairs, triples = Counter(), Counter()
        for words in sentences:
            told = [BEGIN, *words, END]
            pairs.update(p for p in zip(told, told[1:]) if "?" not in p)
            triples.update(t for t in zip(told, told[1:], told[2:]) if "?" not in t)
        self.triples = triples
        before = defaultdict(set)
        for first, second, third in triples:
            before[second, third].add(first)
        self.pairs = {
            pair: n if pair[0] == BEGIN else max(1, len(before[pair])) for pair, n in pairs.items()
        }
        self.words = Counter(second for _, second in pairs)

    def first(self, word):
        if word == BEGIN:
            return 0.0
        possible = [w for w in WORDS if w != BEGIN]
        total = max(1, self.words.total())
        kept = {w: max(self.words[w] - 0.5, 0) / total for w in possible}
        return kept[word] + (1 - sum(kept.values())) / len(possible)

    @staticmethod
    def discount(count, counts):
        n = [max(1, sum(c == k for c in counts.values())) for k in (1, 2, 3, 4)]
        y = n[0] / (n[0] + 2 * n[1])
        k = min(count, 3)
        return min(max(k - (k + 1) * y * n[k] / n[k - 1], 0.05), count)

    def _level(self, counts, history, word, lower):
        row = {key: c for key, c in counts.items() if key[:-1] == history}
        if not row:
            return lower
        taken = {key: self.discount(c, counts) for key, c in row.items()}
        total = sum(row.values())
        key = (*history, word)
        kept = row[key] - taken[key] if key in row else 0
        return (kept + sum(taken.values()) * lower) / total

    def second(self, before, word):
        return self._level(self.pairs, (before,), word, self.first(word))

    def third(self, older, before, word):
        return self._level(self.triples, (older, before), word, self.second(before, word))


@given(SENTENCES.filter(has_words))
@example([["?", "a", "?"]])
@settings(max_examples=150)
def test_the_formulas_word_by_word(sentences):
    trigram, right = estimate_trigram(sentences, WORDS), KneserNey(sentences)
    every = np.arange(len(WORDS))
    said = [w for w in WORDS if w != BEGIN]
    assert trigram.log_unigram[WORDS.index(BEGIN)] == NEVER
    for word in said:
        prob = math.exp(trigram.log_unigram[WORDS.index(word)])
        assert prob == pytest.approx(right.first(word))
    for before in WORDS:
        found = np.exp(trigram.log_prob(every, [WORDS.index(before)]))
        assert found.sum() == pytest.approx(1)
        for word in said:
            assert found[WORDS.index(word)] == pytest.approx(right.second(before, word))
        for older in WORDS:
            found = np.exp(trigram.log_prob(every, [WORDS.index(older), WORDS.index(before)]))
            assert found.sum() == pytest.approx(1)
            for word in said:
                assert found[WORDS.index(word)] == pytest.approx(right.third(older, before, word))


def test_nothing_reaches_over_an_unknown_word():
    trigram = estimate_trigram([["a", "?", "b", "c"], ["?"]], WORDS)
    pairs = {(WORDS[f], WORDS[s]) for f, s in zip(trigram.first, trigram.second)}
    assert pairs == {(BEGIN, "a"), ("b", "c"), ("c", END)}
    triples = [(WORDS[trigram.first[p]], WORDS[t]) for p, t in zip(trigram.pair, trigram.third)]
    assert triples == [("b", END)]


@pytest.mark.parametrize("sentences", [[], [[]], [["x", "y"], ["z"]]])
def test_texts_without_a_known_word_are_refused(sentences):
    with pytest.raises(CorpusError, match="none of their words is known"):
        estimate_trigram(sentences, WORDS)
