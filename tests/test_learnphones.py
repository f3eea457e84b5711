"""What the decoder learns of phones: from labels alone, and from English text as well."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import PHONES, make_prepared
from speechattn.ngramcounts import count_ngrams, estimate_ngrams

from speechattn import learnphones
from speechattn.config import DecodingConfig
from speechattn.errors import ConfigError
from speechattn.learnphones import learn_phones
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


def test_english_text_is_counted_with_its_weight(train, monkeypatch):
    text = [[0, 3, 1, 0], [0, 2, 2, 0]]
    asked = []

    def strings(words, phones):
        asked.append((words, phones))
        return iter(text)

    monkeypatch.setattr(learnphones, "english_strings", strings)
    settings = DecodingConfig(ngram_order=4, english_words=7, english_weight=0.5, ngram_least=0.4)
    model = learn_phones(train, PHONES, settings)
    counts = count_ngrams(text, 4, 0.5, count_ngrams(RUNS, 4))
    assert same(model.ngrams, estimate_ngrams(counts, len(PHONES), 4, 0.4))
    assert asked == [(7, PHONES)]


@pytest.mark.parametrize(
    "settings",
    [
        {"english_words": 5},
        {"english_words": -1, "ngram_order": 3},
        {"english_weight": 0},
        {"ngram_least": -1.0},
        {"ngram_order": 1},
    ],
)
def test_what_cannot_be_is_refused(settings):
    with pytest.raises(ConfigError, match=f"decoding.{next(iter(settings))}"):
        DecodingConfig(**settings)
