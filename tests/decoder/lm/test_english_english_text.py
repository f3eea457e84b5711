"""Sentences drawn from pocketsphinx's trigram: English as a stranger would count it."""

from __future__ import annotations

import importlib.util
import itertools
from collections import Counter

import pytest

from speechattn.decoder.lm import english
from speechattn.decoder.lm.english import english_lexicon, english_sentences
from speechattn.errors import ConfigError, UsageError
from speechattn.phones import PhoneSet, arpabet

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
