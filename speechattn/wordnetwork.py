"""The words as an automaton: a tree of pronunciations after every word that something follows.

A *root* is where a word may begin. Root 0 is for any word; other ones, after the words of which
pairs were learned and at a sentence's beginning, hold these pairs only and fall back to root 0.
Below a root lies the tree of the pronunciations that begin there; what a word costs is paid as soon
as possible, along the way to it (Ortmanns, Ney and Eiden 1996, "Language-model look-ahead").
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from speechattn.words import WordNgrams

ANY, SENTENCE = 0, 1  # roots


class Network(NamedTuple):
    """S states, of which the first are roots, A arcs and J jumps.

    Attributes:
        arc_first: the first arc that leaves each state, and behind the last state their number,
            int32, shape (S + 1,).
        arcs: the phone and the state that each leads to, int32, shape (A, 2); those that leave a
            state in the order of their scores, the highest first.
        arc_score: log probabilities, float32, shape (A,).
        jump_first: like ``arc_first``, of jumps: moves that take no phone, from where a word ends
            to the root behind it, and from a root to root 0.
        jumps: the state that each leads to, int32, shape (J,).
        jump_score: log probabilities, float32, shape (J,).
    """

    arc_first: np.ndarray
    arcs: np.ndarray
    arc_score: np.ndarray
    jump_first: np.ndarray
    jumps: np.ndarray
    jump_score: np.ndarray

    @property
    def num_states(self) -> int:
        """S."""
        return len(self.arc_first) - 1

    @classmethod
    def empty(cls) -> Network:
        """Of no states."""
        none, scores = np.zeros(0, np.int32), np.zeros(0, np.float32)
        return cls(np.zeros(1, np.int32), np.zeros((0, 2), np.int32), scores, none, none, scores)


def word_network(words: WordNgrams) -> Network:
    """Build the automaton of some words."""
    from speechattn import wordtree  # here: it imports Numba, which takes most of a second

    size, rows = words.num_words, len(words.histories)
    # Root ANY, that of a sentence's beginning, those behind words and those behind pairs.
    followed = np.flatnonzero(words.followers[:-1])
    own = 2 + len(followed) + np.arange(rows, dtype=np.int32)
    roots = 2 + len(followed) + rows
    after_word = np.full(size + 1, ANY, np.int32)
    after_word[-1], after_word[followed] = SENTENCE, 2 + np.arange(len(followed))
    after_pair = after_word[words.second]
    shorter = after_pair[words.histories]  # behind a history without its first word
    after_pair[words.histories] = own
    first_pair, first_triple = _sums(words.followers), _sums(words.pair_followers)
    pairs = words.second, after_pair, after_word
    triples = words.histories, first_triple, words.third
    after_triple = wordtree.roots_behind_triples(*triples, first_pair, *pairs)

    # The pairs at a sentence's beginning come last, their root second.
    last = first_pair[size]

    def turned(values: np.ndarray) -> np.ndarray:
        return np.concatenate([values[last:], values[:last]])

    counts = np.concatenate([words.followers[-1:], words.followers[followed]])
    entries = wordtree.entries(
        _sums(np.concatenate([counts, words.pair_followers])),
        np.concatenate([turned(words.second), words.third]),
        np.concatenate([turned(words.log_pair), words.log_triple]),
        np.concatenate([turned(after_pair), after_triple]),
        words.log_unigram,
        after_word,
        _sums(words.ways),
        _order(words),
    )
    spoken = np.full(roots, -1, np.int32)
    spoken[after_word[followed]] = followed
    spoken[own] = words.second[words.histories]
    back, weight = np.full(roots, ANY, np.int32), np.zeros(roots, np.float32)
    back[ANY], back[own] = -1, shorter
    weight[after_word], weight[own] = words.back_off, words.pair_back_off
    number, suffix = wordtree.suffixes(words.phones, words.lengths)
    ways = words.phones, _sums(words.lengths), _sums(words.ways)
    return Network(*wordtree.grow(*entries, spoken, back, weight, *ways, number, suffix))


def _sums(counts: np.ndarray) -> np.ndarray:
    """Where each of so many begins, and last where they end, int32."""
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)


def _order(words: WordNgrams) -> np.ndarray:
    """All pronunciations in the order of their phones, int32; the shorter come first."""
    table = np.zeros((len(words.lengths), int(words.lengths.max())), ">i4")
    table[np.arange(table.shape[1]) < words.lengths[:, None]] = words.phones + 1
    keys = table.view(f"V{table.shape[1] * table.itemsize}").ravel()
    return np.argsort(keys, kind="stable").astype(np.int32)
