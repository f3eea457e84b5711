"""Pronunciations by analogy: what words that look alike tell of one that no dictionary has.

``relapsed`` is to ``relapse`` as ``collapsed`` is to ``collapse``: behind S, the ending ``d`` adds
a T. Such rules replace the end of a word by another, and the last phones by others; how often each
of them held among the words of a dictionary says how far it is to be trusted. Rules about the
beginning of words are the same with words and phones reversed. The idea is that of pronunciation by
analogy (Marchand and Damper 2000, "A multistrategy approach to improving pronunciation by
analogy"), with whole words for the pieces.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

LONGEST_OLD = 4  # letters of an ending that is replaced
LONGEST_NEW = 6  # and of the one in its place
SHORTEST_STEM = 3  # letters that both words share
MOST_RELATIVES = 60  # words with the same stem; more of them share it by chance
LEAST_WORDS = 12  # pairs of words that a rule has been seen in
LEAST_PERCENT = 10  # of them in which it held
MOST_CHANGES = 3  # ways to change the phones, for the same letters
_LONGEST_CHANGE = 6  # phones

Way = tuple[str, ...]  # phones
Change = tuple[Way, Way, int]  # last phones, those in their place, in how many of 100 pairs so
# New ending → old ending → last phone of the known word → how its phones change.
Rules = dict[str, dict[str, dict[str, list[Change]]]]
Lookup = Callable[[str], Sequence[Way]]  # pronunciations of a word in lower case; none if unknown


class Evidence(NamedTuple):
    """What one known word says about a new one.

    Attributes:
        ways: pronunciations → how probable each is.
        rest: probability of all others.
    """

    ways: dict[Way, float]
    rest: float


def learn_rules(lexicon: Mapping[str, Sequence[Way]]) -> Rules:
    """Count how pronunciations change with the ends of words.

    Args:
        lexicon: words and their pronunciations.
    """
    by_stem: defaultdict[str, list[str]] = defaultdict(list)
    for word in lexicon:
        for length in range(max(SHORTEST_STEM, len(word) - LONGEST_NEW), len(word) + 1):
            by_stem[word[:length]].append(word)
    counts: defaultdict[tuple[str, str, str], Counter[tuple[Way, Way] | None]]
    counts = defaultdict(Counter)
    for stem, words in by_stem.items():
        if len(words) > MOST_RELATIVES:
            continue
        for known in words:
            old = known[len(stem) :]
            if len(old) > LONGEST_OLD:
                continue
            for word in words:
                new = word[len(stem) :]
                if old[:1] != new[:1]:  # else they share a longer stem, or are the same
                    for way in lexicon[known]:
                        counts[new, old, way[-1]][_change(way, lexicon[word])] += 1
    rules: Rules = {}
    for (new, old, last), found in sorted(counts.items()):
        total = sum(found.values())
        if total >= LEAST_WORDS:
            ranked = sorted(found.items(), key=lambda item: (-item[1], item[0] or ()))
            changes = [
                (*change, percent)
                for change, times in ranked[:MOST_CHANGES]
                if change and (percent := round(100 * times / (total + 1))) >= LEAST_PERCENT
            ]
            if changes:
                rules.setdefault(new, {}).setdefault(old, {})[last] = changes
    return rules


def _change(way: Way, others: Sequence[Way]) -> tuple[Way, Way] | None:
    """The last phones of a pronunciation and those of the nearest other; None if they are many."""
    changes = []
    for other in others:
        same = 0
        for mine, its in zip(way, other):
            if mine != its:
                break
            same += 1
        changes.append((way[same:], other[same:]))
    nearest = min(changes, key=lambda change: len(change[0]) + len(change[1]))
    return nearest if max(map(len, nearest)) <= _LONGEST_CHANGE else None


class Analogies:
    """Rules about one side of words.

    Args:
        rules: as :func:`learn_rules` returns them.
        front: whether they are about beginnings, learned from reversed words and phones.
    """

    def __init__(self, rules: Rules, *, front: bool = False) -> None:
        self.rules = rules
        self._turn = -1 if front else 1

    def evidence(self, word: str, lookup: Lookup) -> list[Evidence]:
        """What the known words say that differ from a new one at this side.

        Args:
            word: in lower case.
            lookup: finds known words.
        """
        turn, found = self._turn, []
        turned = word[::turn]
        for length in range(max(SHORTEST_STEM, len(word) - LONGEST_NEW), len(word) + 1):
            stem = turned[:length]
            for old, by_last in self.rules.get(turned[length:], {}).items():
                for way in lookup((stem + old)[::turn]):
                    known = way[::turn]
                    ways = {
                        (known[: len(known) - len(before)] + after)[::turn]: percent / 100
                        for before, after, percent in by_last.get(known[-1], ())
                        if len(known) > len(before) and known[len(known) - len(before) :] == before
                    }
                    if ways:
                        found.append(Evidence(ways, max(0.0, 1 - sum(ways.values()))))
        return found


def reversed_lexicon(lexicon: Mapping[str, Sequence[Way]]) -> dict[str, list[Way]]:
    """The same words and pronunciations, reversed."""
    return {word[::-1]: [way[::-1] for way in ways] for word, ways in lexicon.items()}
