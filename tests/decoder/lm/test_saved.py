"""Language models out of files, with and without the cache."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from support.phone_ngrams import learned
from support.word_lms import random_words

from speechattn.decoder.lm import ngrams, saved, word_lm
from speechattn.decoder.lm.ngrams import PhoneNgrams
from speechattn.decoder.lm.word_lm import WordNgrams
from speechattn.errors import ModelError


@pytest.fixture(autouse=True)
def cached(tmp_path, monkeypatch):
    """Every model is large enough for the cache, which is empty at first."""
    monkeypatch.setenv("SPEECHATTN_CACHE", str(tmp_path))
    monkeypatch.setattr(saved, "LEAST_BYTES", 0)
    return tmp_path


def assert_same(one, other):
    assert type(one) is type(other)
    for field in dataclasses.fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if dataclasses.is_dataclass(a):
            assert_same(a, b)
        else:
            assert type(a) is type(b), field.name
            np.testing.assert_array_equal(a, b)


def test_words_and_their_network_come_back_the_same(monkeypatch):
    words = word_lm.as_saved(random_words(np.random.default_rng(0), 6, 20))
    tensors = words.tensors()
    first = WordNgrams.from_tensors(tensors)
    assert_same(first, WordNgrams._read(tensors))
    network = word_lm.word_network(words)
    for name, values in first.network._asdict().items():
        np.testing.assert_array_equal(values, getattr(network, name))
    assert first.most_jumps == np.diff(network.jump_first).max()

    monkeypatch.setattr(WordNgrams, "_read", None)  # from here on, all is in the cache
    monkeypatch.setattr(word_lm, "word_network", None)
    again = WordNgrams.from_tensors(tensors)
    assert_same(again, first)
    for name, values in again.network._asdict().items():
        np.testing.assert_array_equal(values, getattr(network, name))
        assert values.dtype == getattr(network, name).dtype


def test_ngrams_and_their_tables_come_back_the_same(monkeypatch):
    tensors = learned().tensors()
    first = PhoneNgrams.from_tensors(tensors)
    assert_same(first, PhoneNgrams._read(tensors))
    tables = first.tables
    monkeypatch.setattr(PhoneNgrams, "_read", None)
    monkeypatch.setattr(PhoneNgrams, "_tables", None)
    again = PhoneNgrams.from_tensors(tensors)
    assert_same(again, first)
    for values, expected in zip(again.tables, tables):
        np.testing.assert_array_equal(values, expected)


def test_a_damaged_model_is_refused_and_leaves_nothing(cached):
    tensors = learned().tensors()
    tensors["oldest"] = tensors["oldest"] + 100
    for _ in range(2):
        with pytest.raises(ModelError, match=ngrams.OWNER):
            PhoneNgrams.from_tensors(tensors)
    assert not list(cached.iterdir())
