"""Phone n-grams against their definitions: counts, interpolation, back-off, states."""

from __future__ import annotations

import math
import pickle
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechattn.errors import ConfigError, CorpusError, ModelError
from speechattn.ngramcounts import count_ngrams, estimate_ngrams, neighbours
from speechattn.ngrams import PhoneNgrams, Tables
from speechattn.segments import FrameRun

SENTENCES = [[0, 1, 2, 1, 0], [0, 1, 1, 2, 0], [0, 2, 1, 2, 1, 0]]


def learned(sequences=SENTENCES, num_phones=4, order=3, least=1.0, **settings) -> PhoneNgrams:
    counts = count_ngrams(sequences, order, **settings)
    return estimate_ngrams(counts, num_phones, order, least)


def contexts(ngrams: PhoneNgrams) -> list[tuple[int, ...]]:
    """Of each state, read off its definition."""
    found = []
    for oldest, back in zip(ngrams.oldest.tolist(), ngrams.back.tolist()):
        found.append((oldest,) + (() if back < 0 else found[back]))
    return found


def probability(counts: Counter, num_phones: int, context: tuple, phone: int) -> float:
    """Witten and Bell's, by the recursion of its definition."""
    if not context:
        total = sum(v for k, v in counts.items() if len(k) == 1)
        return (counts[(phone,)] + 0.5) / (total + num_phones / 2)
    shorter = probability(counts, num_phones, context[1:], phone)
    after = [v for k, v in counts.items() if k[:-1] == context]
    if not after:
        return shorter
    return (counts[(*context, phone)] + len(after) * shorter) / (sum(after) + len(after))


@st.composite
def corpora(draw):
    num_phones = draw(st.integers(1, 4))
    sentence = st.lists(st.integers(0, num_phones - 1), max_size=12)
    sentences = draw(st.lists(sentence, min_size=1, max_size=6))
    sentences.append([draw(st.integers(0, num_phones - 1))])
    return num_phones, sentences


@settings(deadline=None, max_examples=60)
@given(corpora(), st.integers(2, 5))
def test_probabilities_are_those_of_witten_and_bell(corpus, order):
    num_phones, sentences = corpus
    counts = count_ngrams(sentences, order)
    ngrams = estimate_ngrams(counts, num_phones, order, least=1.0)
    table = ngrams.tables().log_prob
    for state, context in enumerate(contexts(ngrams)):
        expected = [probability(counts, num_phones, context, q) for q in range(num_phones)]
        assert np.exp(table[state]) == pytest.approx(expected, rel=0.01 * order)  # float16
        assert np.exp(table[state].astype(float)).sum() == pytest.approx(1, abs=0.01)
    assert ngrams.tables().best.tolist() == table.max(axis=1).tolist()


@settings(deadline=None, max_examples=60)
@given(corpora(), st.integers(2, 5))
def test_a_phone_leads_to_the_longest_context_that_is_a_state(corpus, order):
    ngrams = learned(corpus[1], corpus[0], order)
    places = {context: state for state, context in enumerate(contexts(ngrams))}
    assert len(places) == ngrams.num_states and ngrams.order <= order
    following = ngrams.tables().following
    for context, state in places.items():
        for phone in range(ngrams.num_phones):
            longer = (*context, phone)
            ends = (longer[start:] for start in range(len(longer)))
            assert following[state, phone] == next(places[end] for end in ends if end in places)


def test_what_is_learned_by_hand():
    ngrams = learned([[0, 1, 0, 1, 2]], num_phones=3)
    assert contexts(ngrams) == [(0,), (1,), (2,), (0, 1), (1, 0)]
    log_prob = ngrams.tables().log_prob
    # After 0: 1 twice, one kind; so (2 + 1 * p(1)) / 3, and p(1) = 2.5 / 6.5.
    assert math.exp(log_prob[0, 1]) == pytest.approx((2 + 2.5 / 6.5) / 3, rel=1e-3)
    assert math.exp(log_prob[0, 2]) == pytest.approx(1.5 / 6.5 / 3, rel=1e-3)
    # Nothing was seen after 2.
    assert np.exp(log_prob[2]) == pytest.approx(np.array([2.5, 2.5, 1.5]) / 6.5, rel=1e-3)
    assert ngrams.tables().following.tolist() == [
        [0, 3, 2],
        [4, 1, 2],
        [0, 1, 2],
        [4, 1, 2],
        [0, 3, 2],
    ]


def test_counts_are_of_all_lengths_and_add_up():
    counts = count_ngrams([[0, 1, 0, 1]], 3)
    assert counts == {(0,): 2, (1,): 2, (0, 1): 2, (1, 0): 1, (0, 1, 0): 1, (1, 0, 1): 1}
    mixed = count_ngrams([np.array([0, 1])], 3, weight=0.25, into=counts)
    assert mixed is counts and counts[(0, 1)] == 2.25 and counts[(1, 0)] == 1


def test_rare_long_ngrams_are_left_out():
    sentences = [[0, 1, 2, 3, 0], [0, 1, 2, 3, 1]]
    every, some = (learned(sentences, order=5, least=least) for least in (1, 2))
    assert (every.order, some.order) == (5, 4)
    gone = set(contexts(every)) - set(contexts(some))
    assert (1, 2, 3) in gone and (0, 1, 2) not in gone and (1, 2) not in gone
    place = contexts(some).index((0, 1, 2))
    assert some.arc_phone[some.arc_state == place].tolist() == [3]


def test_the_order_of_counting_does_not_matter():
    counts = count_ngrams(SENTENCES, 4)
    again = Counter(dict(reversed(counts.items())))
    one, two = (estimate_ngrams(c, 4, 4, 1.0).tensors() for c in (counts, again))
    assert all(np.array_equal(one[name], two[name]) for name in one)


def test_a_gap_parts_neighbours():
    runs = [FrameRun(3, 0, 5), FrameRun(1, 5, 9), FrameRun(2, 10, 12), FrameRun(2, 12, 13)]
    assert list(neighbours(runs)) == [[3, 1], [2, 2]]
    assert list(neighbours([])) == []


def test_tensors_are_small_and_come_back_the_same():
    rng = np.random.default_rng(0)
    ngrams = learned(rng.integers(0, 40, (1500, 30)), 40, order=4)
    tensors = ngrams.tensors()
    assert ngrams.num_arcs > 60_000
    assert sum(values.nbytes for values in tensors.values()) < 16 * ngrams.num_arcs
    again = PhoneNgrams.from_tensors(tensors)
    for name, values in tensors.items():
        assert np.array_equal(getattr(ngrams, name), getattr(again, name))
        assert np.array_equal(values, again.tensors()[name])
    for one, two in zip(ngrams.tables(), again.tables()):
        assert np.array_equal(one, two)


def test_they_travel_without_their_tables():
    ngrams = learned()
    bare = len(pickle.dumps(ngrams))
    tables = ngrams.tables()
    assert ngrams.tables() is tables and len(pickle.dumps(ngrams)) == bare
    again = pickle.loads(pickle.dumps(ngrams))
    assert np.array_equal(again.tables().log_prob, tables.log_prob)


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
    "arc of no state": (_change("arc_state", -1, 1000), "arc_state has the value 1000"),
    "arc of no phone": (_change("arc_phone", -1, -1), "arc_phone has the value -1"),
    "arcs": (lambda t: t.update(arc_state=t["arc_state"][::-1]), "arcs are not in order"),
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


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"order": 1}, ConfigError, "order is 1"),
        ({"order": 11}, ConfigError, "order is 11"),
        ({"least": 0.0}, ConfigError, "least is 0"),
        ({"weight": math.nan}, ConfigError, "weight is nan"),
        ({"sequences": []}, CorpusError, "no phones to learn from"),
        ({"sequences": [[0, 4]]}, CorpusError, "outside 0 to 3"),
        ({"sequences": [[-1]]}, CorpusError, "outside 0 to 3"),
    ],
)
def test_impossible_settings_and_labels_are_refused(settings, error, words):
    with pytest.raises(error, match=words):
        learned(**settings)
