"""Realignment by text: the phones of a training corpus as they were heard, not as they are listed.

The words of ``text`` are aligned with a recording through a network of all that may be said for
them (:mod:`speechattn.alignment.network`). How often each rule of the table is heard is counted in
a sample of the utterances, and the counts go into the costs of the next round. The labels that a
corpus has already serve for two things: words that the lexicon lacks are pronounced as they are
labelled, and weak vowels are told apart by what is learnt from the labels of short words
(:mod:`speechattn.alignment.vowels`).
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from speechattn.alignment.reductions import Reductions
from speechattn.alignment.text_aligner import (
    Pronunciations,
    TextAligner,
    TextAlignment,
    rule_counts,
)
from speechattn.alignment.vowels import VowelEvidence, vowel_frames
from speechattn.audio.features import FrontEnd
from speechattn.corpora.alignment import reference_runs
from speechattn.corpora.corpus import Corpus, Utterance
from speechattn.corpora.spans import utterance_audio
from speechattn.corpora.tables import read_words
from speechattn.decoder.lm.lexicon import Lexicon
from speechattn.errors import CorpusError, SpeechattnError
from speechattn.inference.recognizer import Recognizer
from speechattn.machine import num_usable_cores
from speechattn.progress import Progress
from speechattn.segments import FrameSegment, Segment, frame_to_seconds, segments_from_frames
from speechattn.text import one_line
from speechattn.training.realignment.realign import LOWEST_SCORE
from speechattn.training.replicas import single_core_threads

SAMPLE = 1500  # utterances that vowels are learnt from, and rules counted in
ROUNDS = 1  # of counting; the model was trained on forms without reductions and hears too few
VOWELS = ("AH", "IH")  # that weak ones are told apart as
# Log odds at which a weak vowel is the second of them. At 0, 62 % of the dictionary's AH in words
# of two syllables and more would be IH; hand-labelled English has about half.
THRESHOLD = 1.5
EDGE = 0.006  # seconds by which a word's phones may lie beyond its own times


class _Heard(NamedTuple):
    """An utterance's log-mel frames, shape (frames, bins), and log posteriors."""

    frames: np.ndarray
    log_posteriors: np.ndarray


class TextRealigner:
    """Realigns corpora by their texts.

    Args:
        model: that hears.
        lexicon: how words are said, with the phones of the model.
        reductions: what may be said instead.
        say: takes one line for the user.

    Attributes:
        reductions: with the shares that were counted last.
        spoken: how often each word was said with which phones (classes), in what was realigned.
    """

    def __init__(
        self,
        model: Recognizer,
        lexicon: Lexicon,
        reductions: Reductions,
        say: Callable[[str], None] = print,
    ) -> None:
        self.model, self.lexicon, self.reductions, self.say = model, lexicon, reductions, say
        self._silence = model.phones.silence_index
        self._front_end = FrontEnd(model.checkpoint.front_end)
        self._vowels: VowelEvidence | None = None
        self.spoken: Counter[tuple[str, tuple[int, ...]]] = Counter()

    def learn(self, corpora: Sequence[Corpus]) -> None:
        """Learn to tell weak vowels apart, and count rules, in a sample of some corpora.

        Args:
            corpora: with texts and alignments. What is wrong with an alignment is said, and
                nothing is learnt from it.

        Raises:
            CorpusError: if there is too little to learn from, or a ``words.ctm`` cannot be read.
        """
        everything = [(corpus, u) for corpus in corpora for u in corpus if u.text and u.alignment]
        chosen = everything[:: max(1, len(everything) // SAMPLE)]
        also = {corpus.folder: word_times(corpus) for corpus in corpora}
        heard, texts, ways, examples = [], [], [], []
        for (corpus, utterance), one in zip(chosen, self._hear([u for _, u in chosen])):
            if isinstance(one, Exception):
                continue
            own = self._ways(utterance, also[corpus.folder])
            try:
                examples += self._examples(utterance, one, own)
            except SpeechattnError as error:
                reason = f"{corpus.name}: {utterance.id}: {one_line(str(error))}"
                self.say(f"  nothing is learnt from {reason}")
                continue
            heard.append(one)
            texts.append(utterance.text or "")
            ways.append(own)
        first, second = (self.model.phones.index[label] for label in VOWELS)
        self._vowels = VowelEvidence.learn((first, second), examples)
        for _ in range(ROUNDS):
            aligner = TextAligner(self.lexicon, self.reductions)
            found = [self._aligned(aligner, *each) for each in zip(texts, heard, ways)]
            counts = rule_counts(each for each in found if isinstance(each, TextAlignment))
            self.reductions = self.reductions.with_shares(*counts)
        self.say(rule_table(self.reductions, *counts))

    def realign(self, corpus: Corpus) -> Corpus:
        """Give the utterances of a corpus the phones that were heard.

        Args:
            corpus: with texts; :meth:`learn` has been called.

        Returns:
            The corpus with new alignments, what could not be aligned among its problems, and lines
            of ``words.ctm`` that are not understood among its notes.

        Raises:
            CorpusError: if none of it can be aligned, or ``words.ctm`` cannot be read.
        """
        notes = list(corpus.notes)
        times = word_times(corpus, notes.append)
        aligner = TextAligner(self.lexicon, self.reductions)
        kept: list[Utterance] = []
        problems: list[str] = []
        utterances = corpus.utterances
        progress = Progress(f"realign {corpus.name}", len(utterances), unit="file")
        for utterance, heard in zip(utterances, self._hear(utterances)):
            progress.update()
            found: TextAlignment | Exception
            if isinstance(heard, Exception):
                found = heard
            else:
                ways = self._ways(utterance, times)
                found = self._aligned(aligner, utterance.text or "", heard, ways)
            if isinstance(found, TextAlignment) and found.score < LOWEST_SCORE:
                found = CorpusError(f"its words do not fit the audio (score {found.score:.2f})")
            if isinstance(found, TextAlignment):
                runs = found.runs
                seconds = frame_to_seconds(runs[-1].end)
                segments = segments_from_frames(runs, self.model.phones.names, seconds)
                kept.append(dataclasses.replace(utterance, alignment=tuple(segments)))
                self.spoken.update(word.said(self._silence) for word in found.words)
            else:
                problems.append(f"{corpus.name}: {utterance.id}: {one_line(str(found))}")
        progress.close()
        if not kept:
            raise CorpusError(
                f"{corpus.folder}: no utterance could be realigned; take it out of realign; the "
                f"first problem: {problems[0]}"
            )
        return dataclasses.replace(
            corpus,
            utterances=tuple(kept),
            problems=(*corpus.problems, *problems),
            notes=tuple(notes),
        )

    def _aligned(
        self, aligner: TextAligner, text: str, heard: _Heard, ways: Pronunciations
    ) -> TextAlignment | Exception:
        """How a text was said, or why that cannot be found."""
        logs = heard.log_posteriors
        if self._vowels is not None:
            logs = self._vowels.applied(logs, heard.frames, self._silence, THRESHOLD)
        try:
            found = aligner.align(text, logs, ways)
        except SpeechattnError as error:
            return error
        return found or CorpusError("too short for its words")

    def _hear(self, utterances: Sequence[Utterance]) -> Iterator[_Heard | Exception]:
        """Frames and log posteriors of utterances, in their order, on all cores."""
        with single_core_threads(num_usable_cores()) as threads:
            waiting: list = []
            for utterance in utterances:
                waiting.append(threads.submit(self._hear_one, utterance))
                if len(waiting) > 4 * num_usable_cores():
                    yield waiting.pop(0).result()
            for each in waiting:
                yield each.result()

    def _hear_one(self, utterance: Utterance) -> _Heard | Exception:
        try:
            frames = self._front_end(utterance_audio(utterance))
        except (SpeechattnError, OSError) as error:
            return error
        return _Heard(frames, self.model.encode([frames])[0])

    def _ways(self, utterance: Utterance, times: dict[str, list[Segment]]) -> Pronunciations:
        """Words that the lexicon lacks, as the utterance's alignment has them."""
        phones = self.lexicon.phones
        missing = set(self.lexicon.missing(utterance.text or ""))
        ways: dict[str, list[tuple[int, ...]]] = {}
        for word in times.get(utterance.id, ()):
            if word.label not in missing:
                continue
            way = tuple(
                phones.index[segment.label]
                for segment in utterance.alignment or ()
                if word.start - EDGE <= (segment.start + segment.end) / 2 <= word.end + EDGE
                and segment.label != phones.silence
            )
            if way:
                ways.setdefault(word.label, []).append(way)
        return ways

    def _examples(
        self, utterance: Utterance, heard: _Heard, ways: Pronunciations
    ) -> list[tuple[np.ndarray, int]]:
        """Vowels that are to be told apart, from the words of one syllable."""
        phones = self.model.phones
        runs = reference_runs(utterance.alignment or (), len(heard.frames), phones)
        speech = np.ones(len(heard.frames), dtype=bool)
        for run in runs:
            if run.phone == phones.silence_index:
                speech[run.start : run.end] = False
        spoken = [run for run in runs if run.phone != phones.silence_index]
        chosen: list[FrameSegment] = []
        place = 0
        for word in (utterance.text or "").upper().split():
            known = ways.get(word) or self.lexicon.variants.get(word) or ()
            said = [tuple(run.phone for run in spoken[place : place + len(way)]) for way in known]
            fitting = [way for way, found in zip(known, said) if way == found]
            if not fitting:
                break
            way = max(fitting, key=len)
            chosen += self._trusted(word, way, spoken[place : place + len(way)])
            place += len(way)
        frames = vowel_frames(heard.frames, speech, chosen)
        return [(frame, run.phone) for frame, run in zip(frames, chosen)]

    def _trusted(
        self, word: str, way: tuple[int, ...], runs: Sequence[FrameSegment]
    ) -> list[FrameSegment]:
        """The vowel of a word of one syllable, if it is one of the two and surely not weak."""
        names = [self.model.phones.names[phone] for phone in way]
        vowels = [place for place, name in enumerate(names) if name in self.reductions.vowels]
        if len(vowels) != 1 or names[vowels[0]] not in VOWELS:
            return []
        place = vowels[0]
        weak = names[place] == VOWELS[0] and word in self.reductions.function
        before_r = names[place + 1 : place + 2] == ["R"]
        return [] if weak or before_r else [runs[place]]


def word_times(
    corpus: Corpus, note: Callable[[str], None] = lambda _: None
) -> dict[str, list[Segment]]:
    """Words of a corpus' ``words.ctm``, in upper case, by utterance.

    Args:
        corpus: whose folder has the file, or not.
        note: takes a line about each line that is not understood.

    Raises:
        CorpusError: if the file cannot be read.
    """
    return {
        name: [dataclasses.replace(word, label=word.label.upper()) for word in words]
        for name, words in read_words(corpus.folder, note).items()
    }


def rule_table(reductions: Reductions, heard: Counter, possible: Counter) -> str:
    """How often each rule was heard, as lines to read."""
    lines = ["  rule                    heard  of cases  share from now on"]
    for name, rule in reductions.rules.items():
        lines.append(f"  {name:22} {heard[name]:6} {possible[name]:9} {rule.share:10.3f}")
    return "\n".join(lines)
