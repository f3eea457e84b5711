"""The dictionary's forms in place of what was heard."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.word_lms import random_words

from speechattn.decoder.lm.word_names import WordNames
from speechattn.decoder.word_forms import with_dictionary_forms
from speechattn.decoder.words import NO_WORD, FrameWord
from speechattn.segments import FrameSegment

SIL, P, AO, Z, IH, T = range(6)


def words_of(*ways, listed=None):
    """Words with these pronunciations; what else they have does not matter here."""
    one = random_words(np.random.default_rng(0), 6, 1)
    flat = [way for of_word in ways for way in of_word]
    number = len(ways)
    none = np.zeros(0, np.int32)
    return dataclasses.replace(
        one,
        phones=np.array([phone for way in flat for phone in way]),
        lengths=np.array([len(way) for way in flat]),
        ways=np.array([len(of_word) for of_word in ways]),
        log_unigram=np.full(number, -1.0),
        back_off=np.full(number + 1, -1.0),
        followers=np.zeros(number + 1, np.int32),
        second=none,
        log_pair=none,
        histories=none,
        pair_back_off=none,
        pair_followers=none,
        third=none,
        log_triple=none,
        names=WordNames.of([f"w{k}" for k in range(number)], listed or [1] * number),
    )


def segments_of(*phones):
    """Phones and frames: ``(P, 5)`` is P for five frames."""
    found, start = [], 0
    for k, (phone, frames) in enumerate(phones):
        found.append(FrameSegment(phone, start, start + frames, (k + 1) / 10))
        start += frames
    return found


def shown(segments):
    return [(one.phone, one.start, one.end) for one in segments]


def test_what_was_not_heard_shares_the_time_of_its_neighbour():
    words = words_of([(P, AO, Z, IH, T), (P, AO, Z, T)])
    heard = segments_of((SIL, 10), (P, 4), (AO, 6), (Z, 6), (T, 4), (SIL, 5))
    found = [FrameWord(0, tuple(heard[1:5]))]
    phones, changed = with_dictionary_forms(heard, found, words)
    assert shown(phones) == [
        *[(SIL, 0, 10), (P, 10, 14), (AO, 14, 20), (Z, 20, 23), (IH, 23, 26), (T, 26, 30)],
        (SIL, 30, 35),
    ]
    assert changed[0].phones == tuple(phones[1:6])
    assert [p.confidence for p in phones[1:4]] == [0.2, 0.3, 0.4]  # as they were heard
    assert phones[4].confidence == pytest.approx(found[0].confidence)


def test_what_is_too_much_leaves_its_time_to_the_phone_before():
    words = words_of([(P, Z), (P, AO, Z)])
    heard = segments_of((P, 4), (AO, 6), (Z, 6))
    phones, _ = with_dictionary_forms(heard, [FrameWord(0, tuple(heard))], words)
    assert shown(phones) == [(P, 0, 10), (Z, 10, 16)]


def test_the_nearest_form_of_the_dictionary_is_taken():
    words = words_of([(P, AO, Z), (T, IH), (T, IH, Z)], listed=[2])
    heard = segments_of((T, 3), (IH, 3), (Z, 3))
    phones, _ = with_dictionary_forms(heard, [FrameWord(0, tuple(heard))], words)
    assert shown(phones) == [(T, 0, 3), (IH, 3, 9)]


def test_what_is_no_word_and_what_is_too_short_stays_as_it_was_heard():
    words = words_of([(P, AO, Z, IH, T), (P,)])
    heard = segments_of((P, 3), (SIL, 4), (T, 3), (IH, 3))
    found = [FrameWord(0, tuple(heard[:1])), FrameWord(NO_WORD, tuple(heard[2:]))]
    assert with_dictionary_forms(heard, found, words) == (heard, found)


way = st.lists(st.integers(1, 5), min_size=1, max_size=6).map(tuple)


@given(st.lists(st.tuples(way, way), min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_words_keep_their_times_and_nothing_is_left_out(pairs, random):
    words = words_of(*[[form, said] for form, said in pairs])
    parts, sizes = [(SIL, 3)], []
    for _, said in pairs:
        parts += [(phone, random.randint(1, 4)) for phone in said] + [(SIL, 2)]
        sizes.append(len(said))
    heard = segments_of(*parts)
    found, place = [], 1
    for k, size in enumerate(sizes):
        found.append(FrameWord(k, tuple(heard[place : place + size])))
        place += size + 1
    phones, changed = with_dictionary_forms(heard, found, words)
    assert phones[0].start == 0 and phones[-1].end == heard[-1].end
    assert all(one.end == two.start for one, two in zip(phones, phones[1:]))
    assert all(one.start < one.end for one in phones)
    for before, after, (form, said) in zip(found, changed, pairs):
        assert (after.start, after.end) == (before.start, before.end)
        spoken = tuple(phone.phone for phone in after.phones)
        long_enough = before.end - before.start >= len(form)
        assert spoken == (form if long_enough else said)
