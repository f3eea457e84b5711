"""Flat start: alignments from recordings, their words and a dictionary, without any model.

At first the phones of each utterance share its time equally. Then models of phones are learnt from
the labels and the labels from the models, in turn: Gaussian mixtures for some rounds, as aligners
have done since HTK, then a small encoder, which hears a phone among its neighbours. In every round
the best path is found through all pronunciations of the words, with or without silence between
them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from speechattn.alignment.pronunciations import AGAIN, PronouncingDictionary, Ways
from speechattn.alignment.text_aligner import TextAligner, TextAlignment
from speechattn.audio.features import FrontEnd, FrontEndConfig
from speechattn.corpora.corpus import Corpus, Utterance
from speechattn.corpora.prepared import PreparedUtterance
from speechattn.corpora.spans import utterance_audio
from speechattn.encoder.config import EncoderConfig
from speechattn.encoder.encoder import Encoder, log_posteriors
from speechattn.errors import CorpusError, SpeechattnError
from speechattn.machine import num_usable_cores
from speechattn.progress import with_progress
from speechattn.segments import Segment, frame_to_seconds, segments_from_frames
from speechattn.text import one_line
from speechattn.training.config_sections import AugmentationConfig, TrainingConfig
from speechattn.training.realignment.align_text import corpus_of
from speechattn.training.realignment.gaussians import PhoneMixtures, cepstra
from speechattn.training.replicas import single_core_threads
from speechattn.training.trainer import Trainer

PARTS = (1, 1, 1, 1, 2, 2, 4, 4, 8, 8)  # of each mixture, round by round
ENCODER_ROUNDS = 2
SPEECH_LEVEL = 0.3  # of the range between the quietest and the loudest frames; below is silence
MOST_FRAMES = 2_000_000  # of utterances that the models are learnt from, about five hours
LOWEST_SCORE = -4.0  # nats; utterances whose phones' mean log posterior is lower are left out
ENCODER = EncoderConfig(width=128, heads=4, feedforward=256, blocks=2, window=(30, 30),
                        conv_kernel=5, stack=2, dropout=0.1)  # fmt: skip
TRAINING = TrainingConfig(steps=300, batch_frames=8000, learning_rate=3e-3, warmup_steps=30,
                          average_decay=0.98, evaluate_every=300, checkpoint_every=300,
                          max_silence_frames=0, optimizer="muon")  # fmt: skip
AUGMENTATION = AugmentationConfig(speed=0.0, vocal_tract=0.05, noise_probability=0.0,
                                  band_limit_probability=0.0, time_masks=0)  # fmt: skip


@dataclass
class _Heard:
    """An utterance: its log-mel frames (frames, bins), words, how they are said, and its labels."""

    utterance: Utterance
    frames: np.ndarray
    text: str
    ways: Ways
    labels: np.ndarray
    found: TextAlignment | None = None


@dataclass
class _Sections:
    """The parts of a recipe that the training of the small encoder depends on."""

    front_end: FrontEndConfig
    seed: int = 0
    encoder: EncoderConfig = ENCODER
    training: TrainingConfig = TRAINING
    augmentation: AugmentationConfig = AUGMENTATION

    def to_dict(self) -> dict:
        """Return plain values, one key for each part."""
        return dataclasses.asdict(self)


class FlatStart:
    """Aligns corpora without a model.

    Args:
        dictionary: how words are said, with the phones that the labels become.
        report: takes one line for the user.
        training: of the small encoder.
        parts: of each mixture, round by round.
    """

    def __init__(
        self,
        dictionary: PronouncingDictionary,
        report: Callable[[str], None] = print,
        training: TrainingConfig = TRAINING,
        parts: Sequence[int] = PARTS,
    ) -> None:
        self.dictionary, self.report = dictionary, report
        self.training, self.parts = training, parts
        self._phones = dictionary.lexicon.phones
        self._silence = self._phones.silence_index
        self._aligner = TextAligner(dictionary.lexicon)
        self._front_end = FrontEnd(FrontEndConfig())

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
        learnt = _first(everything, MOST_FRAMES)
        scores = self._mixtures(learnt)
        for number in range(ENCODER_ROUNDS):
            for heard in learnt:
                self._label(heard, scores(heard.frames))
            scores = self._encoder(learnt)
            self.report(f"  flat start: encoder {number + 1} of {ENCODER_ROUNDS} trained")
        result = []
        for corpus, utterances, own in zip(corpora, everything, problems):
            aligned = []
            for heard in utterances:
                self._label(heard, scores(heard.frames))
                try:
                    aligned.append(self._aligned(heard))
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
            words, ways = [word.key for word in read.words], read.ways
            frames = self._front_end(torch.from_numpy(utterance_audio(utterance))).numpy()
        except (SpeechattnError, OSError) as error:
            return error
        known = self.dictionary.lexicon.variants
        said = [(ways.get(word.upper()) or known[word.upper()])[0] for word in words]
        labels = equal_shares(frames, [phone for way in said for phone in way], self._silence)
        return _Heard(utterance, frames, " ".join(words), ways, labels)

    def _mixtures(self, learnt: list[_Heard]) -> Callable[[np.ndarray], np.ndarray]:
        """Learn mixtures in some rounds; returns what scores the frames of an utterance."""
        mixtures = PhoneMixtures(len(self._phones))
        frames = [cepstra(heard.frames) for heard in learnt]
        for number, parts in enumerate(self.parts, 1):
            mixtures.learn(frames, [heard.labels for heard in learnt], parts)
            moved = total = 0
            with single_core_threads(num_usable_cores()) as threads:
                changes = threads.map(
                    lambda pair: self._label(pair[0], mixtures.scores(pair[1])), zip(learnt, frames)
                )
                for heard, changed in zip(learnt, changes):
                    moved, total = moved + changed, total + len(heard.labels)
            self.report(
                f"  flat start: round {number} of {len(self.parts)}, "
                f"{100 * moved / total:.1f} % of the frames changed their phone"
            )
        return lambda log_mel: mixtures.scores(cepstra(log_mel))

    def _label(self, heard: _Heard, scores: np.ndarray) -> int:
        """Give an utterance the labels of the best path; returns how many frames changed."""
        heard.found = self._aligner.align(heard.text, scores, heard.ways)
        if heard.found is None:
            return 0
        labels = np.repeat(
            [run.phone for run in heard.found.runs],
            [run.end - run.start for run in heard.found.runs],
        )
        changed = int((labels != heard.labels).sum())
        heard.labels = labels
        return changed

    def _encoder(self, learnt: list[_Heard]) -> Callable[[np.ndarray], np.ndarray]:
        """Train a small encoder on the labels; returns what scores the frames of an utterance."""
        prepared = _InMemory(learnt, self._phones.names)
        sections = _Sections(self._front_end.config, training=self.training)
        with TemporaryDirectory() as folder:
            trainer = Trainer(
                sections,
                prepared,
                _InMemory(learnt[:: max(1, len(learnt) // 20)], self._phones.names),
                num_phones=len(self._phones),
                silence=self._silence,
                checkpoint=Path(folder, "checkpoint.safetensors"),
                device=torch.device("cpu"),
            )
            model: Encoder = trainer.run()

        def scores(log_mel: np.ndarray) -> np.ndarray:
            with torch.inference_mode():
                return log_posteriors(model(torch.from_numpy(log_mel)[None])[0]).numpy()

        return scores

    def _aligned(self, heard: _Heard) -> Utterance:
        """The utterance with its phones and words.

        Raises:
            CorpusError: if it is too short for its words, or they do not fit.
        """
        found = heard.found
        if found is None:
            raise CorpusError("too short for its words")
        if found.score < LOWEST_SCORE:
            raise CorpusError(f"its words do not fit the audio (score {found.score:.2f})")
        seconds = frame_to_seconds(len(heard.frames))
        phones = segments_from_frames(found.runs, self._phones.names, seconds)
        words = [
            Segment(
                word.word.rstrip(AGAIN), frame_to_seconds(word.start), frame_to_seconds(word.end)
            )
            for word in found.words
        ]
        return dataclasses.replace(heard.utterance, alignment=tuple(phones), words=tuple(words))


class _InMemory:
    """Labelled utterances in memory, as the trainer takes them."""

    def __init__(self, heard: Sequence[_Heard], phones: Sequence[str]) -> None:
        self.phones = tuple(phones)
        self._heard = list(heard)
        self.entries = [
            PreparedUtterance(
                each.utterance.id, each.utterance.speaker, "", "", number, len(each.frames), 0, 0
            )
            for number, each in enumerate(self._heard)
        ]

    def frames(self, entry: PreparedUtterance) -> np.ndarray:
        """Frames of an utterance, float32, shape (frames, dim)."""
        return self._heard[entry.first].frames

    def labels(self, entry: PreparedUtterance) -> np.ndarray:
        """Class of every frame, int64, shape (frames,)."""
        return self._heard[entry.first].labels.astype(np.int64)


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
