"""Words and their pairs: counted, kept in a file, refused where they cannot be."""

from __future__ import annotations

import dataclasses
import math
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
from decoder_reference import random_model, with_ngrams
from hypothesis import given, settings
from hypothesis import strategies as st
from words import pairs_of, random_words, said_as

from speechattn.errors import ConfigError, CorpusError, ModelError
from speechattn.words import WordBigrams, estimate_words

LEXICON = SimpleNamespace(
    phones=SimpleNamespace(silence_index=0),
    variants={"A": [(1,), (2,), (1,)], "THE": [(3, 1)], "OWL": [(2, 4)], "SEA": [(5, 6)]},
)
TEXT = ["the owl", "the owl", "a owl the owl", "the sea", "owl a xyz a", "the xyz"]


def test_pairs_by_witten_and_bell():
    words = estimate_words([text.split() for text in TEXT], LEXICON, 2)
    a, owl, the = range(3)  # in alphabetical order; the sea and the xyz were seen too rarely
    assert said_as(words) == [[(1,), (2,)], [(2, 4)], [(3, 1)]] and words.silence == 0
    total = 16
    expected = {a: 3 / total, owl: 5 / total, the: 5 / total}
    for word, share in expected.items():
        assert words.log_unigram[word] == pytest.approx(math.log(share), abs=2e-3)
    pairs = pairs_of(words)
    assert set(pairs) == {(the, owl), (3, the)}  # 3: a sentence's beginning
    # Seen three times, of one kind; at the beginning four times.
    assert words.back_off[the] == pytest.approx(math.log(1 / 4), abs=2e-3)
    assert pairs[the, owl] == pytest.approx(math.log(3 / 4 + 5 / total / 4), abs=2e-3)
    assert words.back_off[3] == pytest.approx(math.log(1 / 5), abs=2e-3)
    assert words.back_off[a] == words.back_off[owl] == 0.0


def test_rare_words_are_known_if_asked():
    words = estimate_words([text.split() for text in TEXT], LEXICON, 1)
    assert words.num_words == 4 and len(words.second) > 4


@pytest.mark.parametrize(
    ("least", "text", "kind", "message"),
    [
        (0, TEXT, ConfigError, "words: least is 0"),
        (9, TEXT, CorpusError, "words: none"),
        (1, ["xyz"], CorpusError, "words: none"),
        (1, [], CorpusError, "words: none"),
    ],
)
def test_nothing_to_learn_is_an_error(least, text, kind, message):
    with pytest.raises(kind, match=message):
        estimate_words([line.split() for line in text], LEXICON, least)


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 300))
def test_files_hold_them_as_they_are(seed, num_words):
    words = random_words(np.random.default_rng(seed), 9, num_words)
    once = WordBigrams.from_tensors(words.tensors())
    twice = WordBigrams.from_tensors(once.tensors())
    for field in dataclasses.fields(WordBigrams):
        one, two = getattr(once, field.name), getattr(twice, field.name)
        assert np.array_equal(one, two)
        np.testing.assert_allclose(one, getattr(words, field.name), rtol=1e-3)
    assert words.tensors()["phones"].dtype == np.uint8


def test_what_was_learned_is_not_rounded_again():
    words = estimate_words([text.split() for text in TEXT], LEXICON, 1)
    for name, values in WordBigrams.from_tensors(words.tensors()).tensors().items():
        np.testing.assert_array_equal(values, words.tensors()[name])


def test_pickles_leave_the_network_out():
    words = random_words(np.random.default_rng(0), 5, 200)
    size = len(pickle.dumps(words))
    assert words.network.num_states > 200
    assert len(pickle.dumps(words)) == size


def _change(name, place, value):
    def change(tensors):
        tensors[name] = tensors[name].copy().astype(np.float64)
        tensors[name][place] = value

    return change


def _drop(name):
    return lambda tensors: tensors.update({name: tensors[name][:-1]})


DAMAGED = {
    "missing": (lambda t: t.pop("ways"), "missing or unknown ways"),
    "unknown": (lambda t: t.update(more=np.zeros(1)), "missing or unknown more"),
    "text": (lambda t: t.update(ways=np.array(["a"])), "ways is not an array of numbers"),
    "two axes": (lambda t: t.update(ways=np.zeros((2, 2))), "ways has shape (2, 2)"),
    "none": (
        lambda t: t.update(
            {
                n: t[n][:0]
                for n in ("phones", "lengths", "ways", "log_unigram", "second", "log_pair")
            }
            | {n: t[n][:1] * 0 for n in ("back_off", "followers")}
        ),
        "there are none",
    ),
    "a phone less": (_drop("phones"), "phones has"),
    "a length less": (_drop("lengths"), "phones has"),
    "a word less": (_drop("log_unigram"), "log_unigram has"),
    "a weight less": (_drop("back_off"), "back_off has"),
    "a row less": (_drop("followers"), "followers has"),
    "a pair less": (_drop("log_pair"), "log_pair has"),
    "no length": (
        lambda t: t.update(lengths=np.r_[t["lengths"][0] + t["lengths"][1], 0, t["lengths"][2:]]),
        "lengths has the value 0",
    ),
    "no way": (
        lambda t: t.update(ways=np.r_[t["ways"][0] + t["ways"][1], 0, t["ways"][2:]]),
        "ways has the value 0",
    ),
    "silence in a word": (_change("phones", 0, 0), "silence, 0, lies in a word"),
    "two silences": (lambda t: t.update(silence=np.zeros(2)), "silence has 2 values"),
    "word beyond": (_change("second", -1, 99), "second has the value 99"),
    "likely": (_change("log_pair", 0, 0.5), "log_pair has the value 0.5"),
    "NaN": (_change("log_unigram", 0, np.nan), "log_unigram has the value nan"),
    "order": (lambda t: t.update(second=t["second"][::-1]), "a pair is there twice"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_what_cannot_be_is_refused(name):
    change, said = DAMAGED[name]
    tensors = random_words(np.random.default_rng(7), 5, 12).tensors()
    change(tensors)
    with pytest.raises(ModelError) as caught:
        WordBigrams.from_tensors(tensors)
    message = str(caught.value)
    assert said in message and message.endswith("; train or export the model again")


def test_words_must_suit_their_phone_model():
    rng = np.random.default_rng(1)
    plain = random_model(rng, 4)
    words = random_words(rng, 4, 30)
    with pytest.raises(ModelError, match="of 4 phones, with words but no n-grams"):
        dataclasses.replace(plain, words=words)
    known = with_ngrams(rng, plain)
    assert dataclasses.replace(known, words=words).words is words
    with pytest.raises(ModelError, match="of 4 phones, with words but words of 6 phones"):
        dataclasses.replace(known, words=dataclasses.replace(words, silence=5))
