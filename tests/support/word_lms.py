"""Small sets of words, and what a decoder that knows them should make of a string of phones."""

from __future__ import annotations

import functools
from types import SimpleNamespace

import numpy as np

from speechattn.decoder.lm.english import WordTrigram
from speechattn.decoder.lm.phone_model import PhoneModel
from speechattn.decoder.lm.word_lm import WordNgrams

SILENCE = 0


def random_words(rng: np.random.Generator, num_phones: int, num_words: int = 5) -> WordNgrams:
    """Words of one to three phones, homophones and several pronunciations among them."""
    ways = rng.integers(1, 3, num_words)
    lengths = rng.integers(1, 4, ways.sum())
    phones = rng.integers(1, num_phones, lengths.sum())
    there = rng.random((num_words + 1, num_words)) < 0.3
    pairs = int(there.sum())
    more = rng.random((pairs, num_words)) < 0.2
    histories = np.flatnonzero(more.any(1))
    return WordNgrams(
        phones,
        lengths,
        ways,
        -rng.uniform(0.5, 4, num_words),
        -rng.uniform(0.1, 2, num_words + 1),
        there.sum(1),
        np.nonzero(there)[1],
        -rng.uniform(0.1, 3, pairs),
        histories,
        -rng.uniform(0.1, 2, len(histories)),
        more.sum(1)[histories],
        np.nonzero(more)[1],
        -rng.uniform(0.1, 3, more.sum()),
        SILENCE,
    )


def small_lexicon(phones: object) -> SimpleNamespace:
    """Five words, one of them said in two ways, for phones of which 0 is silence."""
    variants = {"A": [(1,), (2,)], "B": [(2, 3)], "C": [(3, 3)], "D": [(1, 2)], "E": [(3,)]}
    return SimpleNamespace(phones=phones, variants=variants)


def small_trigram() -> WordTrigram:
    """Of a to d, in any order, x, which no lexicon lists, and z, which is no word."""
    names = ["</s>", "<s>", "d", "a", "b", "c", "x", "z"]
    log_unigram = np.log([0.2, 1e-30, 0.05, 0.3, 0.25, 0.1, 0.1, 1e-30])
    pairs = {
        ("<s>", "a"): (0.6, 0.3),
        ("d", "a"): (0.4, 1.0),
        ("a", "d"): (0.06, 1.0),
        ("a", "b"): (0.5, 0.4),
        ("a", "x"): (0.2, 1.0),
        ("b", "a"): (0.2, 1.0),
        ("b", "c"): (0.7, 0.8),
        ("c", "</s>"): (0.9, 1.0),
    }
    triples = {
        ("<s>", "a", "b"): 0.9,
        ("<s>", "a", "c"): 0.05,
        ("a", "b", "c"): 0.95,
        ("a", "b", "x"): 0.01,
        ("b", "c", "</s>"): 0.99,
        ("b", "c", "d"): 0.005,
    }
    number = {name: i for i, name in enumerate(names)}
    told = sorted(tuple(number[w] for w in pair) for pair in pairs)
    place = {pair: i for i, pair in enumerate(told)}
    prob = {tuple(number[w] for w in pair): values for pair, values in pairs.items()}
    three = sorted((place[number[a], number[b]], number[c], p) for (a, b, c), p in triples.items())
    pair, third, log_triple = (np.array(x) for x in zip(*three))
    back_off = np.array([0.0, 0.5, 0.7, 0.3, 0.2, 0.1, 0.0, 0.0])
    return WordTrigram(
        names,
        log_unigram,
        np.log(np.maximum(back_off, 1e-9)),
        *np.array(told).T,
        np.log([prob[p][0] for p in told]),
        np.log([prob[p][1] for p in told]),
        pair,
        third,
        np.log(log_triple),
    )


def said_as(words: WordNgrams) -> list[list[tuple[int, ...]]]:
    """The pronunciations of each word."""
    ends = np.cumsum(words.lengths).tolist()
    every = [
        tuple(words.phones[end - n : end].tolist()) for end, n in zip(ends, words.lengths.tolist())
    ]
    last = np.cumsum(words.ways).tolist()
    return [every[end - n : end] for end, n in zip(last, words.ways.tolist())]


def pairs_of(words: WordNgrams) -> dict[tuple[int, int], float]:
    """First word (their number: a sentence's beginning) and second → log probability."""
    first = np.repeat(np.arange(words.num_words + 1), words.followers).tolist()
    return dict(zip(zip(first, words.second.tolist()), words.log_pair.tolist()))


def triples_of(words: WordNgrams) -> dict[tuple[int, int, int], float]:
    """Three words → log probability of the last."""
    pairs = list(pairs_of(words))
    begin = [pairs[i] for i in np.repeat(words.histories, words.pair_followers).tolist()]
    triples = [(*pair, last) for pair, last in zip(begin, words.third.tolist())]
    return dict(zip(triples, words.log_triple.tolist()))


class Follow:
    """What may follow what was said, told by the last words that anything is known to follow.

    A *history* is a pair of words, one word, or nothing; ``size`` is a sentence's beginning.
    """

    def __init__(self, words: WordNgrams):
        self.size = words.num_words
        self.words, self.pairs, self.triples = words, pairs_of(words), triples_of(words)
        begin = [list(self.pairs)[i] for i in words.histories.tolist()]
        self.after_pair = dict(zip(begin, words.pair_back_off.tolist()))
        self.sentence = (self.size,)

    def known(self, said: tuple[int, ...]) -> tuple[int, ...]:
        """The longest end of what was said that is a history."""
        pair, word = said[-2:], said[-1:]
        if pair in self.after_pair:
            return pair
        return word if word and self.words.followers[word[0]] else ()

    def next(self, history: tuple[int, ...]) -> list[tuple[int, float, tuple[int, ...]]]:
        """Words with their log probabilities and the histories then, without falling back."""
        if not history:
            every = enumerate(self.words.log_unigram.tolist())
            return [(w, score, self.known((w,))) for w, score in every]
        table = self.pairs if len(history) == 1 else self.triples
        return [
            (told[-1], score, self.known(self._told(told)))
            for told, score in table.items()
            if told[:-1] == history
        ]

    def _told(self, told: tuple[int, ...]) -> tuple[int, ...]:
        return told[-2:] if told[-2:] in self.pairs else told[-1:]

    def fall(self, history: tuple[int, ...]) -> tuple[float, tuple[int, ...]]:
        """The log weight of what is known without the oldest word, and that history."""
        if len(history) == 2:
            return self.after_pair[history], self.known(history[1:])
        return float(self.words.back_off[history[0]]), ()


def best_reading(model: PhoneModel, options, phones: list[int], follows) -> float:
    """Log score of a string of phones: of the best way to read it as words, pauses and spelling.

    Args:
        model: with words.
        options: of the decoder.
        phones: from the beginning of a recording; it may end within a word.
        follows: gives the n-grams' log probability of the last of some phones after the others.
    """
    words, follow = model.words, Follow(model.words)
    ways = said_as(words)
    price = options.word_scale * options.unknown_word

    @functools.cache  # or the readings of an unlucky string would take for ever
    def words_from(i, history):
        """Best score of phones[i:] if a word begins there."""
        rest = tuple(phones[i:])
        best = -np.inf
        for word, score, then in follow.next(history):
            entered = options.word_scale * score
            for way in ways[word]:
                if rest[: len(way)] == way:
                    best = max(best, entered + after_word(i + len(way), then))
                elif way[: len(rest)] == rest:  # the recording ends within it
                    best = max(best, entered)
        if history:
            weight, shorter = follow.fall(history)
            best = max(best, options.word_scale * weight + words_from(i, shorter))
        return best

    @functools.cache
    def after_word(i, history):
        if i == len(phones):
            return 0.0
        out, left = 0.0, history
        while left:
            weight, left = follow.fall(left)
            out += options.word_scale * weight
        paid = 0.0 if phones[i] == SILENCE else price
        return max(words_from(i, history), out - paid + spelled(i, i - 1))

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
        best = max(spelled(i, begin) - paid, words_from(i, ()))
        return max(best, words_from(i, follow.sentence)) if silent else best

    initial = options.bigram_scale * model.log_initial[phones[0]]
    paid = 0.0 if phones[0] == SILENCE else price
    return max(
        initial - paid + after_spelled(1, 0),
        words_from(0, ()),
        words_from(0, follow.sentence),
    )
