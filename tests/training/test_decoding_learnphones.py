"""What the decoder learns of phones: from labels alone, and from English text as well."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.commands import PHONES, make_prepared
from support.word_lms import small_lexicon, small_trigram

from speechattn.decoder.lm.mixture import mix_trigrams
from speechattn.decoder.lm.ngram_estimation import count_ngrams, estimate_ngrams
from speechattn.decoder.lm.ngrams import PhoneNgrams
from speechattn.decoder.lm.phone_model import PhoneModel
from speechattn.decoder.lm.pruning import choose_words
from speechattn.decoder.lm.text_trigram import estimate_trigram
from speechattn.decoder.lm.word_lm import WordNgrams
from speechattn.errors import ConfigError, CorpusError
from speechattn.training import decoding
from speechattn.training.config_sections import DecodingConfig
from speechattn.training.decoding import estimate_phone_model

LABELS = [[0, 0, 1, 1, 2, 2, 2], [1, 1, 0, 0, 1]]
RUNS = [[0, 1, 2], [1, 0, 1]]


@pytest.fixture
def train(tmp_path):
    sets = [(np.ones((len(labels), 8)), np.array(labels)) for labels in LABELS]
    return make_prepared(tmp_path / "c", sets)


def same(one: PhoneNgrams | WordNgrams, two: PhoneNgrams | WordNgrams) -> bool:
    one, two = one.tensors(), two.tensors()
    return all(np.array_equal(values, two[name]) for name, values in one.items())


@pytest.mark.parametrize("order", [2, 3])
def test_from_the_training_labels(train, order):
    model = estimate_phone_model(train, PHONES, DecodingConfig(ngram_order=order))
    runs = map(train.runs, train.entries)
    assert model.to_dict() == PhoneModel.learn(runs, len(PHONES)).to_dict()
    if order == 2:
        assert model.ngrams is None
    else:
        counts = count_ngrams(RUNS, 3)
        assert same(model.ngrams, estimate_ngrams(counts, len(PHONES), 3))


TEXT = [[0, 3, 1, 0], [0, 2, 2, 0]]


@pytest.fixture
def english(monkeypatch):
    """A language of three words; returns what it was asked for."""
    lexicon, asked = small_lexicon(PHONES), []

    def sentences(words, given):
        assert given is lexicon
        asked.append(words)
        return ((None, labels) for labels in TEXT)

    monkeypatch.setattr(decoding, "english_trigram", small_trigram)
    monkeypatch.setattr(decoding, "english_lexicon", lambda phones: lexicon)
    monkeypatch.setattr(decoding, "english_sentences", sentences)
    return asked


def test_english_text_is_counted_with_its_weight(train, english):
    settings = DecodingConfig(ngram_order=4, english_words=7, english_weight=0.5, ngram_least=0.4)
    model = estimate_phone_model(train, PHONES, settings)
    counts = count_ngrams(TEXT, 4, 0.5, count_ngrams(RUNS, 4))
    assert same(model.ngrams, estimate_ngrams(counts, len(PHONES), 4, 0.4))
    assert model.words is None and english == [7]


def test_words_come_from_the_trigram(train, english):
    settings = DecodingConfig(ngram_order=3, word_pairs=2, word_triples=1)
    model = estimate_phone_model(train, PHONES, settings)
    right = choose_words(small_trigram(), small_lexicon(PHONES), 2, 1).tensors()
    for name, values in model.words.tensors().items():
        np.testing.assert_array_equal(values, right[name])
    assert same(model.ngrams, estimate_ngrams(count_ngrams(RUNS, 3), len(PHONES), 3))
    assert english == []


def test_words_learn_from_texts_and_transcripts(train, english, tmp_path):
    (tmp_path / "text.txt").write_text("B a. B a")
    train.entries = [replace(e, text=text) for e, text in zip(train.entries, ("C, b!", "c b"))]
    room = {"ngram_order": 3, "word_pairs": 20, "word_triples": 20}
    settings = DecodingConfig(
        **room, texts=(str(tmp_path / "text.txt"),), text_weight=0.3, transcripts_weight=0.2
    )
    found = estimate_phone_model(train, PHONES, settings).words
    trigram = small_trigram()
    # What both speakers said counts once; c and b alone fit, the others have no way to be said.
    parts = [estimate_trigram(said, trigram.words) for said in ([["b", "a"]] * 2, [["c", "b"]])]
    mixture = mix_trigrams([trigram, *parts], [0.5, 0.3, 0.2])
    right = choose_words(mixture, small_lexicon(PHONES), 20, 20).tensors()
    for name, values in found.tensors().items():
        np.testing.assert_array_equal(values, right[name])
    # Without transcripts, and with a text that is not there.
    train.entries = [replace(e, text=None) for e in train.entries]
    only = DecodingConfig(**room, transcripts_weight=0.2)
    plain = choose_words(trigram, small_lexicon(PHONES), 20, 20)
    assert same(estimate_phone_model(train, PHONES, only).words, plain)
    with pytest.raises(CorpusError, match="gone.txt: cannot be read"):
        estimate_phone_model(train, PHONES, replace(settings, texts=("gone.txt",)))


@pytest.mark.parametrize(
    "settings",
    [
        {"english_words": 5},
        {"english_words": -1, "ngram_order": 3},
        {"english_weight": 0},
        {"ngram_least": -1.0},
        {"ngram_order": 1},
        {"word_pairs": -1},
        {"word_pairs": 5},
        {"word_triples": 2, "ngram_order": 3},
        {"texts": ("a.txt",)},
        {"texts": ("a.txt", "a.txt"), "word_pairs": 5, "ngram_order": 3},
        {"texts": (3,), "word_pairs": 5, "ngram_order": 3},
        {"text_weight": 1.0},
        {"text_weight": 0.6, "transcripts_weight": 0.4, "texts": ("a.txt",), "word_pairs": 5},
        {"transcripts_weight": 1.0},
    ],
)
def test_what_cannot_be_is_refused(settings):
    with pytest.raises(ConfigError, match=f"decoding.{next(iter(settings))}"):
        DecodingConfig(**settings)


def test_a_sentence_of_many_speakers_counts_once(tmp_path):
    said = [LABELS[0], LABELS[1], LABELS[0], LABELS[1]]
    sets = [(np.ones((len(labels), 8)), np.array(labels)) for labels in said]
    train = make_prepared(tmp_path / "c", sets)
    texts = ["One, two.", "Three", "one two", None]
    train.entries = [replace(e, text=text) for e, text in zip(train.entries, texts)]
    model = estimate_phone_model(train, PHONES, DecodingConfig(ngram_order=3))
    # The first sentence was read twice; what has no text counts for itself.
    counts = count_ngrams([RUNS[0], RUNS[1], RUNS[1]], 3)
    assert same(model.ngrams, estimate_ngrams(counts, len(PHONES), 3))
