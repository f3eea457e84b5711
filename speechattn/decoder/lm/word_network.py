"""The network of words: all pronunciations and their trigram as an automaton.

The automaton consists of trees of pronunciations. A *root* is where a word may begin. Root 0 is
for any word. The others, at a sentence's beginning, after words and after pairs of words, hold only
the words known to follow there; they fall back to the root after the last word alone, in the end to
root 0. Below a root lies the tree of the pronunciations that begin there. The cost of a word is
paid as early as possible on the way to it (Ortmanns, Ney and Eiden 1996, "Language-model
look-ahead").
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from speechattn.decoder.lm.word_lm import WordNgrams

ANY_CONTEXT, SENTENCE = 0, 1  # roots


class Network(NamedTuple):
    """S states, of which the first are roots, A arcs and J jumps.

    Attributes:
        arc_first: the first arc that leaves each state, and behind the last state their number,
            int32, shape (S + 1,).
        arcs: the phone and the state that each leads to, int32, shape (A, 2); those that leave a
            state in the order of their scores, the highest first.
        arc_score: log probabilities, float32, shape (A,).
        jump_first: like ``arc_first``, of jumps: moves that take no phone, from where a word ends
            to the root behind it, and from a root to the one that it falls back to.
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


class Followers(NamedTuple):
    """Which words are known to follow at each of R roots, K in all.

    Attributes:
        first: the first of each root but ``ANY_CONTEXT``, and last their number, int32, shape (R,).
        word: which word, in order at each root, int32, shape (K,).
        log_prob: its log probability, float32, shape (K,).
        after: the root behind it, int32, shape (K,).
    """

    first: np.ndarray
    word: np.ndarray
    log_prob: np.ndarray
    after: np.ndarray


def followers_of_roots(words: WordNgrams, roots: Roots) -> Followers:
    """List what is known to follow at each root."""
    from speechattn.decoder.lm import lexicon_tree

    first_pair, first_triple = _sums(words.followers), _sums(words.pair_followers)
    triples = words.histories, first_triple, words.third
    pairs = first_pair, words.second, roots.after_pair
    after_triple = lexicon_tree.roots_behind_triples(*triples, *pairs, roots.after_word)
    # What may follow at each root but the first, in their order: pairs at a sentence's beginning,
    # which come last among the pairs, then those after words, then triples.
    last = first_pair[-2]
    following = [
        np.concatenate([pair[last:], pair[:last], triple])
        for pair, triple in (
            (words.second, words.third),
            (words.log_pair, words.log_triple),
            (roots.after_pair, after_triple),
        )
    ]
    counts = words.followers[-1:], words.followers[roots.followed], words.pair_followers
    return Followers(_sums(np.concatenate(counts)), *following)


def word_network(words: WordNgrams) -> Network:
    """Build the automaton of some words."""
    from speechattn.decoder.lm import lexicon_tree

    roots = roots_of(words)
    first_way = _sums(words.ways)
    arrivals = lexicon_tree.arrivals(
        *followers_of_roots(words, roots),
        *(words.log_unigram, roots.after_word, first_way, in_order(words)),
    )
    return Network(
        *lexicon_tree.grow(
            *(*arrivals, roots.spoken, roots.back, roots.back_score),
            *(words.phones, _sums(words.lengths), first_way),
            *lexicon_tree.suffixes(words.phones, words.lengths),
        )
    )


class Roots(NamedTuple):
    """Root ANY_CONTEXT, that of a sentence's beginning, those after words, those after pairs.

    Attributes:
        followed: words that have a root.
        after_word: root after each word, and last that of a sentence's beginning.
        after_pair: root after each pair: its own, or else that after its second word.
        spoken: the word that each root comes after, -1 for none.
        back: the root that each falls back to, -1 for none.
        back_score: the log weight of that.
    """

    followed: np.ndarray
    after_word: np.ndarray
    after_pair: np.ndarray
    spoken: np.ndarray
    back: np.ndarray
    back_score: np.ndarray


def roots_of(words: WordNgrams) -> Roots:
    """Number the roots of some words."""
    followed = np.flatnonzero(words.followers[:-1])
    own = 2 + len(followed) + np.arange(len(words.histories))  # roots after pairs
    count = 2 + len(followed) + len(own)
    after_word = np.full(words.num_words + 1, ANY_CONTEXT, np.int32)
    after_word[-1], after_word[followed] = SENTENCE, 2 + np.arange(len(followed))
    after_pair = after_word[words.second]
    spoken = np.full(count, -1, np.int32)
    spoken[after_word[followed]], spoken[own] = followed, words.second[words.histories]
    back, back_score = np.full(count, ANY_CONTEXT, np.int32), np.zeros(count, np.float32)
    back_score[after_word], back_score[own] = words.back_off, words.pair_back_off
    back[ANY_CONTEXT], back[own] = -1, after_pair[words.histories]
    after_pair[words.histories] = own
    return Roots(followed, after_word, after_pair, spoken, back, back_score)


def _sums(counts: np.ndarray) -> np.ndarray:
    """Return where each of so many begins, and last where they end, int32."""
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)


def in_order(words: WordNgrams) -> np.ndarray:
    """Return all pronunciations in the order of their phones, int32; shorter ones first."""
    table = np.zeros((len(words.lengths), int(words.lengths.max())), ">i4")
    table[np.arange(table.shape[1]) < words.lengths[:, None]] = words.phones + 1
    keys = table.view(f"V{table.shape[1] * table.itemsize}").ravel()
    return np.argsort(keys, kind="stable").astype(np.int32)
