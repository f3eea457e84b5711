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
    from speechattn.words import WordBigrams

ANY, SENTENCE = 0, 1  # roots
PHONES = 1 << 16  # more than there are


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


def word_network(words: WordBigrams) -> Network:
    """Build the automaton of some words."""
    root_of, num_roots = _roots(words.followers)
    table = _table(words)
    root, way, score, behind = _entries(words, table, root_of)
    sounds = table[way]
    lengths = words.lengths[way]
    shared = _shared(root, sounds)
    tree = _Tree(num_roots)
    state, paid = root, np.zeros(len(root))
    for depth in range(1, sounds.shape[1] + 1):
        inside = lengths >= depth
        sounds, lengths, shared = sounds[inside], lengths[inside], shared[inside]
        score, behind, state, paid = score[inside], behind[inside], state[inside], paid[inside]
        new = shared < depth
        begin = np.flatnonzero(new)
        best = np.maximum.reduceat(score, begin)
        count = np.diff(np.append(begin, len(score)))
        phone = sounds[begin, depth - 1]
        alone = (count == 1) & (lengths[begin] == depth)
        node = tree.add(phone, alone, behind[begin])
        tree.arc(state[begin], phone, node, best - paid[begin])
        group = np.cumsum(new) - 1
        state, paid = node[group], best[group]
        ends = (lengths == depth) & ~alone[group]
        tree.jump(state[ends], behind[ends], score[ends] - paid[ends])
    rooted = np.flatnonzero(root_of != ANY)
    tree.jump(root_of[rooted], np.full(len(rooted), ANY), words.back_off[rooted])
    return tree.network()


def _roots(followers: np.ndarray) -> tuple[np.ndarray, int]:
    """The root behind each word, and last that of a sentence's beginning; how many there are."""
    root = np.full(len(followers), ANY)
    root[-1] = SENTENCE
    own = np.flatnonzero(followers[:-1])
    root[own] = np.arange(2, 2 + len(own))
    return root, 2 + len(own)


def _entries(words: WordBigrams, table: np.ndarray, root_of: np.ndarray) -> tuple[np.ndarray, ...]:
    """What may be said at each root, in order of root and pronunciation.

    Args:
        words: of which.
        table: see :func:`_table`.
        root_of: see :func:`_roots`.

    Returns:
        Root, pronunciation, log probability, and the root behind it.
    """
    size = words.num_words
    root = np.concatenate([np.zeros(size, np.int64), np.repeat(root_of, words.followers)])
    word = np.concatenate([np.arange(size), words.second])
    score = np.concatenate([words.log_unigram, words.log_pair]).astype(np.float64)
    first = np.concatenate([[0], np.cumsum(words.ways)[:-1]])
    times = words.ways[word]
    root, score, behind = (np.repeat(x, times) for x in (root, score, root_of[word]))
    within = np.arange(len(root)) - np.repeat(np.cumsum(times) - times, times)
    way = np.repeat(first[word], times) + within
    place = np.empty(len(table), np.int64)  # of each pronunciation, in the order of their phones
    place[np.lexsort(table.T[::-1])] = np.arange(len(place))
    order = np.argsort(root * len(place) + place[way], kind="stable")
    return root[order], way[order], score[order], behind[order]


def _table(words: WordBigrams) -> np.ndarray:
    """Phones of each pronunciation in a row, -1 behind its end."""
    longest = int(words.lengths.max())
    table = np.full((len(words.lengths), longest), -1, np.int32)
    table[np.arange(longest) < words.lengths[:, None]] = words.phones
    return table


def _shared(root: np.ndarray, sounds: np.ndarray) -> np.ndarray:
    """Phones that each entry has in common with the one before it, from their root on."""
    same = (sounds[1:] == sounds[:-1]) & (sounds[1:] >= 0)
    count = np.where(same.all(1), sounds.shape[1], same.argmin(1)) * (root[1:] == root[:-1])
    return np.concatenate([[0], count])


class _Tree:
    """Collects states, arcs and jumps.

    The last phone of a word that no other one shares ends in a state for all words with that phone
    and that root behind them: whatever led there, it goes on in the same way.
    """

    def __init__(self, num_roots: int):
        self._states = num_roots
        self._arcs: list[tuple[np.ndarray, ...]] = []
        self._jumps: list[tuple[np.ndarray, ...]] = []

    def add(self, phone: np.ndarray, alone: np.ndarray, behind: np.ndarray) -> np.ndarray:
        """States for nodes; those that stand alone get a number below 0, which says what it ends."""
        node = np.empty(len(phone), np.int64)
        node[~alone] = self._states + np.arange((~alone).sum())
        self._states += int((~alone).sum())
        node[alone] = -1 - (behind[alone] * PHONES + phone[alone])
        return node

    def arc(self, source, phone, target, score) -> None:
        self._arcs.append((source, phone, target, score))

    def jump(self, source, target, score) -> None:
        self._jumps.append((source, target, score))

    def network(self) -> Network:
        source, phone, target, score = (np.concatenate(x) for x in zip(*self._arcs))
        ends, place = np.unique(target[target < 0], return_inverse=True)
        target[target < 0] = self._states + place
        behind = (-1 - ends) // PHONES
        self.jump(self._states + np.arange(len(ends)), behind, np.zeros(len(ends)))
        states = self._states + len(ends)
        order, arc_first = _by_state(source, -score, states)
        arcs = np.stack([phone, target], 1)[order].astype(np.int32)
        arc_score = score[order].astype(np.float32)
        source, target, score = (np.concatenate(x) for x in zip(*self._jumps))
        order, jump_first = _by_state(source, np.zeros(len(source)), states)
        jumps = target[order].astype(np.int32), score[order].astype(np.float32)
        return Network(arc_first, arcs, arc_score, jump_first, *jumps)


def _by_state(source: np.ndarray, rank: np.ndarray, states: int) -> tuple[np.ndarray, np.ndarray]:
    """The order that puts what leaves one state together, by rank, and where each state's begin."""
    order = np.lexsort((rank, source))
    first = np.concatenate([[0], np.cumsum(np.bincount(source, minlength=states))])
    return order, first.astype(np.int32)
