"""Flat start: alignments from recordings, their words and a dictionary, without any model.

At first the phones of each utterance share its time equally. Then models of phones are learnt from
the labels and the labels from the models, in turn: mixtures of Gaussians for the three states of
each phone, as aligners have done since HTK. In every round the best path is found through all
pronunciations of the words, with or without silence between them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from speechattn.alignment.pronunciations import PronouncingDictionary
from speechattn.audio.features import FrontEnd, FrontEndConfig
from speechattn.corpora.corpus import Corpus, Utterance
from speechattn.corpora.spans import utterance_audio
from speechattn.errors import CorpusError, SpeechattnError
from speechattn.machine import num_usable_cores
from speechattn.progress import with_progress
from speechattn.segments import Segment, frame_to_seconds, segments_from_frames
from speechattn.text import one_line
from speechattn.training.realignment.align_text import corpus_of
from speechattn.training.realignment.gaussians import Mixtures, cepstra
from speechattn.training.realignment.states import (
    STATES,
    StatePath,
    Variants,
    best_states,
    divided,
)
from speechattn.training.replicas import single_core_threads

PARTS = (1, 1, 1, 1, 2, 2, 4, 4, 8, 8, 16, 16)  # of each mixture, round by round
SILENCE_PARTS = 3  # times as many for silence, which has one state
SPEECH_LEVEL = 0.3  # of the range between the quietest and the loudest frames; below is silence
MOST_FRAMES = 2_000_000  # of utterances that the models are learnt from, about five hours
LOWEST_SCORE = -6.0  # nats; right texts of kathleen have -2.1 to -0.4, others -30 to -8.5


@dataclass
class _Heard:
    """An utterance: its cepstra (frames, dim), words, how each is said, and its states."""

    utterance: Utterance
    frames: np.ndarray
    words: list[str]
    variants: list[Variants]
    states: np.ndarray


class FlatStart:
    """Aligns corpora without a model.

    Args:
        dictionary: how words are said, with the phones that the labels become.
        report: takes one line for the user.
        parts: of each mixture, round by round.
    """

    def __init__(
        self,
        dictionary: PronouncingDictionary,
        report: Callable[[str], None] = print,
        parts: Sequence[int] = PARTS,
    ) -> None:
        self.dictionary, self.report, self.parts = dictionary, report, parts
        self._phones = dictionary.lexicon.phones
        self._silence = self._phones.silence_index
        self._front_end = FrontEnd(FrontEndConfig())
        self._mixtures = Mixtures(STATES * len(self._phones))

    def align(self, corpora: Sequence[Corpus]) -> list[Corpus]:
        """Align corpora by their texts.

        Args:
            corpora: with texts. The models learn from all of them, as far as they fit.

        Returns:
            The corpora with alignments; utterances that cannot be aligned are in their problems.

        Raises:
            CorpusError: if nothing of a corpus can be aligned.
        """
        problems: list[list[str]] = [[] for _ in corpora]
        everything = [list(self._read(corpus, own)) for corpus, own in zip(corpora, problems)]
        for corpus, utterances, own in zip(corpora, everything, problems):
            if not utterances:
                corpus_of(corpus, [], own)  # which says why
        self._learn(_first(everything, MOST_FRAMES))
        result = []
        for corpus, utterances, own in zip(corpora, everything, problems):
            aligned = []
            for heard, path in zip(utterances, self._paths(utterances)):
                try:
                    aligned.append(self._aligned(heard, path))
                except CorpusError as error:
                    own.append(f"{corpus.name}: {heard.utterance.id}: {one_line(str(error))}")
            result.append(corpus_of(corpus, aligned, own))
        return result

    def _read(self, corpus: Corpus, problems: list[str]) -> Iterator[_Heard]:
        """Read the utterances of a corpus, and divide each between its phones."""
        with ThreadPoolExecutor(num_usable_cores()) as pool:
            results = pool.map(self._read_one, corpus.utterances)
            shown = with_progress(results, f"read {corpus.name}", len(corpus), unit="file")
            for found, utterance in zip(shown, corpus.utterances):
                if isinstance(found, _Heard):
                    yield found
                else:
                    problems.append(f"{corpus.name}: {utterance.id}: {one_line(str(found))}")

    def _read_one(self, utterance: Utterance) -> _Heard | Exception:
        try:
            read = self.dictionary.read(utterance.text or "")
            if not read.words:
                raise CorpusError("has no text; write its words, or leave it out")
            log_mel = self._front_end(utterance_audio(utterance))
        except (SpeechattnError, OSError) as error:
            return error
        known = self.dictionary.lexicon.variants
        keys = [word.key.upper() for word in read.words]
        variants: list[Variants] = [read.ways.get(key) or known[key] for key in keys]
        said = [phone for each in variants for phone in each[0]]
        states = divided(equal_shares(log_mel, said, self._silence), self._silence)
        words = [word.written for word in read.words]
        return _Heard(utterance, cepstra(log_mel), words, variants, states)

    def _learn(self, learnt: list[_Heard]) -> None:
        """Learn the mixtures from utterances, and label these by them, in some rounds."""
        frames = np.concatenate([heard.frames for heard in learnt])
        for number, parts in enumerate(self.parts, 1):
            most = [parts] * (STATES * len(self._phones))
            most[STATES * self._silence] *= SILENCE_PARTS
            self._mixtures.learn(frames, np.concatenate([h.states for h in learnt]), most)
            moved = 0
            for heard, path in zip(learnt, self._paths(learnt)):
                if path is not None:
                    moved += int((path.states // STATES != heard.states // STATES).sum())
                    heard.states = path.states
            self.report(
                f"  flat start: round {number} of {len(self.parts)}, "
                f"{100 * moved / len(frames):.1f} % of the frames changed their phone"
            )

    def _paths(self, utterances: Sequence[_Heard]) -> Iterator[StatePath | None]:
        """The best path of each utterance; None for one that is too short for its words."""

        def path(heard: _Heard) -> StatePath | None:
            scores = self._mixtures.scores(heard.frames)
            return best_states(heard.variants, scores, self._silence)

        with single_core_threads(num_usable_cores()) as threads:
            yield from threads.map(path, utterances)

    def _aligned(self, heard: _Heard, path: StatePath | None) -> Utterance:
        """The utterance with its phones and words.

        Raises:
            CorpusError: if it is too short for its words, or they do not fit.
        """
        if path is None:
            raise CorpusError("too short for its words")
        if path.score < LOWEST_SCORE:
            raise CorpusError(f"its words do not fit the audio (score {path.score:.1f})")
        seconds = frame_to_seconds(len(heard.frames))
        phones = segments_from_frames(path.runs, self._phones.names, seconds)
        words = [
            Segment(word, frame_to_seconds(start), frame_to_seconds(end))
            for word, (start, end) in zip(heard.words, path.words)
        ]
        return dataclasses.replace(heard.utterance, alignment=tuple(phones), words=tuple(words))


def equal_shares(frames: np.ndarray, phones: Sequence[int], silence: int) -> np.ndarray:
    """Divide an utterance between its phones; what is quiet at its ends is silence.

    Args:
        frames: log-mel, shape (frames, bins).
        phones: classes in their order.
        silence: its class.

    Returns:
        Class of every frame, int64, shape (frames,).
    """
    level = frames.mean(1)
    low, high = np.percentile(level, 5), np.percentile(level, 95)
    loud = np.flatnonzero(level >= low + SPEECH_LEVEL * (high - low))
    begin, end = int(loud[0]), int(loud[-1]) + 1
    labels = np.full(len(frames), silence, dtype=np.int64)
    edges = np.linspace(begin, end, len(phones) + 1).round().astype(int)
    for phone, start, stop in zip(phones, edges, edges[1:]):
        labels[start:stop] = phone
    return labels


def _first(everything: Sequence[list[_Heard]], most: int) -> list[_Heard]:
    """Utterances spread over all corpora, of so many frames at most."""
    utterances = [heard for one in everything for heard in one]
    order = np.random.default_rng(0).permutation(len(utterances))
    chosen: list[_Heard] = []
    total = 0
    for number in order.tolist():
        if chosen and total + len(utterances[number].frames) > most:
            break
        chosen.append(utterances[number])
        total += len(utterances[number].frames)
    return chosen
