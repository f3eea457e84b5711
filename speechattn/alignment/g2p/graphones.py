"""Letters beside phones: words and their pronunciations as sequences of graphones.

A graphone is one or two letters with what they stand for: ``ph``:``F``, ``x``:``K S``, ``e``:
nothing. Which of them make up a word is found by expectation maximization over all ways to divide
the words of a dictionary (Jiampojamarn, Kondrak and Sherif 2007, "Applying many-to-many alignments
and hidden Markov models to letter-to-phoneme conversion").
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

MOVES = ((1, 0), (1, 1), (1, 2), (2, 1))  # letters and phones of a graphone
PASSES = 12  # over the dictionary; after that hardly any word is divided in another way
_TINY = 1e-300

Graphone = tuple[str, tuple[str, ...]]  # letters, phones
Entry = tuple[str, tuple[str, ...]]  # a word and one of its pronunciations


@dataclass
class _Group:
    """Entries of the same lengths.

    Attributes:
        places: of the entries in the dictionary, shape (n,).
        letters: numbers of them, shape (n, length).
        phones: numbers of them, shape (n, length).
        keys: for each end (letters, phones) and move, the table places of the graphones that end
            there, shape (n,).
    """

    places: np.ndarray
    letters: np.ndarray
    phones: np.ndarray
    keys: dict[tuple[int, int, tuple[int, int]], np.ndarray] = field(default_factory=dict)

    def ends(self) -> Iterator[tuple[int, int]]:
        """All ends but the beginning, in an order in which a path can go."""
        for i in range(self.letters.shape[1] + 1):
            for j in range(self.phones.shape[1] + 1):
                if i or j:
                    yield i, j


class GraphoneAligner:
    """Divides the words of a dictionary into graphones.

    Args:
        entries: words and pronunciations; those that cannot be divided are left out.
    """

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries = entries
        self._letters = sorted({letter for word, _ in entries for letter in word})
        self._phones = sorted({phone for _, way in entries for phone in way})
        by_size: dict[tuple[int, int], list[int]] = {}
        for place, (word, way) in enumerate(entries):
            if len(way) and len(way) <= 2 * len(word):
                by_size.setdefault((len(word), len(way)), []).append(place)
        letter = {name: number for number, name in enumerate(self._letters)}
        phone = {name: number for number, name in enumerate(self._phones)}
        self._sizes = {
            (1, 0): (len(letter),),
            (1, 1): (len(letter), len(phone)),
            (1, 2): (len(letter), len(phone), len(phone)),
            (2, 1): (len(letter), len(letter), len(phone)),
        }
        self._groups = []
        for places in by_size.values():
            letters = np.array([[letter[c] for c in entries[place][0]] for place in places])
            phones = np.array([[phone[p] for p in entries[place][1]] for place in places])
            group = _Group(np.array(places), letters, phones)
            for i, j in group.ends():
                for a, b in MOVES:
                    if i >= a and j >= b:
                        columns = [letters[:, i - a + k] for k in range(a)]
                        columns += [phones[:, j - b + k] for k in range(b)]
                        group.keys[i, j, (a, b)] = np.ravel_multi_index(columns, self._sizes[a, b])
            self._groups.append(group)
        # All graphones are equally likely at first, longer ones less so.
        self._weights = {
            move: np.full(int(np.prod(size)), 0.01 ** (sum(move) - 1) / np.prod(size))
            for move, size in self._sizes.items()
        }

    def run(self, passes: int = PASSES) -> Iterator[float]:
        """Improve the probabilities of the graphones; yields the mean log likelihood of a word."""
        for _ in range(passes):
            counts = {move: np.zeros_like(weights) for move, weights in self._weights.items()}
            total, words = 0.0, 0
            for group in self._groups:
                total += self._count(group, counts)
                words += len(group.places)
            everything = sum(float(values.sum()) for values in counts.values())
            self._weights = {move: values / everything for move, values in counts.items()}
            yield total / words

    def _count(self, group: _Group, counts: dict[tuple[int, int], np.ndarray]) -> float:
        """Add the expected counts of a group; returns its log likelihood."""
        size = len(group.places)
        length, width = group.letters.shape[1], group.phones.shape[1]
        forward = np.zeros((length + 1, width + 1, size))
        backward = np.zeros_like(forward)
        forward[0, 0] = backward[length, width] = 1.0
        for i, j in group.ends():
            for a, b in MOVES:
                if (i, j, (a, b)) in group.keys:
                    weights = self._weights[a, b][group.keys[i, j, (a, b)]]
                    forward[i, j] += forward[i - a, j - b] * weights
        whole = np.maximum(forward[length, width], _TINY)
        for i, j in reversed(list(group.ends())):
            for a, b in MOVES:
                if (i, j, (a, b)) in group.keys:
                    keys = group.keys[i, j, (a, b)]
                    share = self._weights[a, b][keys] * backward[i, j]
                    backward[i - a, j - b] += share
                    expected = forward[i - a, j - b] * share / whole
                    counts[a, b] += np.bincount(keys, expected, len(counts[a, b]))
        return float(np.log(whole).sum())

    def best(self) -> Iterator[list[Graphone]]:
        """The most probable division of each entry that can be divided, in their order."""
        found: dict[int, list[Graphone]] = {}
        for group in self._groups:
            found.update(self._divide(group))
        for place in sorted(found):
            yield found[place]

    def _divide(self, group: _Group) -> Iterator[tuple[int, list[Graphone]]]:
        size = len(group.places)
        length, width = group.letters.shape[1], group.phones.shape[1]
        score = np.full((length + 1, width + 1, size), -np.inf)
        move = np.zeros((length + 1, width + 1, size), dtype=np.int8)
        score[0, 0] = 0.0
        with np.errstate(divide="ignore"):
            logs = {which: np.log(weights) for which, weights in self._weights.items()}
        for i, j in group.ends():
            for number, (a, b) in enumerate(MOVES):
                if (i, j, (a, b)) in group.keys:
                    value = score[i - a, j - b] + logs[a, b][group.keys[i, j, (a, b)]]
                    better = value > score[i, j]
                    score[i, j][better] = value[better]
                    move[i, j][better] = number
        for row in np.flatnonzero(np.isfinite(score[length, width])):
            word, way = self.entries[group.places[row]]
            i, j, parts = length, width, []
            while i or j:
                a, b = MOVES[move[i, j, row]]
                parts.append((word[i - a : i], way[j - b : j]))
                i, j = i - a, j - b
            yield int(group.places[row]), parts[::-1]
