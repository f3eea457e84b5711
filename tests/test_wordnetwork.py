"""The tree of words: all of them, at their prices, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from words import pairs_of, random_words, said_as

from speechattn.wordnetwork import ANY, SENTENCE, Network, word_network


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
    network = word_network(words)
    own = [w for w in range(num_words) if words.followers[w]]
    root_of = {w: 2 + i for i, w in enumerate(own)} | {num_words: SENTENCE}
    num_roots = 2 + len(own)
    ways, pairs = said_as(words), pairs_of(words)
    expected: dict[int, list] = {root: [] for root in range(num_roots)}
    for word in range(num_words):
        for way in ways[word]:
            behind = root_of.get(word, ANY)
            expected[ANY].append((way, behind, float(words.log_unigram[word])))
            for first, root in root_of.items():
                if (first, word) in pairs:
                    expected[root].append((way, behind, pairs[first, word]))
    for root, wanted in expected.items():
        found = sorted(words_at(network, root, num_roots))
        wanted = sorted(wanted)
        assert len(found) <= len(wanted)
        # Words of the same sound with the same root behind are one; the likelier one counts.
        best: dict = {}
        for way, behind, value in found:
            best[way, behind] = max(value, best.get((way, behind), -np.inf))
        right: dict = {}
        for way, behind, value in wanted:
            right[way, behind] = max(value, right.get((way, behind), -np.inf))
        assert best.keys() == right.keys()
        for key, value in right.items():
            assert best[key] == pytest.approx(value, abs=1e-4)
    for first, root in root_of.items():
        assert list(jumps_of(network, root)) == [(ANY, pytest.approx(words.back_off[first]))]
    assert not list(jumps_of(network, ANY))


def test_a_network_is_made_once_and_none_is_empty():
    words = random_words(np.random.default_rng(0), 3)
    assert words.network is words.network
    assert words.network.num_states > 5
    empty = Network.empty()
    assert empty.num_states == 0 and not len(empty.arcs)
