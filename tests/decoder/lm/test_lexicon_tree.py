"""The builder of the word network, step by step against plain Python."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from support.word_lms import random_words, said_as

from speechattn.decoder.lm import lexicon_tree
from speechattn.decoder.lm.lexicon_tree import ANY_ROOT, NO_NODE, PHONE, REST

seeds = st.integers(0, 2**32 - 1)
pronunciations = st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=5), max_size=8)


def int32(values) -> np.ndarray:
    return np.array(list(values), dtype=np.int32)


def sums(counts) -> np.ndarray:
    return int32([0, *np.cumsum(list(counts))])


@given(pronunciations)
def test_equal_ends_of_pronunciations_have_one_number(ways):
    phones = int32(phone for way in ways for phone in way)
    number, suffix = lexicon_tree.suffixes(phones, int32(map(len, ways)))
    expected = [tuple(way[i:]) for way in ways for i in range(len(way))]
    assert len(number) == len(expected)

    def spelled(k):
        return () if k == NO_NODE else (suffix[k, PHONE], *spelled(suffix[k, REST]))

    assert [spelled(k) for k in number] == expected
    assert len(suffix) == len(set(expected)) and set(number.tolist()) == set(range(len(suffix)))


@settings(max_examples=50)
@given(seeds, st.integers(1, 12))
def test_triples_lead_to_their_last_pair_or_word(seed, num_words):
    words = random_words(np.random.default_rng(seed), 4, num_words)
    first_pair, first_triple = sums(words.followers), sums(words.pair_followers)
    after_pair = int32(range(1000, 1000 + len(words.second)))
    after_word = int32(range(num_words + 1))
    found = lexicon_tree.roots_behind_triples(
        *(words.histories, first_triple, words.third, first_pair, words.second),
        *(after_pair, after_word),
    )
    first = np.repeat(np.arange(num_words + 1), words.followers)
    pairs = {pair: i for i, pair in enumerate(zip(first.tolist(), words.second.tolist()))}
    for h, history in enumerate(words.histories):
        for k in range(first_triple[h], first_triple[h + 1]):
            pair = int(words.second[history]), int(words.third[k])
            expected = 1000 + pairs[pair] if pair in pairs else pair[1]
            assert found[k] == expected


@settings(max_examples=50)
@given(seeds, st.integers(1, 10), st.integers(0, 4))
def test_arrivals_of_every_root_are_its_words_in_the_order_of_their_phones(seed, num_words, rows):
    rng = np.random.default_rng(seed)
    words = random_words(rng, 4, num_words)
    ways = said_as(words)
    every = [way for of_word in ways for way in of_word]
    order = int32(sorted(range(len(every)), key=lambda q: every[q]))
    first_way = sums(words.ways)
    after_word = int32(rng.integers(0, 9, num_words))
    own = [np.flatnonzero(rng.random(num_words) < 0.5) for _ in range(rows)]
    word = int32(np.concatenate([*own, []]))
    log_prob = rng.uniform(-5, 0, len(word)).astype(np.float32)
    after = int32(rng.integers(0, 9, len(word)))
    first = sums(map(len, own))
    begin, way, score, behind = lexicon_tree.arrivals(
        *(first, word, log_prob, after, words.log_unigram, after_word, first_way, order)
    )
    tables = [list(zip(range(num_words), words.log_unigram, after_word))]
    for row in range(rows):
        k = slice(first[row], first[row + 1])
        tables.append(list(zip(word[k], log_prob[k], after[k])))
    assert len(begin) == len(tables) + 1 and begin[0] == 0 and begin[-1] == len(way)
    for root, table in enumerate(tables):
        k = slice(begin[root], begin[root + 1])
        expected = sorted(
            (q, value, root_behind)
            for w, value, root_behind in table
            for q in range(first_way[w], first_way[w + 1])
        )
        assert sorted(zip(way[k], score[k], behind[k])) == expected
        said = [every[q] for q in way[k]]
        assert said == sorted(said)


def test_a_network_by_hand():
    # Word 0 is A B, word 1 is A C; root 1 is behind word 0 and holds word 1, and falls back.
    phones, begins, first_way = int32([1, 2, 1, 3]), int32([0, 2, 4]), int32([0, 1, 2])
    number, suffix = lexicon_tree.suffixes(phones, int32([2, 2]))
    score = np.array([-1.0, -2.0, -0.5], np.float32)
    arc_first, arcs, arc_score, jump_first, jumps, jump_score = lexicon_tree.grow(
        *(int32([0, 2, 3]), int32([0, 1, 1]), score, int32([1, ANY_ROOT, ANY_ROOT])),
        *(int32([NO_NODE, 0]), int32([NO_NODE, 0]), np.array([0, -0.25], np.float32)),
        *(phones, begins, first_way, number, suffix),
    )

    def read(state, paid=0.0):
        """All that may be said from a state: phones, root behind them, log probability."""
        for j in range(jump_first[state], jump_first[state + 1]):
            yield (), int(jumps[j]), paid + float(jump_score[j])
        for a in range(arc_first[state], arc_first[state + 1]):
            for rest, root, value in read(arcs[a, 1], paid + float(arc_score[a])):
                yield (int(arcs[a, 0]), *rest), root, value

    assert sorted(read(0)) == [((1, 2), 1, -1.0), ((1, 3), ANY_ROOT, -2.0)]
    assert sorted(read(1)) == [((), 0, -0.25), ((1, 3), ANY_ROOT, -0.5)]
    assert arc_first[1] - arc_first[0] == 1  # one arc for the phone that both begin with
    assert arc_score[arc_first[0]] == -1.0  # which costs what the likelier one does
