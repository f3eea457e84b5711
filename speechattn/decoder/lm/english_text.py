"""English that nobody wrote: sentences drawn from a word trigram, as strings of phones.

What the decoder knows about the order of phones is counted in training labels, which are few. The
wheel of pocketsphinx carries a trigram of US English words and their pronunciations; sentences are
drawn from it by sampling importance resampling (Rubin 1987): of ``DRAWN`` words drawn by their
frequency, one is kept, with the weights that the trigram gives them over that frequency.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from tqdm import tqdm

from speechattn.decoder.lm.english import BEGIN, END, LEAST_LOG_PROB, WordTrigram, read_trigram
from speechattn.decoder.lm.lexicon import POCKETSPHINX, Lexicon, packaged_file
from speechattn.phones import PhoneSet

DRAWN = 40  # words drawn for each that is kept
FLATTER = 0.9  # power of a word's frequency when drawing, so that rare words get their turn
PAUSE = 0.06  # share of the gaps between words where there is silence
LONGEST = 40  # words of a sentence
TRIGRAM, WHAT = "en-us.lm.bin", "language model"  # its file in the wheel, and what it is


def english_lexicon(phones: PhoneSet) -> Lexicon:
    """The words that sentences are made of.

    Args:
        phones: ARPAbet, as the dictionary has it.

    Raises:
        ConfigError: if the set lacks a phone of the dictionary.
        UsageError: if pocketsphinx is not installed.
    """
    return Lexicon([POCKETSPHINX], phones)


def english_trigram() -> WordTrigram:
    """All that is known of how words follow each other.

    Raises:
        UsageError: if pocketsphinx is not installed.
    """
    return read_trigram(packaged_file(TRIGRAM, WHAT))


def english_sentences(
    words: int, lexicon: Lexicon, seed: int = 0
) -> Iterator[tuple[list[str], list[int]]]:
    """Draw sentences and pronounce them.

    Args:
        words: how many to draw, at least; the last sentence is finished.
        lexicon: as :func:`english_lexicon` gives it.
        seed: the same sentences for the same seed and the same version of pocketsphinx.

    Yields:
        Words of a sentence, and its labels: each word in any of its pronunciations, silence at its
        beginning and end and in a share of the gaps.

    Raises:
        UsageError: if pocketsphinx is not installed.
    """
    phones = lexicon.phones
    random = np.random.default_rng(seed)
    sentences = _Sentences([word.lower() for word in lexicon.words], random)
    with tqdm(desc="English sentences", total=words, unit="word") as bar:
        while bar.n < words:
            sentence = sentences.draw()
            labels = [phones.silence_index]
            for word in sentence:
                labels += lexicon.draw(word, random)
                if random.random() < PAUSE:
                    labels.append(phones.silence_index)
            if labels[-1] != phones.silence_index:
                labels.append(phones.silence_index)
            bar.update(len(sentence))
            yield sentence, labels


class _Sentences:
    """Draws one sentence after another.

    Args:
        words: of the dictionary, lower case as the trigram has them; those that it lacks are left
            out.
        random: where the randomness comes from.
    """

    def __init__(self, words: list[str], random: np.random.Generator):
        self._trigram, self._unit = _asked()
        known = [*words, END]
        frequency = np.array([self._log_prob([word]) for word in known])
        kept = np.flatnonzero(frequency > LEAST_LOG_PROB)
        self._words = [known[i] for i in kept]
        share = np.exp(FLATTER * frequency[kept])
        self._cumulated = np.cumsum(share / share.sum())
        self._log_share = np.log(share / share.sum())
        self._random = random

    def draw(self) -> list[str]:
        """Words of a sentence, at least one and at most ``LONGEST``."""
        sentence: list[str] = []
        before = [BEGIN]  # the last words, newest first
        while len(sentence) < LONGEST:
            place = np.searchsorted(self._cumulated, self._random.random(DRAWN))
            place = place.clip(max=len(self._words) - 1)
            weight = [self._log_prob([self._words[i], *before]) for i in place]
            weight = np.array(weight) - self._log_share[place]
            total = np.cumsum(np.exp(weight - weight.max()))
            chosen = place[np.searchsorted(total, self._random.random() * total[-1])]
            word = self._words[chosen]
            if word != END:
                sentence.append(word)
                before = [word, *before[:1]]
            elif sentence:
                break
        return sentence

    def _log_prob(self, newest_first: list[str]) -> float:
        return self._trigram.prob(newest_first) * self._unit


def _asked() -> tuple[object, float]:
    """The word trigram to ask word by word, and the nats that its logarithms are counted in."""
    path = packaged_file(TRIGRAM, WHAT)
    from pocketsphinx import Config, LogMath, NGramModel

    logarithms = LogMath()
    return NGramModel(Config(), logarithms, str(path)), 1 / logarithms.log(math.e)
