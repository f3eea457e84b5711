"""The automaton of phone n-grams: states, back-off, tables, files."""

from __future__ import annotations

import dataclasses
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.phone_ngrams import contexts, corpora, learned

from speechattn.decoder.lm.ngrams import PhoneNgrams, Tables
from speechattn.errors import ModelError


@settings(max_examples=60)
@given(corpora(), st.integers(2, 5))
def test_a_phone_leads_to_the_longest_context_that_is_a_state(corpus, order):
    ngrams = learned(corpus[1], corpus[0], order)
    places = {context: state for state, context in enumerate(contexts(ngrams))}
    assert len(places) == ngrams.num_states and ngrams.order <= order
    following = ngrams.tables.following
    for context, state in places.items():
        for phone in range(ngrams.num_phones):
            longer = (*context, phone)
            ends = (longer[start:] for start in range(len(longer)))
            assert following[state, phone] == next(places[end] for end in ends if end in places)


def test_tensors_are_small_and_come_back_the_same():
    rng = np.random.default_rng(0)
    ngrams = learned(rng.integers(0, 40, (1500, 30)), 40, order=4)
    tensors = ngrams.tensors()
    assert ngrams.num_arcs > 60_000
    assert sum(values.nbytes for values in tensors.values()) < 16 * ngrams.num_arcs
    again = PhoneNgrams.from_tensors(tensors)
    for field in dataclasses.fields(PhoneNgrams):
        assert np.array_equal(getattr(ngrams, field.name), getattr(again, field.name))
    for name, values in tensors.items():
        assert np.array_equal(values, again.tensors()[name])
    for one, two in zip(ngrams.tables, again.tables):
        assert np.array_equal(one, two)


def test_they_travel_without_their_tables():
    ngrams = learned()
    bare = len(pickle.dumps(ngrams))
    tables = ngrams.tables
    assert ngrams.tables is tables and len(pickle.dumps(ngrams)) == bare
    again = pickle.loads(pickle.dumps(ngrams))
    assert np.array_equal(again.tables.log_prob, tables.log_prob)


def test_tables_of_a_bigram():
    bigram = np.log([[0.5, 0.5], [0.9, 0.1]])
    tables = Tables.of_bigram(bigram)
    assert tables.log_prob is bigram and tables.following.tolist() == [[0, 1], [0, 1]]
    assert tables.best.tolist() == [bigram[0, 0], bigram[1, 0]]


def _change(name: str, place: int, value):
    def change(tensors):
        tensors[name] = tensors[name].copy().astype(np.float64)
        tensors[name][place] = value

    return change


DAMAGED = {
    "missing": (lambda t: t.pop("back"), "missing or unknown back"),
    "unknown": (lambda t: t.update(more=np.zeros(1)), "missing or unknown more"),
    "of words": (lambda t: t.update(back=np.array(["a"])), "back is not an array of numbers"),
    "two axes": (lambda t: t.update(back=np.zeros((2, 2))), "back has shape (2, 2)"),
    "a state less": (lambda t: t.update(back=t["back"][:-1]), "back has shape"),
    "an arc less": (lambda t: t.update(arc_phone=t["arc_phone"][:-1]), "arc_phone has shape"),
    "no phones": (lambda t: t.update(log_unigram=np.empty(0)), "cannot be 0 phones"),
    "more phones": (lambda t: t.update(log_unigram=np.zeros(99)), "cannot be 99 phones"),
    "oldest": (_change("oldest", -1, 4), "oldest has the value 4"),
    "half a phone": (_change("oldest", -1, 0.5), "oldest holds a number that is not whole"),
    "order of phones": (_change("oldest", 0, 1), "single phones are not in order"),
    "back of a phone": (_change("back", 0, 0), "back of a single phone is not -1"),
    "back ahead": (_change("back", 4, 10), "not in order of their lengths"),
    "no back": (_change("back", 4, -1), "not in order of their lengths"),
    "the same twice": (
        lambda t: t.update({n: np.r_[t[n], t[n][-1:]] for n in ("oldest", "back", "back_off")}),
        "a context is there twice",
    ),
    "arcs below none": (_change("arcs", -1, -1), "arcs has the value -1"),
    "an arc more": (_change("arcs", 0, 300), "arc_phone has shape"),
    "arcs of no state": (lambda t: t.update(arcs=np.r_[t["arcs"], 1]), "arc_phone has shape"),
    "arc of no phone": (_change("arc_phone", -1, -1), "arc_phone has the value -1"),
    "arcs": (lambda t: t.update(arc_phone=t["arc_phone"][::-1]), "arcs are not in order"),
    "probability": (_change("arc_log_prob", 0, 0.5), "arc_log_prob has the value 0.5"),
    "NaN": (_change("log_unigram", 0, np.nan), "log_unigram has the value nan"),
    "weight": (_change("back_off", 0, -np.inf), "back_off has the value -inf"),
    "endless": (
        lambda t: t.update(
            oldest=np.r_[t["oldest"][:4], np.zeros(50)],
            back=np.r_[t["back"][:4], np.r_[0, 4:53]],
            back_off=np.zeros(54),
        ),
        "an order above 10",
    ),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_what_cannot_be_is_refused(name):
    change, words = DAMAGED[name]
    tensors = learned().tensors()
    change(tensors)
    with pytest.raises(ModelError) as caught:
        PhoneNgrams.from_tensors(tensors)
    message = str(caught.value)
    assert words in message and message.endswith("; train or export the model again")
    assert "\n" not in message
