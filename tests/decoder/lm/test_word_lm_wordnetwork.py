"""The tree of words: all of them, at their prices, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.word_lms import Follow, random_words, said_as

from speechattn.decoder.lm.word_lm import ANY_CONTEXT, Network, word_network


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
