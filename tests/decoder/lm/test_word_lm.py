"""Words in files and as a network: all of them, at their prices, and nothing else."""

from __future__ import annotations

import dataclasses
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.references.decoder import random_model, with_ngrams
from support.word_lms import Follow, random_words, said_as

from speechattn.decoder.lm.word_lm import COARSE, STEP, WordNgrams, as_saved
from speechattn.decoder.lm.word_names import WordNames
from speechattn.decoder.lm.word_network import ANY_CONTEXT, Network, word_network
from speechattn.errors import ModelError


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 300))
def test_files_hold_them_as_they_are(seed, num_words):
    words = random_words(np.random.default_rng(seed), 9, num_words)
    names = WordNames.of([f"w{k}" for k in range(num_words)], words.ways)
    words = dataclasses.replace(words, names=names)
    once = WordNgrams.from_tensors(words.tensors())
    twice = WordNgrams.from_tensors(once.tensors())
    assert twice.names.names == names.names
    assert np.array_equal(twice.names.listed, words.ways)
    for field in dataclasses.fields(WordNgrams):
        if field.name == "names":
            continue
        one, two = getattr(once, field.name), getattr(twice, field.name)
        assert np.array_equal(one, two)
        step = STEP / 2 if field.name in COARSE else 0.0
        np.testing.assert_allclose(one, getattr(words, field.name), rtol=1e-3, atol=step)
    assert words.tensors()["phones"].dtype == np.uint8


def test_what_is_rounded_is_not_rounded_again():
    words = as_saved(random_words(np.random.default_rng(3), 9, 40))
    for name, values in as_saved(words).tensors().items():
        np.testing.assert_array_equal(values, words.tensors()[name])


def test_what_is_very_unlikely_stays_possible():
    words = random_words(np.random.default_rng(3), 9, 40)
    words = dataclasses.replace(words, log_pair=words.log_pair * 10)
    assert as_saved(words).log_pair.min() == -255 / 16


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
            {n: t[n][:0] for n in t.keys() - {"back_off", "followers", "silence"}}
            | {n: t[n][:1] * 0 for n in ("back_off", "followers")}
        ),
        "there are 0, not 1 to 65536",
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
    "likely": (_change("log_unigram", 0, 0.5), "log_unigram has the value 0.5"),
    "half a step": (_change("log_pair", 0, 0.5), "log_pair holds a number that is not whole"),
    "too many steps": (_change("log_triple", 0, 256), "log_triple has the value 256"),
    "a history less": (_drop("histories"), "pair_back_off has"),
    "a triple less": (_drop("third"), "third has"),
    "third beyond": (_change("third", 0, 99), "third has the value 99"),
    "history beyond": (_change("histories", -1, 10**6), "histories has the value 1000000"),
    "nothing follows": (
        lambda t: t.update(
            pair_followers=np.r_[
                0, t["pair_followers"][0] + t["pair_followers"][1], t["pair_followers"][2:]
            ]
        ),
        "pair_followers has the value 0",
    ),
    "histories out of order": (
        lambda t: t.update(histories=t["histories"][::-1]),
        "a history is there twice",
    ),
    "triples out of order": (lambda t: t.update(third=t["third"][::-1]), "a triple is there"),
    "NaN": (_change("log_unigram", 0, np.nan), "log_unigram has the value nan"),
    "a name too many": (
        lambda t: t.update(
            {f"names.{k}": v for k, v in WordNames.of(["a"] * 13, [1] * 13).tensors().items()}
        ),
        "there are 13 names, not 12",
    ),
    "half of the names": (
        lambda t: t.update({"names.listed": np.ones(12)}),
        "missing or unknown packed",
    ),
    "too many listed": (
        lambda t: t.update(
            {f"names.{k}": v for k, v in WordNames.of(["a"] * 12, [9] * 12).tensors().items()}
        ),
        "more pronunciations listed",
    ),
    "order": (lambda t: t.update(second=t["second"][::-1]), "a pair is there twice"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_what_cannot_be_is_refused(name):
    change, said = DAMAGED[name]
    tensors = random_words(np.random.default_rng(7), 5, 12).tensors()
    change(tensors)
    with pytest.raises(ModelError) as caught:
        WordNgrams.from_tensors(tensors)
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


def arcs_of(network: Network, state: int):
    for a in range(network.arc_first[state], network.arc_first[state + 1]):
        yield *network.arcs[a].tolist(), float(network.arc_score[a])


def jumps_of(network: Network, state: int):
    for j in range(network.jump_first[state], network.jump_first[state + 1]):
        yield int(network.jumps[j]), float(network.jump_score[j])


def words_at(network: Network, root: int, num_roots: int):
    """Phones, root behind them and log probability of all that a root's tree holds."""
    waiting = [((), root, 0.0)]
    while waiting:
        phones, state, score = waiting.pop()
        for phone, target, value in arcs_of(network, state):
            assert score + value <= 1e-3  # what is paid on the way is never too much
            waiting.append(((*phones, phone), target, score + value))
        if phones:
            for target, value in jumps_of(network, state):
                assert target < num_roots
                yield phones, target, score + value


@settings(max_examples=80)
@given(st.integers(0, 2**32 - 1), st.integers(2, 5), st.integers(1, 12))
def test_every_root_holds_its_words_at_their_prices(seed, num_phones, num_words):
    words = random_words(np.random.default_rng(seed), num_phones, num_words)
    network, follow, ways = word_network(words), Follow(words), said_as(words)
    own = [(w,) for w in range(num_words) if words.followers[w]]
    histories = [(), follow.sentence, *own, *follow.after_pair]  # in the order of their roots
    root_of = {history: root for root, history in enumerate(histories)}
    for history, root in root_of.items():
        # Words of the same sound with the same root behind are one; the likelier one counts.
        best: dict = {}
        for way, behind, value in words_at(network, root, len(histories)):
            best[way, behind] = max(value, best.get((way, behind), -np.inf))
        right: dict = {}
        for word, value, then in follow.next(history):
            for way in ways[word]:
                key = way, root_of[then]
                right[key] = max(value, right.get(key, -np.inf))
        assert best.keys() == right.keys()
        for key, value in right.items():
            assert best[key] == pytest.approx(value, abs=1e-4)
        if history:
            weight, shorter = follow.fall(history)
            expected = [(root_of[shorter], pytest.approx(weight))]
            assert list(jumps_of(network, root)) == expected
    assert not list(jumps_of(network, ANY_CONTEXT))


@given(st.integers(0, 2**32 - 1), st.integers(1, 12))
def test_every_arc_and_jump_leads_somewhere(seed, num_words):
    network = word_network(random_words(np.random.default_rng(seed), 4, num_words))
    for first, targets in (
        (network.arc_first, network.arcs[:, 1]),
        (network.jump_first, network.jumps),
    ):
        assert first[0] == 0 and first[-1] == len(targets) and (np.diff(first) >= 0).all()
        assert ((targets >= 0) & (targets < network.num_states)).all()
    for state in range(network.num_states):
        scores = [score for _, _, score in arcs_of(network, state)]
        assert scores == sorted(scores, reverse=True)


def test_a_network_is_made_once_and_none_is_empty():
    words = random_words(np.random.default_rng(0), 3)
    assert words.network is words.network
    assert words.network.num_states > 5
    empty = Network.empty()
    assert empty.num_states == 0 and not len(empty.arcs)
