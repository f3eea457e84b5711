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

    rows = _Rows(words)
    number, suffix = wordtree.suffixes(words.phones, words.lengths)
    ways = words.phones, _sums(words.lengths), _sums(words.ways)
    return Network(
        *wordtree.grow(
            *_entries(words, rows), rows.spoken, *rows.back_offs(), *ways, number, suffix
        )
    )


def _sums(counts: np.ndarray) -> np.ndarray:
    """Where each of so many begins, and last where they end, int32."""
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)


class _Rows:
    """The roots behind words and pairs, and at a sentence's beginning.

    Attributes:
        count: of roots.
        after_word: root behind each word, and last that of a sentence's beginning.
        after_pair: root behind each pair: its own, or else that of its second word.
        after_triple: root behind the last word of each triple.
        own: root of each of the triples' histories.
        spoken: the word that each root is behind, -1 for none.
        of_pair, of_triple: root that each of them is an entry of.
    """

    def __init__(self, words: WordNgrams):
        followed = np.flatnonzero(words.followers[:-1])
        self.after_word = np.full(words.num_words + 1, ANY)
        self.after_word[-1] = SENTENCE
        self.after_word[followed] = 2 + np.arange(len(followed))
        self.own = 2 + len(followed) + np.arange(len(words.histories))
        self.count = 2 + len(followed) + len(words.histories)
        self.after_pair = self.after_word[words.second]
        self.spoken = np.full(self.count, -1, np.int32)
        self.spoken[self.after_word[followed]] = followed
        self.spoken[self.own] = words.second[words.histories]
        self._words = words
        self._shorter = self.after_pair[words.histories]
        self.after_pair[words.histories] = self.own
        first = np.repeat(np.arange(words.num_words + 1), words.followers)
        self.of_pair = self.after_word[first]
        self.of_triple = np.repeat(self.own, words.pair_followers)
        size = words.num_words
        middle = np.repeat(words.second[words.histories], words.pair_followers)
        keys, last = first * size + words.second, middle.astype(np.int64) * size + words.third
        place = np.searchsorted(keys, last)
        there = np.append(keys, -1)[place] == last
        self.after_triple = np.where(
            there, np.append(self.after_pair, ANY)[place], self.after_word[words.third]
        )

    def back_offs(self) -> tuple[np.ndarray, np.ndarray]:
        """The root that each falls back to, -1 for none, and the log weight of that."""
        words = self._words
        back, weight = np.full(self.count, ANY, np.int32), np.zeros(self.count, np.float32)
        back[ANY] = -1
        back[self.own] = self._shorter
        weight[self.after_word] = words.back_off
        weight[self.own] = words.pair_back_off
        return back, weight


def _entries(words: WordNgrams, rows: _Rows) -> tuple[np.ndarray, ...]:
    """What may be said at each root, in order of root and pronunciation.

    Returns:
        The first entry of each root, and behind the last root their number; pronunciation of each
        entry, its log probability, and the root behind it.
    """
    size = words.num_words
    root = np.concatenate([np.full(size, ANY), rows.of_pair, rows.of_triple])
    word = np.concatenate([np.arange(size), words.second, words.third])
    score = np.concatenate([words.log_unigram, words.log_pair, words.log_triple])
    behind = np.concatenate([rows.after_word[:-1], rows.after_pair, rows.after_triple])
    first = _sums(words.ways)[:-1]
    times = words.ways[word]
    root, score, behind = (np.repeat(x, times) for x in (root, score, behind))
    within = np.arange(len(root)) - np.repeat(np.cumsum(times) - times, times)
    way = np.repeat(first[word], times) + within
    place = _places(words)
    order = np.argsort(root * len(place) + place[way], kind="stable")
    entry_first = np.searchsorted(root[order], np.arange(rows.count + 1))
    return (
        entry_first.astype(np.int32),
        way[order].astype(np.int32),
        score[order].astype(np.float32),
        behind[order].astype(np.int32),
    )


def _places(words: WordNgrams) -> np.ndarray:
    """Where each pronunciation stands in the order of their phones; the shorter come first."""
    table = np.zeros((len(words.lengths), int(words.lengths.max())), ">i4")
    table[np.arange(table.shape[1]) < words.lengths[:, None]] = words.phones + 1
    keys = table.view(f"V{table.shape[1] * table.itemsize}").ravel()
    place = np.empty(len(table), np.int64)
    place[np.argsort(keys, kind="stable")] = np.arange(len(place))
    return place
