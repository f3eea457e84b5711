"""What the decoder learns of phones: from labels alone, and from English text as well."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from helpers import PHONES, make_prepared

from speechattn import learnphones
from speechattn.config import DecodingConfig
from speechattn.errors import ConfigError
from speechattn.learnphones import learn_phones
from speechattn.ngramcounts import count_ngrams, estimate_ngrams
from speechattn.ngrams import PhoneNgrams
from speechattn.phonemodel import PhoneModel

LABELS = [[0, 0, 1, 1, 2, 2, 2], [1, 1, 0, 0, 1]]
RUNS = [[0, 1, 2], [1, 0, 1]]


@pytest.fixture
def train(tmp_path):
    sets = [(np.ones((len(labels), 8)), np.array(labels)) for labels in LABELS]
    return make_prepared(tmp_path / "c", sets)


def same(one: PhoneNgrams, two: PhoneNgrams) -> bool:
    one, two = one.tensors(), two.tensors()
    return all(np.array_equal(values, two[name]) for name, values in one.items())


@pytest.mark.parametrize("order", [2, 3])
def test_from_the_training_labels(train, order):
    model = learn_phones(train, PHONES, DecodingConfig(ngram_order=order))
    runs = map(train.runs, train.entries)
    assert model.to_dict() == PhoneModel.learn(runs, len(PHONES)).to_dict()
    if order == 2:
        assert model.ngrams is None
    else:
        counts = count_ngrams(RUNS, 3)
        assert same(model.ngrams, estimate_ngrams(counts, len(PHONES), 3))


TEXT = [("a a b c", [0, 3, 1, 0]), ("a b b", [0, 2, 2, 0])]


@pytest.fixture
def english(monkeypatch):
    """A language of three words; returns what it was asked for."""
    lexicon = SimpleNamespace(
        phones=PHONES, variants={"A": [(1,)], "B": [(2, 3), (2,)], "C": [(4, 4)]}
    )
    asked = []

    def sentences(words, given):
        assert given is lexicon
        asked.append(words)
        return ((text.split(), labels) for text, labels in TEXT)

    monkeypatch.setattr(learnphones, "english_lexicon", lambda phones: lexicon)
    monkeypatch.setattr(learnphones, "english_sentences", sentences)
    return asked


def test_english_text_is_counted_with_its_weight(train, english):
    settings = DecodingConfig(ngram_order=4, english_words=7, english_weight=0.5, ngram_least=0.4)
    model = learn_phones(train, PHONES, settings)
    labels = [labels for _, labels in TEXT]
    counts = count_ngrams(labels, 4, 0.5, count_ngrams(RUNS, 4))
    assert same(model.ngrams, estimate_ngrams(counts, len(PHONES), 4, 0.4))
    assert model.words is None and english == [7]


def test_words_come_from_the_same_text(train, english):
    settings = DecodingConfig(ngram_order=3, english_words=7, word_least=2)
    words = learn_phones(train, PHONES, settings).words
    assert words.num_words == 2  # c was drawn once
    assert words.ways.tolist() == [1, 2] and words.phones.tolist() == [1, 2, 3, 2]
    assert english == [7]


@pytest.mark.parametrize(
    "settings",
    [
        {"english_words": 5},
        {"english_words": -1, "ngram_order": 3},
        {"english_weight": 0},
        {"ngram_least": -1.0},
        {"ngram_order": 1},
        {"word_least": -1},
        {"word_least": 2, "ngram_order": 3},
    ],
)
def test_what_cannot_be_is_refused(settings):
    with pytest.raises(ConfigError, match=f"decoding.{next(iter(settings))}"):
        DecodingConfig(**settings)
