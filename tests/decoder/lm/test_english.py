"""The English trigram against pocketsphinx, and the sentences drawn from it."""

from __future__ import annotations

import importlib.util
import itertools
import math
from collections import Counter

import numpy as np
import pytest

from speechattn.decoder.lm import english
from speechattn.decoder.lm.english import (
    WordTrigram,
    english_lexicon,
    english_sentences,
    read_trigram,
)
from speechattn.decoder.lm.lexicon import packaged_file
from speechattn.errors import ConfigError, UsageError
from speechattn.phones import PhoneSet, arpabet

pocketsphinx = pytest.importorskip("pocketsphinx")


@pytest.fixture(scope="module")
def path():
    return packaged_file("en-us.lm.bin", "language model")


@pytest.fixture(scope="module")
def trigram(path) -> WordTrigram:
    return read_trigram(path)


@pytest.fixture(scope="module")
def log_prob(path):
    logarithms = pocketsphinx.LogMath()
    model = pocketsphinx.NGramModel(pocketsphinx.Config(), logarithms, str(path))
    return lambda newest_first: model.prob(newest_first) / logarithms.log(math.e)


def test_numbers_are_those_that_pocketsphinx_gives(trigram, log_prob):
    random, words = np.random.default_rng(0), trigram.words
    for i in random.integers(len(words), size=300):
        assert trigram.log_unigram[i] == pytest.approx(log_prob([words[i]]), abs=2e-3)
    for i in random.integers(len(trigram.first), size=300):
        first, second = words[trigram.first[i]], words[trigram.second[i]]
        assert trigram.log_pair[i] == pytest.approx(log_prob([second, first]), abs=2e-3)
    for i in random.integers(len(trigram.third), size=300):
        pair = trigram.pair[i]
        told = trigram.third[i], trigram.second[pair], trigram.first[pair]
        newest_first = [words[j] for j in told]
        assert trigram.log_triple[i] == pytest.approx(log_prob(newest_first), abs=2e-3)


def test_back_off_is_that_of_pocketsphinx(trigram, log_prob):
    random, words = np.random.default_rng(1), trigram.words
    pairs = set(zip(trigram.first.tolist(), trigram.second.tolist()))
    there = np.unique(trigram.pair)
    tried = 0
    for pair in random.choice(there, 200):
        first, second = int(trigram.first[pair]), int(trigram.second[pair])
        third = int(random.integers(len(words)))
        if (second, third) in pairs:
            continue
        expected = trigram.pair_back_off[pair] + trigram.back_off[second]
        expected += trigram.log_unigram[third]
        found = log_prob([words[third], words[second], words[first]])
        assert found == pytest.approx(expected, abs=2e-3)
        tried += 1
    assert tried > 100


def test_words_after_others_are_as_likely_as_pocketsphinx_has_it(trigram, log_prob):
    random, words = np.random.default_rng(2), trigram.words
    for pair in random.integers(len(trigram.first), size=40):
        before = [int(trigram.first[pair]), int(trigram.second[pair])]
        begin, end = np.searchsorted(trigram.pair, [pair, pair + 1])
        asked = np.concatenate([trigram.third[begin:end][:5], random.integers(len(words), size=5)])
        for history in (before, before[1:], [before[1], before[0]]):
            newest_first = [words[i] for i in reversed(history)]
            expected = [log_prob([words[i], *newest_first]) for i in asked]
            found = trigram.log_prob(asked, history)
            assert found == pytest.approx(np.array(expected), abs=5e-3)


def test_pairs_and_triples_are_in_order_and_their_probabilities_sum_to_one(trigram):
    keys = trigram.first * len(trigram.words) + trigram.second
    assert (np.diff(keys) > 0).all()
    assert (np.diff(trigram.pair * len(trigram.words) + trigram.third) > 0).all()
    assert np.exp(trigram.log_unigram).sum() == pytest.approx(1, abs=1e-3)
    size = len(trigram.words)
    kept = np.bincount(trigram.first, np.exp(trigram.log_pair), size)
    known = np.bincount(trigram.first, np.exp(trigram.log_unigram[trigram.second]), size)
    total = kept + np.exp(trigram.back_off) * (1 - known)
    begins = np.unique(trigram.first)
    assert np.quantile(abs(total[begins] - 1), 0.99) < 0.01


def _cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


@pytest.mark.parametrize(
    "change",
    [
        _cut,
        lambda data: b"",
        lambda data: data[:30],
        lambda data: b"x" + data[1:],
        lambda data: data[:19] + b"\x02" + data[20:],
        lambda data: data[:20] + b"\xff" * 12 + data[32:],
        lambda data: data[: 1 << 20] + b"\xff" * (1 << 20) + data[2 << 20 :],
        lambda data: data[: 12 << 20] + b"\xff" * (1 << 20) + data[13 << 20 :],
    ],
)
def test_other_files_are_refused_by_name(path, tmp_path, change):
    other = tmp_path / "other.bin"
    other.write_bytes(change(path.read_bytes()))
    with pytest.raises(ConfigError, match="other.bin: is no word trigram of pocketsphinx"):
        read_trigram(other)
    with pytest.raises(ConfigError, match="none.bin: cannot be read"):
        read_trigram(tmp_path / "none.bin")


PHONES = arpabet()
SILENCE = PHONES.silence_index


@pytest.fixture(scope="module")
def lexicon():
    pytest.importorskip("pocketsphinx")
    return english_lexicon(PHONES)


@pytest.fixture(scope="module")
def sentences(lexicon):
    return list(english_sentences(8000, lexicon))


@pytest.fixture(scope="module")
def strings(sentences):
    return [labels for _, labels in sentences]


def test_labels_are_pronunciations_of_the_words(lexicon, sentences):
    for words, labels in sentences[:100]:
        rest = {tuple(label for label in labels if label != SILENCE)}
        for word in words:
            ways = lexicon.variants[word.upper()]
            rest = {r[len(w) :] for r in rest for w in ways if r[: len(w)] == w}
        assert () in rest


def test_sentences_begin_and_end_in_silence_and_never_pause_twice(strings):
    for labels in strings:
        assert labels[0] == labels[-1] == SILENCE and len(labels) > 2
        assert not any(a == b == SILENCE for a, b in itertools.pairwise(labels))


def test_words_are_as_frequent_as_in_english(lexicon, strings):
    """By their pronunciations between pauses: "the" follows "of" more than "of" follows "the"."""
    the, of = lexicon.words["THE"], lexicon.words["OF"]
    text = [tuple(labels) for labels in strings]

    def times(part):
        size = len(part)
        return sum(t[i : i + size] == part for t in text for i in range(len(t) - size + 1))

    assert 0.02 < times(the) / 8000 < 0.12
    assert times(of + the) > 5 * max(1, times(the + of))


def test_phones_are_as_frequent_as_in_english(strings):
    """AH, N and T lead every count of spoken US English; ZH, OY and CH trail it."""
    counts = Counter(PHONES.names[label] for labels in strings for label in labels)
    del counts["SIL"]
    often = [name for name, _ in counts.most_common(6)]
    assert {"AH", "N", "T"} <= set(often)
    assert {"ZH", "OY"} <= {name for name, _ in counts.most_common()[-6:]}


def test_pauses_are_between_words_as_often_as_said(strings):
    pauses = sum(label == SILENCE for labels in strings for label in labels[1:-1])
    assert pauses / 8000 == pytest.approx(english.PAUSE, rel=0.25)


def test_same_seed_same_sentences(lexicon):
    one, two, other = (list(english_sentences(60, lexicon, seed)) for seed in (3, 3, 4))
    assert one == two != other


def test_another_phone_set_is_refused():
    pytest.importorskip("pocketsphinx")
    with pytest.raises(ConfigError, match="is no phone"):
        english_lexicon(PhoneSet(("SIL", "A", "B"), "SIL"))


def test_without_pocketsphinx_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="pip install"):
        english_lexicon(PHONES)
