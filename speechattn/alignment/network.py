"""Words to phones with times: a network of all ways to say a text, aligned with a recording.

The network has, for every word, each pronunciation of the lexicon as a chain of junctions with a
phone between each two of them; rules of :mod:`speechattn.alignment.reductions` are further arcs
beside the chain. Between words there may be silence, within a word at a cost.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from speechattn.alignment.reductions import PAUSE, Reductions, Rule
from speechattn.decoder.lm.lexicon import Lexicon
from speechattn.decoder.network_alignment import NOTHING, Arc, Step, align_network, bytes_needed
from speechattn.segments import FrameSegment

ACOUSTIC_SCALE = 0.2  # of log posteriors against costs; neighbouring frames say much the same
PAUSE_WITHIN = 5.0  # nats that a silence within a word costs
Pronunciations = Mapping[str, Sequence[tuple[int, ...]]]  # classes of the phones of each word
LEAST_DICTIONARY_SHARE = 0.05  # that is left to the dictionary's phone, whatever the rules say


@dataclass(frozen=True)
class SpokenWord:
    """A word of the text and how it was said.

    Attributes:
        word: as in the text.
        phones: frame runs, silence within the word included; none overlap.
        dictionary: classes of the pronunciation of the lexicon that comes closest.
        rules: names of the rules by which it was changed, in their order.
        possible: names of all rules that might have been heard in that pronunciation.
    """

    word: str
    phones: tuple[FrameSegment, ...]
    dictionary: tuple[int, ...]
    rules: tuple[str, ...]
    possible: tuple[str, ...]

    @property
    def start(self) -> int:
        """Its first frame."""
        return self.phones[0].start

    @property
    def end(self) -> int:
        """The frame after its last."""
        return self.phones[-1].end

    def said(self, silence: int) -> tuple[str, tuple[int, ...]]:
        """The word in upper case and the classes of its phones, without ``silence``."""
        return self.word.upper(), tuple(r.phone for r in self.phones if r.phone != silence)


@dataclass(frozen=True)
class TextAlignment:
    """Where the words of a text lie in a recording.

    Attributes:
        words: in their order.
        runs: phones and silence, which cover all frames from 0 on.
        score: mean log posterior of the frames' labels, silence left out.
    """

    words: list[SpokenWord]
    runs: list[FrameSegment]
    score: float


class _Word(NamedTuple):
    """A word of a text and its pronunciations, without repetitions."""

    text: str
    variants: tuple[tuple[int, ...], ...]


@dataclass
class _Network:
    """Arcs, and for each what it is of: the word and its variant, and the rule, if any."""

    arcs: list[Arc] = field(default_factory=list)
    variants: list[tuple[int, int] | None] = field(default_factory=list)
    rules: list[Rule | None] = field(default_factory=list)
    junctions: int = 1

    def add(self, arc: Arc, variant: tuple[int, int] | None, rule: Rule | None = None) -> None:
        self.arcs.append(arc)
        self.variants.append(variant)
        self.rules.append(rule)


class TextAligner:
    """Aligns texts with recordings.

    Args:
        lexicon: how words are said.
        reductions: what may be said instead; None for the lexicon's forms alone.
        acoustic_scale: what log posteriors count against the costs of rules.
    """

    def __init__(
        self,
        lexicon: Lexicon,
        reductions: Reductions | None = None,
        *,
        acoustic_scale: float = ACOUSTIC_SCALE,
    ) -> None:
        self.lexicon = lexicon
        self.reductions = reductions
        self.acoustic_scale = acoustic_scale

    def align(
        self, text: str, log_posteriors: np.ndarray, also: Pronunciations | None = None
    ) -> TextAlignment | None:
        """Find how a text was said, and when.

        Args:
            text: words, separated by spaces.
            log_posteriors: shape (frames, phones).
            also: words in upper case that the lexicon lacks, and how they are said.

        Returns:
            None if the recording is too short for the text.

        Raises:
            CorpusError: for a text without words, or words that the lexicon lacks.
        """
        words = self._said(text, also or {})
        network = self._network(words)
        steps = align_network(
            log_posteriors,
            network.arcs,
            network.junctions,
            self.lexicon.phones.silence_index,
            acoustic_scale=self.acoustic_scale,
        )
        return None if steps is None else self._read(words, network, steps, log_posteriors)

    def bytes_needed(self, text: str, frames: int, also: Pronunciations | None = None) -> int:
        """Return the memory that :meth:`align` takes for a text and so many frames, in bytes.

        Raises:
            CorpusError: as :meth:`align`.
        """
        network = self._network(self._said(text, also or {}))
        silence = self.lexicon.phones.silence_index
        return bytes_needed(network.arcs, network.junctions, silence, frames)

    def _said(self, text: str, also: Pronunciations) -> list[_Word]:
        """The words of a text with their pronunciations.

        Raises:
            CorpusError: if there are none, or a word has none; those words are named.
        """
        missing = [word for word in text.split() if word.upper() not in also]
        if missing or not text.split():
            self.lexicon.pronounce(" ".join(missing))
        return [_Word(word, self._variants(word.upper(), also)) for word in text.split()]

    def _variants(self, word: str, also: Pronunciations) -> tuple[tuple[int, ...], ...]:
        """The pronunciations of a word, without those that nobody uses."""
        known = tuple(dict.fromkeys(also.get(word) or self.lexicon.variants[word]))
        if self.reductions is None:
            return known
        names = self.lexicon.phones.names
        used = (way for way in known if self.reductions.said(word, [names[p] for p in way]))
        return tuple(used) or known

    def _network(self, words: Sequence[_Word]) -> _Network:
        """All ways to say some words, one after the other."""
        network = _Network()
        silence = self.lexicon.phones.silence_index
        for number, word in enumerate(words):
            start = network.junctions - 1
            network.add(Arc(start, start, silence), None)
            ends: list[int] = []  # arcs that lead to the end, whose number is not known yet
            for way, phones in enumerate(word.variants):
                ends += self._add_variant(network, start, (number, way), phones, words)
            end = network.junctions
            for arc in ends:
                network.arcs[arc] = network.arcs[arc]._replace(target=end)
            network.junctions = end + 1
        end = network.junctions - 1
        network.add(Arc(end, end, silence), None)
        return network

    def _add_variant(
        self,
        network: _Network,
        start: int,
        variant: tuple[int, int],
        phones: tuple[int, ...],
        words: Sequence[_Word],
    ) -> list[int]:
        """Add a pronunciation and the rules beside it; returns the arcs that lead to its end."""
        fitting = self._fitting(variant[0], phones, words)
        # Junctions by their places: between phones, and within what a rule says.
        spots: dict[tuple[int, int], int] = {(0, 0): start}
        for place in range(len(phones)):
            inner = [n for n, (at, rule) in enumerate(fitting) if at == place]
            for n in inner:
                for part in range(1, len(fitting[n][1].said)):
                    spots[place, 100 * n + part + 1] = network.junctions
                    network.junctions += 1
            if place + 1 < len(phones):
                spots[place + 1, 0] = network.junctions
                network.junctions += 1
        ends: list[int] = []
        index = self.lexicon.phones.index

        def add(source: int, place: int, phone: int, cost: float, rule: Rule | None) -> None:
            target = spots.get((place, 0), -1)
            if target < 0:
                ends.append(len(network.arcs))
            network.add(Arc(source, target, phone, cost), variant, rule)

        for place, phone in enumerate(phones):
            if place:
                inside = spots[place, 0]
                silence = Arc(inside, inside, self.lexicon.phones.silence_index, PAUSE_WITHIN)
                network.add(silence, variant)
            rest = 1 - sum(rule.share for at, rule in fitting if at == place)
            cost = -math.log(max(rest, LEAST_DICTIONARY_SHARE))
            add(spots[place, 0], place + 1, phone, cost, None)
        for n, (place, rule) in enumerate(fitting):
            source, cost = spots[place, 0], -math.log(rule.share)
            said = [index[label] for label in rule.said] or [NOTHING]
            for part, phone in enumerate(said[:-1], 1):
                inside = spots[place, 100 * n + part + 1]
                network.add(Arc(source, inside, phone, cost), variant, rule)
                source, cost = inside, 0.0
            add(source, place + len(rule.phones), said[-1], cost, rule)
        return ends

    def _fitting(
        self, number: int, phones: Sequence[int], words: Sequence[_Word]
    ) -> list[tuple[int, Rule]]:
        """The rules that may be heard in a pronunciation of a word, and where."""
        if self.reductions is None:
            return []
        names = self.lexicon.phones.names
        left = names[words[number - 1].variants[0][-1]] if number else PAUSE
        right = names[words[number + 1].variants[0][0]] if number + 1 < len(words) else PAUSE
        labels = [names[phone] for phone in phones]
        found = self.reductions.fitting(words[number].text.upper(), labels, left, right)
        dropped = {place for place, rule in found if not rule.said}
        if len(dropped) < len(phones):
            return found
        # Not all of a word at once: its vowel stays, or else its last phone.
        vowels = [place for place in dropped if labels[place] in self.reductions.vowels]
        stays = max(vowels, default=len(phones) - 1)
        return [(place, rule) for place, rule in found if rule.said or place != stays]

    def _read(
        self,
        words: Sequence[_Word],
        network: _Network,
        steps: Sequence[Step],
        log_posteriors: np.ndarray,
    ) -> TextAlignment:
        """What a path through the network says."""
        silence = self.lexicon.phones.silence_index
        runs: list[FrameSegment] = []
        phones: list[list[FrameSegment]] = [[] for _ in words]
        rules: list[list[str]] = [[] for _ in words]
        chosen = [0] * len(words)
        total, spoken = 0.0, 0
        last_rule: tuple[Rule | None, int] = (None, -1)
        for step in steps:
            arc, of = network.arcs[step.arc], network.variants[step.arc]
            rule = network.rules[step.arc]
            if of is not None:
                chosen[of[0]] = of[1]
                continues = rule is not None and last_rule == (rule, arc.source)
                if rule is not None and not continues:
                    rules[of[0]].append(rule.name)
                last_rule = (rule, arc.target)
            if step.end == step.start:
                continue
            run = FrameSegment(arc.phone, step.start, step.end)
            if arc.phone == silence and runs and runs[-1].phone == silence:
                run = FrameSegment(silence, runs.pop().start, step.end)
            runs.append(run)
            if of is not None:
                phones[of[0]].append(run)
            if arc.phone != silence:
                total += float(log_posteriors[step.start : step.end, arc.phone].sum())
                spoken += step.end - step.start
        found = []
        for number, word in enumerate(words):
            dictionary = word.variants[chosen[number]]
            possible = tuple(rule.name for _, rule in self._fitting(number, dictionary, words))
            found.append(
                SpokenWord(
                    word.text, tuple(phones[number]), dictionary, tuple(rules[number]), possible
                )
            )
        return TextAlignment(found, runs, total / spoken if spoken else -math.inf)


def rule_counts(alignments: Iterable[TextAlignment]) -> tuple[Counter, Counter]:
    """How often each rule was heard in some recordings, and how often it might have been."""
    heard: Counter = Counter()
    possible: Counter = Counter()
    for alignment in alignments:
        for word in alignment.words:
            heard.update(word.rules)
            possible.update(word.possible)
    return heard, possible
