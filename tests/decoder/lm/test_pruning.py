"""Which words, pairs and triples the decoder knows, and what they are worth then."""

from __future__ import annotations

import dataclasses
import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.word_lms import Follow, pairs_of, said_as, small_lexicon, small_trigram, triples_of

from speechattn.decoder.lm.english import BEGIN, END, WordTrigram
from speechattn.decoder.lm.pruning import as_trigram, choose_words, ways_of_words, with_names
from speechattn.decoder.lm.word_names import WordNames
from speechattn.errors import ConfigError, CorpusError, ModelError

LEXICON = small_lexicon(SimpleNamespace(silence_index=0))
A, D, B, C, SENTENCE = range(5)  # in the order of how they are said; E is no word of the trigram
LOG = pytest.approx


def test_words_that_both_know_with_all_their_pairs_and_triples():
    words = choose_words(small_trigram(), LEXICON, 100, 100)
    assert said_as(words) == [[(1,), (2,)], [(1, 2)], [(2, 3)], [(3, 3)]] and words.silence == 0
    for word, share in ((A, 0.3), (D, 0.05), (B, 0.25), (C, 0.1)):
        assert words.log_unigram[word] == LOG(math.log(share), abs=2e-3)
    pairs = {key: math.exp(value) for key, value in pairs_of(words).items()}
    assert pairs == {
        (SENTENCE, A): LOG(0.6, rel=0.04),
        (D, A): LOG(0.4, rel=0.04),
        (A, D): LOG(0.06, rel=0.04),
        (A, B): LOG(0.5, rel=0.04),
        (B, A): LOG(0.2, rel=0.04),
        (B, C): LOG(0.7, rel=0.04),
    }
    triples = {key: math.exp(value) for key, value in triples_of(words).items()}
    assert triples == {
        (SENTENCE, A, B): LOG(0.9, rel=0.04),
        (SENTENCE, A, C): LOG(0.05, rel=0.04),
        (A, B, C): LOG(0.95, rel=0.04),
        (B, C, D): LOG(0.005, rel=0.04),
    }


def test_what_is_left_out_leaves_its_share_to_the_rest():
    words = choose_words(small_trigram(), LEXICON, 1, 0)
    assert set(pairs_of(words)) == {(B, C)}  # much more likely there, and often the case
    assert math.exp(words.back_off[B]) == LOG((1 - 0.7) / (1 - 0.1), rel=1e-3)
    assert np.count_nonzero(words.back_off) == 1 and not len(words.third)


def test_triples_bring_the_pairs_that_they_begin_with():
    words = choose_words(small_trigram(), LEXICON, 0, 1)
    (triple,) = triples_of(words)
    assert set(pairs_of(words)) == {triple[:2]}


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 12), st.integers(0, 12))
def test_what_is_chosen_is_a_language_like_the_trigram(seed, pairs, triples):
    trigram = random_trigram(np.random.default_rng(seed))
    lexicon = SimpleNamespace(
        phones=SimpleNamespace(silence_index=0),
        variants={name.upper(): [(i,)] for i, name in enumerate(trigram.words) if name[0] == "w"},
    )
    words = choose_words(trigram, lexicon, pairs, triples)
    assert len(words.third) <= triples
    assert len(words.second) <= pairs + len(words.third)
    follow = Follow(words)
    for history in [follow.sentence, *((w,) for w in range(words.num_words))]:
        table = {word: score for word, score, _ in follow.next(history)}
        rest = 1 - sum(math.exp(words.log_unigram[word]) for word in table)
        total = sum(map(math.exp, table.values()))
        weight = math.exp(follow.fall(history)[0])
        # One, if not for words that the decoder does not know, steps, and weights above 1.
        assert total + weight * rest <= 1.05 or weight == 1.0


def random_trigram(rng: np.random.Generator, size: int = 5) -> WordTrigram:
    """Of a text of random words."""
    text = [[0, *rng.integers(2, 2 + size, rng.integers(1, 6)).tolist(), 1] for _ in range(30)]
    names = ["<s>", "</s>", *(f"w{i}" for i in range(size))]
    flat = np.bincount([w for line in text for w in line[1:]], minlength=len(names)) + 0.1
    flat[0] = 1e-20
    log_unigram = np.log(flat / flat.sum())
    told = sorted({pair for line in text for pair in itertools.pairwise(line)})
    three = sorted({triple for line in text for triple in zip(line, line[1:], line[2:])})
    count = np.bincount([a for a, _ in told], minlength=len(names))
    first, second = np.array(told).T
    prob = rng.uniform(0.5, 0.9) / count[first]
    by_pair = np.bincount([told.index(t[:2]) for t in three], minlength=len(told))
    pair = np.array([told.index(t[:2]) for t in three])
    kept, known = np.bincount(first, prob, len(names)), np.zeros(len(names))
    np.add.at(known, first, np.exp(log_unigram[second]))
    back_off = np.log(np.maximum(1 - kept, 1e-3) / np.maximum(1 - known, 1e-3))
    third = np.array([t[2] for t in three])
    log_triple = np.log(rng.uniform(0.5, 0.9) / by_pair[pair])
    pair_back_off = np.log(rng.uniform(0.2, 1, len(told)))
    return WordTrigram(
        *(names, log_unigram, back_off, first, second, np.log(prob), pair_back_off),
        *(pair, third, log_triple),
    )


def test_only_the_most_frequent_words_where_there_are_too_many(monkeypatch):
    monkeypatch.setattr("speechattn.decoder.lm.pruning.MOST_WORDS", 2)
    words = choose_words(small_trigram(), LEXICON, 100, 100)
    assert said_as(words) == [[(1,), (2,)], [(2, 3)]]  # a and b


@pytest.mark.parametrize(("pairs", "triples", "named"), [(-1, 0, "pairs"), (5, -2, "triples")])
def test_numbers_out_of_range_are_an_error(pairs, triples, named):
    with pytest.raises(ConfigError, match=f"words: {named} is -"):
        choose_words(small_trigram(), LEXICON, pairs, triples)


def test_nothing_in_common_is_an_error():
    other = dataclasses.replace(
        small_trigram(), words=[f"q{i}" for i in range(6)] + ["<s>", "</s>"]
    )
    with pytest.raises(CorpusError, match="words: none"):
        choose_words(other, LEXICON, 5)


def test_names_come_along_and_are_found_again():
    chosen = choose_words(small_trigram(), LEXICON, 6, 4)
    names = chosen.names.names
    assert sorted(names) == ["a", "b", "c", "d"]
    for name, ways in zip(names, said_as(chosen)):
        assert ways == LEXICON.variants[name.upper()]
    assert chosen.names.listed.tolist() == chosen.ways.tolist()
    bare = dataclasses.replace(chosen, names=None)
    found = with_names(bare, small_trigram(), LEXICON)
    assert found.names.names == names
    assert found.names.listed.tolist() == chosen.names.listed.tolist()


def test_forms_that_were_heard_are_told_from_those_of_the_dictionary():
    variants = {word: [*ways, (5, 5)] for word, ways in LEXICON.variants.items()}
    spoken = SimpleNamespace(phones=LEXICON.phones, variants=variants)
    chosen = choose_words(small_trigram(), spoken, 6, 4, LEXICON)
    assert (chosen.ways - chosen.names.listed).tolist() == [1] * 4
    found = with_names(dataclasses.replace(chosen, names=None), small_trigram(), LEXICON)
    assert found.names.names == chosen.names.names
    assert found.names.listed.tolist() == chosen.names.listed.tolist()


def test_words_of_another_dictionary_have_no_names():
    bare = dataclasses.replace(choose_words(small_trigram(), LEXICON, 6), names=None)
    other = SimpleNamespace(phones=LEXICON.phones, variants={w: [(7, 7)] for w in LEXICON.variants})
    with pytest.raises(CorpusError, match="train the model again"):
        with_names(bare, small_trigram(), other)


def test_damaged_names_are_refused():
    names = WordNames.of(["a", "b"], [1, 1])
    assert names.names == ("a", "b")
    for damaged in (names.packed[:-3], names.packed[3:], WordNames.of(["a", "b", "c"], [1]).packed):
        with pytest.raises(ModelError, match="not 2 words"):
            _ = WordNames(damaged, names.listed).names
    bomb = WordNames.of(["a" * 10**6, "b"], [1, 1])
    with pytest.raises(ModelError, match="not 2 words"):
        _ = bomb.names


def test_a_trigram_comes_back_from_the_words_it_was_chosen_as():
    words = choose_words(small_trigram(), LEXICON, 100, 100)
    trigram = as_trigram(words)
    assert trigram.words == ["a", "d", "b", "c", BEGIN, END]
    assert np.exp(trigram.log_unigram).sum() == LOG(1)
    assert math.exp(trigram.log_unigram[-1]) == LOG(0.3, rel=1e-2)  # x and the ends of sentences
    follow = Follow(words)
    every = np.arange(4)
    for history in [(A,), (B,), (C,), (SENTENCE,), (A, B), (B, C), (SENTENCE, A), (C, D)]:
        found = trigram.log_prob(every, list(history))
        for word in every.tolist():
            told, right = follow.known(history), 0.0
            while True:
                value = {w: score for w, score, _ in follow.next(told)}.get(word)
                if value is not None:
                    break
                weight, told = follow.fall(told)
                right += weight
            assert found[word] == LOG(right + value)
    again = choose_words(trigram, LEXICON, 100, 100)
    assert again.names.names == words.names.names
    assert ways_of_words(again) == ways_of_words(words)
    # What is left over beside pairs of 8 bits is known less exactly than these.
    for name, within in (("log_unigram", 1e-3), ("log_pair", 1e-3), ("back_off", 0.2)):
        np.testing.assert_allclose(getattr(again, name), getattr(words, name), atol=within)


def test_words_without_names_are_no_trigram():
    words = choose_words(small_trigram(), LEXICON, 100, 100)
    with pytest.raises(ModelError, match="no names"):
        as_trigram(dataclasses.replace(words, names=None))
