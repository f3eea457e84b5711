"""Small sets of words, and what a decoder that knows them should make of a string of phones."""

from __future__ import annotations

import functools

import numpy as np

from speechattn.phonemodel import PhoneModel
from speechattn.words import WordBigrams

SILENCE = 0


def random_words(rng: np.random.Generator, num_phones: int, num_words: int = 5) -> WordBigrams:
    """Words of one to three phones, homophones and several pronunciations among them."""
    ways = rng.integers(1, 3, num_words)
    lengths = rng.integers(1, 4, ways.sum())
    phones = rng.integers(1, num_phones, lengths.sum())
    there = rng.random((num_words + 1, num_words)) < 0.3
    pairs = int(there.sum())
    return WordBigrams(
        phones,
        lengths,
        ways,
        -rng.uniform(0.5, 4, num_words),
        -rng.uniform(0.1, 2, num_words + 1),
        there.sum(1),
        np.nonzero(there)[1],
        -rng.uniform(0.1, 3, pairs),
        SILENCE,
    )


def said_as(words: WordBigrams) -> list[list[tuple[int, ...]]]:
    """The pronunciations of each word."""
    ends = np.cumsum(words.lengths).tolist()
    every = [
        tuple(words.phones[end - n : end].tolist()) for end, n in zip(ends, words.lengths.tolist())
    ]
    last = np.cumsum(words.ways).tolist()
    return [every[end - n : end] for end, n in zip(last, words.ways.tolist())]


def pairs_of(words: WordBigrams) -> dict[tuple[int, int], float]:
    """First word (their number: a sentence's beginning) and second → log probability."""
    first = np.repeat(np.arange(words.num_words + 1), words.followers).tolist()
    return dict(zip(zip(first, words.second.tolist()), words.log_pair.tolist()))


def best_reading(model: PhoneModel, options, phones: list[int], follows) -> float:
    """Log score of a string of phones: of the best way to read it as words, pauses and spelling.

    Args:
        model: with words.
        options: of the decoder.
        phones: from the beginning of a recording; it may end within a word.
        follows: gives the n-grams' log probability of the last of some phones after the others.
    """
    words, size = model.words, model.words.num_words
    ways, pairs = said_as(words), pairs_of(words)
    price = options.word_scale * options.unknown_word

    def words_from(i, cost):
        """Best score of phones[i:] if a word begins there; ``cost`` gives that of each."""
        rest = tuple(phones[i:])
        best = -np.inf
        for word in range(size):
            for way in ways[word]:
                entered = options.word_scale * cost(word)
                if rest[: len(way)] == way:
                    best = max(best, entered + after_word(i + len(way), word))
                elif way[: len(rest)] == rest:  # the recording ends within it
                    best = max(best, entered)
        return best

    def after(first):
        fallback = float(words.back_off[first])
        if not words.followers[first] and first != size:
            fallback = 0.0

        def cost(word):
            back = fallback + float(words.log_unigram[word])
            return max(pairs.get((first, word), -np.inf), back)

        return fallback, cost

    def any_word(word):
        return float(words.log_unigram[word])

    @functools.cache  # or the readings of an unlucky string would take for ever
    def after_word(i, word):
        if i == len(phones):
            return 0.0
        fallback, cost = after(word)
        out = options.word_scale * fallback
        paid = 0.0 if phones[i] == SILENCE else price
        return max(words_from(i, cost), out - paid + spelled(i, i - 1))

    @functools.cache
    def spelled(i, begin):
        """Of phones[i:] if phones[i] is spelled, with phones from ``begin`` before it."""
        value = follows(model, phones[begin : i + 1])
        return options.bigram_scale * value + after_spelled(i + 1, begin)

    @functools.cache
    def after_spelled(i, begin):
        if i == len(phones):
            return 0.0
        silent = phones[i - 1] == SILENCE
        paid = price if silent and phones[i] != SILENCE else 0.0
        best = max(spelled(i, begin) - paid, words_from(i, any_word))
        return max(best, words_from(i, after(size)[1])) if silent else best

    initial = options.bigram_scale * model.log_initial[phones[0]]
    paid = 0.0 if phones[0] == SILENCE else price
    return max(
        initial - paid + after_spelled(1, 0),
        words_from(0, any_word),
        words_from(0, after(size)[1]),
    )
