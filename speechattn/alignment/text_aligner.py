"""Words to phones with times: the network of a text, aligned with a recording."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from speechattn.alignment.network import (
    BETWEEN,
    SKIPPED,
    Doubt,
    NetworkBuilder,
    TextNetwork,
    Word,
)
from speechattn.alignment.reductions import Reductions, Rule
from speechattn.decoder.forced_alignment import LEAST_PHONE_FRAMES
from speechattn.decoder.free_phones import free_phones
from speechattn.decoder.lm.lexicon import Lexicon
from speechattn.decoder.network_paths import Step, best_path
from speechattn.segments import FrameSegment

ACOUSTIC_SCALE = 0.2  # of log posteriors against costs; neighbouring frames say much the same
FREE_CHANGE = 3.0  # nats of log posteriors that each phone of speech without a text costs
BEAM = 150.0  # scaled nats between the best path and those that are given up, of long recordings
BEAM_FRAMES = 6000  # that are not yet a long recording
WIDER = 4.0  # beam of a second try, where the first finds no path
Pronunciations = Mapping[str, Sequence[tuple[int, ...]]]  # classes of the phones of each word


@dataclass(frozen=True)
class SpokenWord:
    """A word of the text and how it was said.

    Attributes:
        word: as in the text.
        phones: frame runs, silence within the word included; none overlap. None if it was not said.
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
class OtherSpeech:
    """Speech that the text does not have.

    Attributes:
        start: first frame.
        end: frame after the last.
        word: number of the word before which it lies.
    """

    start: int
    end: int
    word: int


@dataclass(frozen=True)
class TextAlignment:
    """Where the words of a text lie in a recording.

    Attributes:
        words: in their order.
        runs: phones and silence, which cover all frames from 0 on.
        score: mean log posterior of the frames' labels, silence left out.
        others: speech that the text does not have, where that may be.
    """

    words: list[SpokenWord]
    runs: list[FrameSegment]
    score: float
    others: tuple[OtherSpeech, ...] = ()


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
        self._builder = NetworkBuilder(lexicon.phones, reductions)

    def align(
        self,
        text: str,
        log_posteriors: np.ndarray,
        also: Pronunciations | None = None,
        *,
        doubt: Doubt | None = None,
        free: np.ndarray | None = None,
        beam: float | None = None,
        left_out: Collection[int] = (),
    ) -> TextAlignment | None:
        """Find how a text was said, and when.

        Args:
            text: words, separated by spaces.
            log_posteriors: shape (frames, phones).
            also: words in upper case that the lexicon lacks, and how they are said.
            doubt: what it costs to leave the text; None to force it upon the recording.
            free: the phones of each frame whatever the text, from :meth:`free`; needed with
                ``doubt``.
            beam: see :func:`~speechattn.decoder.network_paths.best_path`; None for one that
                suits the length.
            left_out: numbers of words that were not said; all of them only with ``doubt``.

        Returns:
            None if the recording is too short for the text.

        Raises:
            CorpusError: for a text without words, or words that the lexicon lacks.
        """
        every = self._said(text, also or {})
        kept = [number for number in range(len(every)) if number not in left_out]
        words = [every[number] for number in kept]
        network = self._builder.build(words, doubt)
        scores = np.asarray(log_posteriors, np.float32) * np.float32(self.acoustic_scale)
        if doubt is not None:
            assert free is not None
            other = scores[np.arange(len(scores)), free] - np.float32(doubt.speech_frame)
            scores = np.concatenate([scores, other[:, None]], axis=1)
        scores = np.ascontiguousarray(scores)
        if beam is None:
            beam = BEAM if doubt is not None or len(scores) > BEAM_FRAMES else math.inf
        steps = best_path(scores, network.network, beam=beam)
        while steps is None and math.isfinite(beam):
            beam = beam * WIDER if beam < BEAM * WIDER else math.inf
            steps = best_path(scores, network.network, beam=beam)
        if steps is None:
            return None
        found = self._read(words, network, steps, log_posteriors, free)
        return found if len(kept) == len(every) else _with_left_out(found, every, kept)

    def free(self, log_posteriors: np.ndarray) -> np.ndarray:
        """The phone of each frame, whatever the text.

        Args:
            log_posteriors: shape (frames, phones).

        Returns:
            Classes, shape (frames,).
        """
        frames = np.ascontiguousarray(log_posteriors, np.float32)
        return free_phones(frames, FREE_CHANGE, LEAST_PHONE_FRAMES)

    def _said(self, text: str, also: Pronunciations) -> list[Word]:
        """The words of a text with their pronunciations.

        Raises:
            CorpusError: if there are none, or a word has none; those words are named.
        """
        missing = [word for word in text.split() if word.upper() not in also]
        if missing or not text.split():
            self.lexicon.pronounce(" ".join(missing))
        return [self._word(word, also) for word in text.split()]

    def _word(self, word: str, also: Pronunciations) -> Word:
        """A word with its pronunciations, without those that nobody uses."""
        name = word.upper()
        ways = also.get(name) or self.lexicon.variants[name]
        costs = () if name in also else self.lexicon.costs.get(name, ())
        cheapest: dict[tuple[int, ...], float] = {}
        for way, cost in zip(ways, costs or (0.0,) * len(ways)):
            cheapest[way] = min(cost, cheapest.get(way, cost))
        if self.reductions is not None:
            names = self.lexicon.phones.names
            said = self.reductions.said
            used = {w: c for w, c in cheapest.items() if said(name, [names[p] for p in w])}
            cheapest = used or cheapest
        return Word(word, tuple(cheapest), tuple(cheapest.values()) if costs else ())

    def _read(
        self,
        words: Sequence[Word],
        network: TextNetwork,
        steps: Sequence[Step],
        log_posteriors: np.ndarray,
        free: np.ndarray | None,
    ) -> TextAlignment:
        """What a path through the network says."""
        silence, speech = self.lexicon.phones.silence_index, len(self.lexicon.phones)
        runs: list[FrameSegment] = []
        phones: list[list[FrameSegment]] = [[] for _ in words]
        rules: list[list[str]] = [[] for _ in words]
        others: list[OtherSpeech] = []
        chosen = [0] * len(words)
        last_rule: tuple[Rule | None, int] = (None, -1)
        source, target, labels = (
            column.tolist()
            for column in (network.network.source, network.network.target, network.network.phone)
        )
        for step in steps:
            word, way, rule = network.owner(step.arc)
            if way not in (BETWEEN, SKIPPED):
                chosen[word] = way
                continues = rule is not None and last_rule == (rule, source[step.arc])
                if rule is not None and not continues:
                    rules[word].append(rule.name)
                last_rule = (rule, target[step.arc])
            if step.end == step.start:
                continue
            phone = labels[step.arc]
            if phone == speech:
                assert free is not None
                others.append(OtherSpeech(step.start, step.end, word))
                runs += _runs(free, step.start, step.end)
                continue
            run = FrameSegment(phone, step.start, step.end)
            if phone == silence and runs and runs[-1].phone == silence:
                run = FrameSegment(silence, runs.pop().start, step.end)
            runs.append(run)
            if way != BETWEEN:
                phones[word].append(run)
        found = [
            SpokenWord(
                word.text,
                tuple(phones[number]),
                word.variants[chosen[number]],
                tuple(rules[number]),
                network.words[number].possible[chosen[number]],
            )
            for number, word in enumerate(words)
        ]
        score = _mean_score(runs, silence, log_posteriors)
        return TextAlignment(found, merged(runs, silence), score, tuple(others))


def _with_left_out(
    found: TextAlignment, every: Sequence[Word], kept: Sequence[int]
) -> TextAlignment:
    """An alignment of some words of a text, as one of all of them.

    Args:
        found: the alignment.
        every: words of the text.
        kept: numbers of those that were aligned.
    """
    words = [SpokenWord(word.text, (), word.variants[0], (), ()) for word in every]
    for number, word in zip(kept, found.words):
        words[number] = word
    after = [*kept, len(every)]
    others = tuple(replace(other, word=after[other.word]) for other in found.others)
    return replace(found, words=words, others=others)


def _runs(labels: np.ndarray, start: int, end: int) -> list[FrameSegment]:
    """Frames with the same label, from ``start`` to ``end``."""
    cuts = np.flatnonzero(np.diff(labels[start:end])) + start + 1
    edges = [start, *cuts.tolist(), end]
    return [FrameSegment(int(labels[a]), a, b) for a, b in itertools.pairwise(edges)]


def merged(runs: Sequence[FrameSegment], silence: int) -> list[FrameSegment]:
    """Runs, with one silence for several that touch."""
    found: list[FrameSegment] = []
    for run in runs:
        if run.phone == silence and found and found[-1].phone == silence:
            run = FrameSegment(silence, found.pop().start, run.end)
        found.append(run)
    return found


def _mean_score(runs: Sequence[FrameSegment], silence: int, log_posteriors: np.ndarray) -> float:
    spoken = [run for run in runs if run.phone != silence]
    if not spoken:
        return -math.inf
    total = sum(float(log_posteriors[r.start : r.end, r.phone].sum()) for r in spoken)
    return total / sum(run.end - run.start for run in spoken)


def rule_counts(alignments: Iterable[TextAlignment]) -> tuple[Counter, Counter]:
    """How often each rule was heard in some recordings, and how often it might have been."""
    heard: Counter = Counter()
    possible: Counter = Counter()
    for alignment in alignments:
        for word in alignment.words:
            heard.update(word.rules)
            possible.update(word.possible)
    return heard, possible
