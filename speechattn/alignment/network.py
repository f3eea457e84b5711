"""All ways to say a text, as a network for :mod:`speechattn.decoder.network_paths`.

The network has, for every word, each pronunciation of the lexicon as a chain of junctions with a
phone between each two of them; rules of :mod:`speechattn.alignment.reductions` are further arcs
beside the chain. Between words there may be silence, within a word at a cost.

Where the text is not to be trusted (:class:`Doubt`), there may be any speech between words, and
words may be passed over: beside the junctions between words runs a second row of them, on which a
path goes on without saying anything.

A word beside the same phones gives the same arcs, so they are made once and kept.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from speechattn.alignment.reductions import PAUSE, Reductions, Rule
from speechattn.decoder.forced_alignment import LEAST_PHONE_FRAMES, LEAST_SILENCE_FRAMES
from speechattn.decoder.network_paths import NOTHING, Network
from speechattn.phones import PhoneSet

PAUSE_WITHIN = 5.0  # nats that a silence within a word costs
LEAST_DICTIONARY_SHARE = 0.05  # that is left to the dictionary's phone, whatever the rules say
MOST_KEPT = 30_000  # words beside other words, whose arcs are kept; 2 kB each
LEAST_SPEECH_FRAMES = 8  # of speech that the text does not have
BESIDE, START = 0, 1  # the first two junctions of a word: the second row's, and its own
BETWEEN, SKIPPED = -1, -2  # instead of the variant of an arc: none, or the word is passed over


@dataclass(frozen=True)
class Doubt:
    """What it costs to leave the text, in nats (of scaled log posteriors).

    Attributes:
        speech: to say something that is not in the text.
        skip: to pass over a word.
        skip_more: to pass over each further word.
        speech_frame: each frame of such speech, against the best phones.
    """

    speech: float = 8.0
    skip: float = 15.0
    skip_more: float = 3.0
    speech_frame: float = 0.3


class Word(NamedTuple):
    """A word of a text and its pronunciations (classes), without repetitions.

    Attributes:
        text: in any case.
        variants: its pronunciations.
        costs: of each, in nats, as lexicons with probabilities give them; none for no costs.
    """

    text: str
    variants: tuple[tuple[int, ...], ...]
    costs: tuple[float, ...] = ()


class WordArcs(NamedTuple):
    """The arcs of one word; junctions count from its first.

    Attributes:
        columns: source, target, phone, cost and least frames of each arc. The word's end is the
            number of its junctions plus ``START``, as the next word's start.
        junctions: how many it has.
        ways: for each arc, which pronunciation it is of; or ``BETWEEN``, ``SKIPPED``.
        rules: and by which rule.
        possible: for each pronunciation, names of the rules that may be heard in it.
    """

    columns: tuple[np.ndarray, ...]
    junctions: int
    ways: tuple[int, ...]
    rules: tuple[Rule | None, ...]
    possible: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class TextNetwork:
    """A network, and what its arcs are of.

    Attributes:
        network: for the search.
        words: arcs of each word, and what comes after the last one.
    """

    network: Network
    words: list[WordArcs]

    def owner(self, arc: int) -> tuple[int, int, Rule | None]:
        """The word of an arc, its pronunciation (or ``BETWEEN``, ``SKIPPED``), and its rule."""
        firsts = self.network.first_arc
        word = int(np.searchsorted(firsts, arc, side="right")) - 1
        local = arc - int(firsts[word])
        arcs = self.words[word]
        return word, arcs.ways[local], arcs.rules[local]


class _Builder:
    """Collects the arcs of one word."""

    def __init__(self, silence: int) -> None:
        self.silence = silence
        self.rows: list[tuple[int, int, int, float, int]] = []
        self.ways: list[int] = []
        self.rules: list[Rule | None] = []
        self.possible: list[tuple[str, ...]] = []
        self.junctions = 2
        self._ends: list[int] = []  # arcs that lead to the end, whose number is not known yet

    def add(
        self,
        source: int,
        target: int,
        phone: int,
        cost: float = 0.0,
        way: int = BETWEEN,
        rule: Rule | None = None,
        least: int = LEAST_PHONE_FRAMES,
    ) -> None:
        """Add an arc; a target below 0 is the end of the word."""
        if target < 0:
            self._ends.append(len(self.rows))
        if phone == self.silence:
            least = LEAST_SILENCE_FRAMES
        self.rows.append((source, target, phone, cost, 0 if phone == NOTHING else least))
        self.ways.append(way)
        self.rules.append(rule)

    def junction(self) -> int:
        """Make a junction."""
        self.junctions += 1
        return self.junctions - 1

    def done(self) -> WordArcs:
        """The arcs, all with their targets."""
        columns = list(zip(*self.rows))
        targets = np.array(columns[1], np.int32)
        targets[self._ends] = self.junctions + START
        arrays = (
            np.array(columns[0], np.int32),
            targets,
            np.array(columns[2], np.int32),
            np.array(columns[3], np.float32),
            np.array(columns[4], np.int32),
        )
        return WordArcs(
            arrays, self.junctions, tuple(self.ways), tuple(self.rules), tuple(self.possible)
        )


class NetworkBuilder:
    """Makes networks of texts.

    Args:
        phones: the classes; ``len(phones)`` stands for speech that is not in the text.
        reductions: what may be said instead of the lexicon's forms; None for those alone.
    """

    def __init__(self, phones: PhoneSet, reductions: Reductions | None) -> None:
        self.phones, self.reductions = phones, reductions
        self._arcs = lru_cache(MOST_KEPT)(self._word_arcs)

    def __reduce__(self) -> tuple[type[NetworkBuilder], tuple[PhoneSet, Reductions | None]]:
        """Pickle it without the arcs that are kept."""
        return NetworkBuilder, (self.phones, self.reductions)

    def build(self, words: Sequence[Word], doubt: Doubt | None = None) -> TextNetwork:
        """Make the network of some words, one after the other.

        Args:
            words: at least one.
            doubt: what it costs to leave the text; None for what cannot be.
        """
        names = self.phones.names
        lefts = [PAUSE, *(names[word.variants[0][-1]] for word in words[:-1])]
        rights = [*(names[word.variants[0][0]] for word in words[1:]), PAUSE]
        if self.reductions is None:
            lefts = rights = [PAUSE] * len(words)
        parts = [
            self._arcs(word.text.upper(), word.variants, word.costs, left, right, doubt)
            for word, left, right in zip(words, lefts, rights)
        ]
        parts.append(self._arcs("", (), (), PAUSE, PAUSE, doubt))
        sizes = [len(part.ways) for part in parts]
        first_junction = np.cumsum([0, *(part.junctions for part in parts)])
        offsets = np.repeat(first_junction[:-1], sizes).astype(np.int32)
        source, target, phone, cost, least = (
            np.concatenate([part.columns[i] for part in parts]) for i in range(5)
        )
        network = Network(
            source + offsets,
            target + offsets,
            phone,
            cost,
            least,
            np.cumsum([0, *sizes]),
            first_junction,
            START,
        )
        return TextNetwork(network, parts)

    def _word_arcs(
        self,
        word: str,
        variants: tuple[tuple[int, ...], ...],
        costs: tuple[float, ...],
        left: str,
        right: str,
        doubt: Doubt | None,
    ) -> WordArcs:
        """The arcs of a word; of no word, what comes after the last one."""
        arcs = _Builder(self.phones.silence_index)
        arcs.add(START, START, arcs.silence)
        if doubt is not None:
            speech = len(self.phones)
            arcs.add(START, START, speech, doubt.speech, least=LEAST_SPEECH_FRAMES)
        for way, phones in enumerate(variants):
            fitting = self._fitting(word, phones, left, right)
            arcs.possible.append(tuple(rule.name for _, rule in fitting))
            self._add_variant(arcs, way, phones, fitting, costs[way] if costs else 0.0)
        if doubt is not None:
            arcs.add(BESIDE, START, NOTHING)
            if variants:
                beside_next = arcs.junctions + BESIDE
                arcs.add(START, beside_next, NOTHING, doubt.skip, SKIPPED)
                arcs.add(BESIDE, beside_next, NOTHING, doubt.skip_more, SKIPPED)
        return arcs.done()

    def _add_variant(
        self,
        arcs: _Builder,
        way: int,
        phones: tuple[int, ...],
        fitting: list[tuple[int, Rule]],
        cost: float,
    ) -> None:
        """Add a pronunciation and the rules beside it."""
        begin = START
        if cost:
            begin = arcs.junction()
            arcs.add(START, begin, NOTHING, cost, way)
        # Junctions by their places: between phones, and within what a rule says.
        spots: dict[tuple[int, int], int] = {(0, 0): begin}
        for place in range(len(phones)):
            for n, (at, rule) in enumerate(fitting):
                if at == place:
                    for part in range(1, len(rule.said)):
                        spots[place, 100 * n + part + 1] = arcs.junction()
            if place + 1 < len(phones):
                spots[place + 1, 0] = arcs.junction()
        index = self.phones.index
        for place, phone in enumerate(phones):
            here, after = spots[place, 0], spots.get((place + 1, 0), -1)
            if place:
                arcs.add(here, here, arcs.silence, PAUSE_WITHIN, way)
            rest = 1 - sum(rule.share for at, rule in fitting if at == place)
            arcs.add(here, after, phone, -math.log(max(rest, LEAST_DICTIONARY_SHARE)), way)
        for n, (place, rule) in enumerate(fitting):
            source, cost = spots[place, 0], -math.log(rule.share)
            said = [index[label] for label in rule.said] or [NOTHING]
            for part, phone in enumerate(said[:-1], 1):
                inside = spots[place, 100 * n + part + 1]
                arcs.add(source, inside, phone, cost, way, rule)
                source, cost = inside, 0.0
            after = spots.get((place + len(rule.phones), 0), -1)
            arcs.add(source, after, said[-1], cost, way, rule)

    def _fitting(
        self, word: str, phones: Sequence[int], left: str, right: str
    ) -> list[tuple[int, Rule]]:
        """The rules that may be heard in a pronunciation of a word, and where.

        Args:
            word: in upper case.
            phones: classes of the pronunciation.
            left: label of the phone before it, ``#`` for a pause.
            right: of the phone after it, likewise.
        """
        if self.reductions is None:
            return []
        labels = [self.phones.names[phone] for phone in phones]
        found = self.reductions.fitting(word, labels, left, right)
        dropped = {place for place, rule in found if not rule.said}
        if len(dropped) < len(phones):
            return found
        # Not all of a word at once: its vowel stays, or else its last phone.
        vowels = [place for place in dropped if labels[place] in self.reductions.vowels]
        stays = max(vowels, default=len(phones) - 1)
        return [(place, rule) for place, rule in found if rule.said or place != stays]
