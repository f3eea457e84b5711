"""Words in strings of phones, against every way to read short ones."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.references.decoder import random_model, random_options, with_ngrams
from support.word_lms import SILENCE, Follow, random_words, said_as

from speechattn.decoder.lm.word_names import WordNames
from speechattn.decoder.options import DecoderOptions
from speechattn.decoder.words import NO_WORD, WORD_POWER, WordReader, names_of_words
from speechattn.errors import ConfigError
from speechattn.segments import FrameSegment

seeds = st.integers(0, 2**32 - 1)


def random_setting(rng, num_phones=4, num_words=8, order=3):
    model = with_ngrams(rng, random_model(rng, num_phones), order)
    words = random_words(rng, num_phones, num_words)
    names = WordNames.of([f"w{i}" for i in range(num_words)], np.ones(num_words, int))
    model = dataclasses.replace(model, words=dataclasses.replace(words, names=names))
    options = dataclasses.replace(
        random_options(rng),
        word_scale=float(rng.uniform(0.2, 2)),
        unknown_word=float(rng.uniform(0, 4)),
        beam=None,
    )
    return model, options


def every_reading(model, options, phones):
    """Yield the score of each way to read phones, and its parts: word, first phone, next one."""
    words, follow = model.words, Follow(model.words)
    ways = said_as(words)
    scale, price = options.word_scale, options.word_scale * options.unknown_word
    tables = model.ngrams.tables

    def initial(phone):
        value = model.log_initial[phone]
        return options.bigram_scale * (value if np.isfinite(value) else -1e4)

    def words_at(i, history, score, parts):
        left = 0.0
        while True:
            for word, log_prob, then in follow.next(history):
                for way in ways[word]:
                    if tuple(phones[i : i + len(way)]) == way:
                        part = (word, i, i + len(way))
                        value = score + left + scale * log_prob
                        yield from behind_word(i + len(way), then, value, [*parts, part])
            if not history:
                return
            weight, history = follow.fall(history)
            left += scale * weight

    def behind_word(i, history, score, parts):
        if i == len(phones):
            yield score, parts
            return
        yield from words_at(i, history, score, parts)
        left = 0.0
        while history:
            weight, history = follow.fall(history)
            left += scale * weight
        paid = 0.0 if phones[i] == SILENCE else price
        yield from spelled(i, phones[i - 1], score + left - paid, parts)

    def spelled(i, state, score, parts):
        value = options.bigram_scale * tables.log_prob[state, phones[i]]
        then = int(tables.following[state, phones[i]])
        yield from behind_spelled(i + 1, then, score + value, [*parts, (NO_WORD, i, i + 1)])

    def behind_spelled(i, state, score, parts):
        if i == len(phones):
            yield score, parts
            return
        silent = phones[i - 1] == SILENCE
        paid = price if silent and phones[i] != SILENCE else 0.0
        yield from spelled(i, state, score - paid, parts)
        yield from words_at(i, (), score, parts)
        if silent:
            yield from words_at(i, follow.sentence, score, parts)

    paid = 0.0 if phones[0] == SILENCE else price
    first = [(NO_WORD, 0, 1)]
    yield from behind_spelled(1, phones[0], initial(phones[0]) - paid, first)
    yield from words_at(0, (), 0.0, [])
    yield from words_at(0, follow.sentence, 0.0, [])


def segments_of(phones):
    return [FrameSegment(phone, 3 * i, 3 * i + 3, 0.5) for i, phone in enumerate(phones)]


def parts_of(found):
    return [(w.word, w.start // 3, w.end // 3) for w in found]


def joined(parts, phones):
    """Parts without pauses, and spelled phones beside each other as one."""
    result = []
    for word, first, after in parts:
        if word == NO_WORD and phones[first] == SILENCE:
            continue
        if word == NO_WORD and result and result[-1][0] == NO_WORD and result[-1][2] == first:
            result[-1] = (NO_WORD, result[-1][1], after)
        else:
            result.append((word, first, after))
    return result


@settings(max_examples=80)
@given(seeds, st.integers(1, 6), st.integers(1, 10))
def test_the_best_of_every_reading_is_found(seed, length, num_words):
    rng = np.random.default_rng(seed)
    model, options = random_setting(rng, 3, num_words)
    phones = rng.integers(0, 3, length).tolist()
    found = parts_of(_read(WordReader(model, options), phones))
    readings = list(every_reading(model, options, phones))
    best = max(score for score, _ in readings)
    good = [joined(parts, phones) for score, parts in readings if score > best - 1e-3]
    assert found in good


def _read(reader, phones):
    return reader.push(segments_of(phones)) + reader.finish()


@settings(max_examples=40)
@given(seeds, st.lists(st.integers(0, 20), max_size=8), st.sampled_from([None, 3.0, 12.0]))
def test_pieces_do_not_matter(seed, sizes, beam):
    rng = np.random.default_rng(seed)
    model, options = random_setting(rng, 6, 30)
    options = dataclasses.replace(options, beam=beam)
    segments = segments_of(rng.integers(0, 6, 90).tolist())
    reader = WordReader(model, options)
    whole = reader.push(segments) + reader.finish()
    found, place = [], 0
    for size in sizes:
        found += reader.push(segments[place : place + size])
        place += size
        guess = found + reader.partial(segments[place:])
        assert guess == whole  # and it changes nothing
    found += reader.push(segments[place:]) + reader.finish()
    assert found == whole
    covered = [segment for word in whole for segment in word.phones]
    assert covered == [segment for segment in segments if segment.phone != SILENCE]


def test_words_come_before_the_end_and_leave_no_history():
    rng = np.random.default_rng(4)
    model, options = random_setting(rng, 6, 30)
    reader = WordReader(model, dataclasses.replace(options, beam=12.0))
    sizes = []
    for _ in range(30):
        found = reader.push(segments_of(rng.integers(0, 6, 50).tolist()))
        assert found
        sizes.append(len(reader._state.nodes))
    assert max(sizes) < 400


def test_a_word_said_like_another_is_told_by_those_around_it():
    """Of two words with the same phones, the trigram takes the one that its neighbours ask for."""
    rng = np.random.default_rng(0)
    model, _ = random_setting(rng, 4, 2)
    one = np.log(0.5)
    words = dataclasses.replace(
        model.words,
        phones=np.array([1, 2, 2, 3]),
        lengths=np.ones(4, int),
        ways=np.ones(4, int),  # words 1 and 2 are both said as phone 2
        log_unigram=np.array([one, one - 1, one - 1.1, one]),
        back_off=np.full(5, -3.0),
        followers=np.array([0, 0, 1, 0, 0]),  # word 3 is known to follow word 2
        second=np.array([3]),
        log_pair=np.array([-0.01]),
        histories=np.zeros(0),
        pair_back_off=np.zeros(0),
        pair_followers=np.zeros(0),
        third=np.zeros(0),
        log_triple=np.zeros(0),
        names=None,
    )
    reader = WordReader(dataclasses.replace(model, words=words), DecoderOptions())
    assert [w.word for w in _read(reader, [1, 2])] == [0, 1]  # the more frequent one
    assert [w.word for w in _read(reader, [1, 2, 3])] == [0, 2, 3]


def test_confidence_of_a_word_comes_from_its_phones():
    model, options = random_setting(np.random.default_rng(1), 3, 5)
    segments = [FrameSegment(1, 0, 4, 0.25), FrameSegment(2, 4, 6, 0.75)]
    reader = WordReader(model, options)
    for word in reader.push(segments) + reader.finish():
        mean = sum(phone.confidence for phone in word.phones) / len(word.phones)
        expected = mean if word.word == NO_WORD else mean**WORD_POWER
        assert math.isclose(word.confidence, expected)


def test_decoders_without_words_are_refused():
    model, options = random_setting(np.random.default_rng(1))
    assert names_of_words(model, options)[0] == "w0"
    with pytest.raises(ConfigError, match="in this reading"):
        names_of_words(model, options.for_reading("phones"))
    unnamed = dataclasses.replace(model.words, names=None)
    with pytest.raises(ConfigError, match="not how they are written"):
        names_of_words(dataclasses.replace(model, words=unnamed), options)
    with pytest.raises(ConfigError, match="knows none"):
        names_of_words(dataclasses.replace(model, words=None), options)
