"""US English: the word trigram that the wheel of pocketsphinx carries, and sentences drawn from it.

Its file is a trie by the newest word first, packed in bits (Heafield 2011, "KenLM: faster and
smaller language model queries", in the layout that pocketsphinx writes).

What the decoder knows about the order of phones is counted in training labels, of which there are
few. Sentences drawn from the trigram, pronounced by the dictionary of the same wheel, add to them.
They are drawn by sampling importance resampling (Rubin 1987): of ``DRAWN`` words drawn by their
frequency one is taken, with the weights that the trigram gives them over that frequency.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from speechattn.decoder.lm.lexicon import POCKETSPHINX, Lexicon, packaged_file
from speechattn.errors import ConfigError
from speechattn.phones import PhoneSet
from speechattn.progress import Progress
from speechattn.text import one_line

BEGIN, END = "<s>", "</s>"  # of sentences, among the words
LEAST_LOG_PROB = -25.0  # nats; what is no word has less
NEVER = -99.0  # of what is never said
TRIGRAM, WHAT = "en-us.lm.bin", "language model"  # its file in the wheel, and what it is
HEAD = b"Trie Language Model"
ORDER = 3
TABLE = 1 << 16  # log probabilities that pairs and triples refer to by number
BITS = 16  # of that number
UNIT = math.log(1.0001)  # nats of the file's unit
PADDING = 8  # bytes behind each array of bits
UNIGRAM = np.dtype([("log_prob", "<f4"), ("back_off", "<f4"), ("pairs", "<u4")])

DRAWN = 40  # words drawn for each that is taken
FLATTER = 0.9  # power of a word's frequency when drawing, so that rare words get their turn
PAUSE = 0.06  # share of the gaps between words where there is silence
LONGEST_SENTENCE = 40  # words of a sentence


@dataclass(frozen=True, eq=False)
class WordTrigram:
    """V words, D pairs of them and T triples, with back-off (Katz 1987); log probabilities in nats.

    Attributes:
        words: their names.
        log_unigram: log probability of each, shape (V,).
        back_off: log weight of it after each word, shape (V,).
        first, second: the words of each pair, in order of both, shape (D,).
        log_pair: log probability of the second after the first, shape (D,).
        pair_back_off: log weight of the pairs' probabilities after each pair, shape (D,).
        pair: that each triple begins with, in order, shape (T,).
        third: its last word, in order, shape (T,).
        log_triple: log probability of that word after the pair, shape (T,).
    """

    words: list[str]
    log_unigram: np.ndarray
    back_off: np.ndarray
    first: np.ndarray
    second: np.ndarray
    log_pair: np.ndarray
    pair_back_off: np.ndarray
    pair: np.ndarray
    third: np.ndarray
    log_triple: np.ndarray

    def log_prob(self, words: np.ndarray, before: Sequence[int]) -> np.ndarray:
        """Log probability of each of some words after others.

        Args:
            words: indices, shape (n,).
            before: indices of the one or two words before, in order.
        """
        newest = before[-1]
        row = _row(self.first, newest)
        lower = self.log_unigram[words] + self.back_off[newest]
        value = _looked_up(words, self.second[row], self.log_pair[row], lower)
        if len(before) > 1:
            row = _row(self.first, before[0])
            pair = row.start + np.searchsorted(self.second[row], newest)
            if pair < row.stop and self.second[pair] == newest:
                row, lower = _row(self.pair, pair), value + self.pair_back_off[pair]
                value = _looked_up(words, self.third[row], self.log_triple[row], lower)
        return value


def _row(keys: np.ndarray, key: int) -> slice:
    """Where a key is among sorted ones."""
    return slice(*np.searchsorted(keys, [key, key + 1]))


def _looked_up(
    words: np.ndarray, known: np.ndarray, log_prob: np.ndarray, lower: np.ndarray
) -> np.ndarray:
    """Log probabilities of words that are among the known ones, which are sorted, or else lower."""
    if not len(known):
        return lower
    index = np.searchsorted(known, words).clip(max=len(known) - 1)
    return np.where(known[index] == words, log_prob[index], lower)


def read_trigram(path: Path) -> WordTrigram:
    """Read a trigram as pocketsphinx keeps it.

    Raises:
        ConfigError: if the file cannot be read or is something else.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{one_line(path)}: cannot be read ({error.strerror})") from None
    try:
        return _parsed(_Bytes(data))
    except (ValueError, IndexError, UnicodeDecodeError):
        raise ConfigError(
            f"{one_line(path)}: is no word trigram of pocketsphinx; install that package again"
        ) from None


class _Bytes:
    """A file, read from its beginning on."""

    def __init__(self, data: bytes) -> None:
        self._data, self._position = data, 0

    def take(self, dtype: npt.DTypeLike, count: int) -> np.ndarray:
        """Read so many values; raise ValueError if there are fewer."""
        values = np.frombuffer(self._data, dtype, count, self._position)
        self._position += values.nbytes
        return values

    def rest(self) -> bytes:
        return self._data[self._position :]


def _parsed(data: _Bytes) -> WordTrigram:
    if data.take(np.uint8, len(HEAD)).tobytes() != HEAD or data.take(np.uint8, 1)[0] != ORDER:
        raise ValueError
    num_words, num_pairs, num_triples = data.take("<u4", ORDER).tolist()
    data.take("<u4", 1)  # once a choice, now always 16 bits
    log_pair, pair_back_off, log_triple = (
        UNIT * data.take("<f4", TABLE).astype(np.float64) for _ in range(3)
    )
    unigrams = data.take(UNIGRAM, num_words + 1)
    word, pointer = num_words.bit_length(), num_triples.bit_length()
    # Of pairs: the first word, the numbers of back-off and probability, the first triple.
    first, back, prob, begin = _fields(data, num_pairs, (word, BITS, BITS, pointer))
    # Of triples: the first word, the number of the probability.
    oldest, number = _fields(data, num_triples, (word, BITS))
    names = data.rest()[4:].decode().split("\0")  # behind their length
    of_words = unigrams["pairs"].astype(np.int64)
    of_pairs = begin[: of_words[-1] + 1]
    if of_words[0] or of_pairs[0] or len(names) < num_words:
        raise ValueError
    if of_words[-1] > num_pairs or of_pairs[-1] > num_triples:
        raise ValueError
    num_pairs, num_triples = int(of_words[-1]), int(of_pairs[-1])  # there is room for more
    first, oldest = first[:num_pairs], oldest[:num_triples]
    second = np.repeat(np.arange(num_words), np.diff(of_words))  # ValueError for a step back
    third, middle = (np.repeat(x, np.diff(of_pairs)) for x in (second, first))
    order = np.lexsort((second, first))
    place = np.searchsorted((first * num_words + second)[order], oldest * num_words + middle)
    found = order[place.clip(max=num_pairs - 1)]
    if not ((first[found] == oldest) & (second[found] == middle)).all() or (
        first.max(initial=0) >= num_words
    ):
        raise ValueError  # a triple whose first pair is none, a pair whose first word is none
    by_pair = np.lexsort((third, place))
    return WordTrigram(
        names[:num_words],
        UNIT * unigrams["log_prob"][:num_words].astype(np.float64),
        UNIT * unigrams["back_off"][:num_words].astype(np.float64),
        first[order],
        second[order],
        log_pair[prob[:num_pairs]][order],
        pair_back_off[back[:num_pairs]][order],
        place[by_pair],
        third[by_pair],
        log_triple[number[:num_triples]][by_pair],
    )


def _fields(data: _Bytes, count: int, widths: tuple[int, ...]) -> list[np.ndarray]:
    """Whole numbers of so many bits one after the other, for each of ``count`` + 1 entries."""
    total = sum(widths)
    size = ((1 + count) * total + 7) // 8 + PADDING
    raw = data.take(np.uint8, size)
    fields, begin = [], 0
    for width in widths:
        bit = np.arange(count + 1) * total + begin
        at = bit >> 3
        value = sum(raw[at + i].astype(np.uint64) << np.uint64(8 * i) for i in range(5))
        value = value >> (bit & 7).astype(np.uint64)
        fields.append((value & np.uint64((1 << width) - 1)).astype(np.int64))
        begin += width
    return fields


def english_lexicon(phones: PhoneSet) -> Lexicon:
    """Return the words that sentences are made of, with their pronunciations.

    Args:
        phones: ARPAbet, as the dictionary has it.

    Raises:
        ConfigError: if the set lacks a phone of the dictionary.
        UsageError: if pocketsphinx is not installed.
    """
    return Lexicon([POCKETSPHINX], phones)


def english_trigram() -> WordTrigram:
    """Read the trigram of US English.

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
    trigram = english_trigram()
    sentences = _Sentences(trigram, [*map(str.lower, lexicon.words), END], random)
    with Progress("English sentences", words, unit="word") as progress:
        while progress.done < words:
            sentence = [trigram.words[index] for index in sentences.draw()]
            labels = [phones.silence_index]
            for word in sentence:
                labels += lexicon.draw(word, random)
                if random.random() < PAUSE:
                    labels.append(phones.silence_index)
            if labels[-1] != phones.silence_index:
                labels.append(phones.silence_index)
            progress.update(len(sentence))
            yield sentence, labels


class _Sentences:
    """Draws one sentence after another.

    Args:
        trigram: which words follow each other.
        words: that may be drawn; those that the trigram lacks are left out.
        random: where the randomness comes from.
    """

    def __init__(self, trigram: WordTrigram, words: list[str], random: np.random.Generator) -> None:
        self._trigram, self._random = trigram, random
        number = {word: index for index, word in enumerate(trigram.words)}
        self._begin, self._end = number[BEGIN], number[END]
        known = np.array([number[word] for word in words if word in number])
        self._words = known[trigram.log_unigram[known] > LEAST_LOG_PROB]
        share = np.exp(FLATTER * trigram.log_unigram[self._words])
        share /= share.sum()
        self._cumulated, self._log_share = np.cumsum(share), np.log(share)

    def draw(self) -> list[int]:
        """Indices of the words of a sentence, at least one and at most ``LONGEST_SENTENCE``."""
        sentence: list[int] = []
        before = [self._begin]
        while len(sentence) < LONGEST_SENTENCE:
            drawn = np.searchsorted(self._cumulated, self._random.random(DRAWN))
            drawn = drawn.clip(max=len(self._words) - 1)
            words = self._words[drawn]
            weight = self._trigram.log_prob(words, before) - self._log_share[drawn]
            total = np.cumsum(np.exp(weight - weight.max()))
            word = int(words[np.searchsorted(total, self._random.random() * total[-1])])
            if word != self._end:
                sentence.append(word)
                before = [before[-1], word]
            elif sentence:
                break
        return sentence
