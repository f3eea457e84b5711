"""Pruning of a word trigram: which words, pairs and triples the decoder takes over.

Pairs and triples stay that change most, weighted by how often they come (Seymore and Rosenfeld
1996, "Scalable backoff language models"): a triple by how much more likely its last word is than
after the last two words alone; a pair by how much more likely it is than after anything.

The names of the words come along. :func:`with_names` finds them again for words that have none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from speechattn.checks import require
from speechattn.decoder.lm.english import BEGIN, END, LEAST_LOG_PROB, NEVER, WordTrigram
from speechattn.decoder.lm.lexicon import Lexicon
from speechattn.decoder.lm.word_lm import MOST_WORDS, WordNgrams, as_saved
from speechattn.decoder.lm.word_names import OWNER, WordNames
from speechattn.errors import ConfigError, CorpusError

LEAST_REST = 1e-4  # probability that is left for what is no pair or triple


def choose_words(
    trigram: WordTrigram,
    lexicon: Lexicon,
    pairs: int,
    triples: int = 0,
    dictionary: Lexicon | None = None,
) -> WordNgrams:
    """Take over words that both know, and the best pairs and triples of them.

    Args:
        trigram: of words in lower case, with ``<s>`` and ``</s>`` where sentences begin and end.
        lexicon: how words are said; all the ways of one are as likely as the word.
        pairs: how many there may be; a few more if triples need them.
        triples: how many there may be.
        dictionary: which of the ways, the first of each word, are a dictionary's; None for all.

    Raises:
        ConfigError: if a number is out of range.
        CorpusError: if no word is left.
    """
    for name, value in (("pairs", pairs), ("triples", triples)):
        if value < 0:
            raise ConfigError(f"words: {name} is {value}; give 0 or more")
    number = _numbers(trigram, lexicon)
    known = np.argsort(number)[(number < 0).sum() :]  # by their numbers
    if not len(known):
        raise CorpusError("words: none that the lexicon lists; give another lexicon")
    last_pair = _last_pair(trigram)
    chosen_pairs, chosen_triples = _best_of(trigram, number, last_pair, pairs, triples)
    size = len(known)
    # Numbers of what may stand before a word; ``size`` is a sentence's beginning.
    head = number.copy()
    head[trigram.words.index(BEGIN)] = size

    before, second = head[trigram.first[chosen_pairs]], number[trigram.second[chosen_pairs]]
    order = np.lexsort((second, before))
    chosen_pairs, before, second = chosen_pairs[order], before[order], second[order]
    log_pair, log_unigram = trigram.log_pair[chosen_pairs], trigram.log_unigram[known]
    back_off = back_off_weights(before, log_pair, log_unigram[second], size + 1)

    position = np.full(len(trigram.first), -1)  # of each pair among the chosen
    position[chosen_pairs] = np.arange(len(chosen_pairs))
    history, third = position[trigram.pair[chosen_triples]], number[trigram.third[chosen_triples]]
    order = np.lexsort((third, history))
    chosen_triples, history, third = chosen_triples[order], history[order], third[order]
    log_triple = trigram.log_triple[chosen_triples]
    end = np.append(position, -1)[last_pair[chosen_triples]]
    lower = np.where(end < 0, back_off[second[history]] + log_unigram[third], log_pair[end])
    histories, row, followers = np.unique(history, return_inverse=True, return_counts=True)
    variants_of = [list(dict.fromkeys(lexicon.variants[trigram.words[i].upper()])) for i in known]
    ways = [way for variants in variants_of for way in variants]
    names = [trigram.words[i] for i in known]
    listed = _listed(names, variants_of, dictionary or lexicon)
    return as_saved(
        WordNgrams(
            phones=np.concatenate([np.array(way) for way in ways]),
            lengths=np.array([len(way) for way in ways]),
            ways=np.array([len(variants) for variants in variants_of]),
            log_unigram=log_unigram,
            back_off=back_off,
            followers=np.bincount(before, minlength=size + 1),
            second=second,
            log_pair=log_pair,
            histories=histories,
            pair_back_off=back_off_weights(row, log_triple, lower, len(histories)),
            pair_followers=followers,
            third=third,
            log_triple=log_triple,
            silence=lexicon.phones.silence_index,
            names=WordNames.of(names, listed),
        )
    )


def as_trigram(words: WordNgrams) -> WordTrigram:
    """Return the trigram that the decoder's words are: the inverse of :func:`choose_words`.

    Sentences end with the probability that no word has; the decoder itself knows no ends.

    Args:
        words: with names.

    Raises:
        ModelError: if they have no names, or two the same.
    """
    names = words.names.names if words.names is not None else ()
    require(OWNER, len(set(names)) == words.num_words, "they have no names of their own")
    rest = max(1 - float(np.exp(words.log_unigram.astype(np.float64)).sum()), LEAST_REST)
    pair_back_off = np.zeros(len(words.second))
    pair_back_off[words.histories] = words.pair_back_off
    return WordTrigram(
        words=[*names, BEGIN, END],  # the numbers of those that choose_words gave
        log_unigram=np.append(words.log_unigram, [NEVER, np.log(rest)]).astype(np.float64),
        back_off=np.append(words.back_off, 0.0).astype(np.float64),
        first=np.repeat(np.arange(words.num_words + 1), words.followers),
        second=words.second.astype(np.int64),
        log_pair=words.log_pair.astype(np.float64),
        pair_back_off=pair_back_off,
        pair=np.repeat(words.histories.astype(np.int64), words.pair_followers),
        third=words.third.astype(np.int64),
        log_triple=words.log_triple.astype(np.float64),
    )


def with_names(words: WordNgrams, trigram: WordTrigram, dictionary: Lexicon) -> WordNgrams:
    """Find the names of words that :func:`choose_words` once chose, and that were saved without.

    A word is known by the first way to say it, which is the dictionary's, and its frequency.

    Args:
        words: without names; their other values are not changed.
        trigram: that they were chosen from.
        dictionary: how they are said there.

    Raises:
        CorpusError: if they are of another trigram or dictionary.
    """
    number = _numbers(trigram, dictionary)
    known = np.argsort(number)[(number < 0).sum() :]
    saved = trigram.log_unigram.astype(np.float16).astype(np.float32)  # as they are in files
    said_so: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for i in known.tolist():
        said_so[dictionary.variants[trigram.words[i].upper()][0]].append(i)
    ways_of = ways_of_words(words)
    names: list[str] = []
    for ways, log_prob in zip(ways_of, words.log_unigram.tolist()):
        fitting = [
            i
            for i in said_so[ways[0]]
            if saved[i] == log_prob
            and set(dictionary.variants[trigram.words[i].upper()]) <= set(ways)
        ]
        if not fitting:
            raise CorpusError(
                "words: not those of pocketsphinx's trigram and dictionary; train the model again"
            )
        said_so[ways[0]].remove(fitting[0])
        names.append(trigram.words[fitting[0]])
    listed = _listed(names, ways_of, dictionary)
    return replace(words, names=WordNames.of(names, listed))


def ways_of_words(words: WordNgrams) -> list[list[tuple[int, ...]]]:
    """The pronunciations of each word."""
    ends = np.cumsum(words.lengths).tolist()
    phones = words.phones.tolist()
    every = [tuple(phones[end - n : end]) for end, n in zip(ends, words.lengths.tolist())]
    last = np.cumsum(words.ways).tolist()
    return [every[end - n : end] for end, n in zip(last, words.ways.tolist())]


def _listed(
    names: Sequence[str], ways: Sequence[Sequence[tuple[int, ...]]], dictionary: Lexicon
) -> list[int]:
    """How many of the first ways of each word the dictionary has; at least 1."""
    counts = []
    for name, of_word in zip(names, ways):
        known = set(dictionary.variants.get(name.upper(), ()))
        count = next((k for k, way in enumerate(of_word) if way not in known), len(of_word))
        counts.append(max(1, count))
    return counts


def _best_of(
    trigram: WordTrigram, number: np.ndarray, last_pair: np.ndarray, pairs: int, triples: int
) -> tuple[np.ndarray, np.ndarray]:
    """Indices in the trigram of the best pairs, with those that triples begin with, and triples."""
    first, second, third, pair = trigram.first, trigram.second, trigram.third, trigram.pair
    begin, end = (trigram.words.index(name) for name in (BEGIN, END))
    likely = trigram.log_unigram.copy()
    likely[begin] = likely[end]  # as many sentences begin as end
    before = likely[first] + trigram.log_pair  # of a pair
    possible = ((number[first] >= 0) | (first == begin)) & (number[second] >= 0)

    without = trigram.back_off[second[pair]] + trigram.log_unigram[third]
    without = np.where(last_pair < 0, without, trigram.log_pair[last_pair])
    gain = trigram.log_triple - trigram.pair_back_off[pair] - without
    gain *= np.exp(before[pair] + trigram.log_triple)
    kept = _best(gain, possible[pair] & (number[third] >= 0), triples)

    gain = trigram.log_pair - trigram.back_off[first] - trigram.log_unigram[second]
    told = _best(np.exp(before) * gain, possible, pairs)
    return np.union1d(told, pair[kept]), kept


def _numbers(trigram: WordTrigram, lexicon: Lexicon) -> np.ndarray:
    """For each word of the trigram its number among those that are known, or -1.

    The most frequent ones, in the order of how they are said.
    """
    listed = [
        i
        for i, word in enumerate(trigram.words)
        if trigram.log_unigram[i] > LEAST_LOG_PROB and word.upper() in lexicon.variants
    ]
    listed.sort(key=lambda i: (-trigram.log_unigram[i], i))
    known = sorted(
        listed[:MOST_WORDS], key=lambda i: (lexicon.variants[trigram.words[i].upper()], i)
    )
    number = np.full(len(trigram.words), -1)
    number[known] = np.arange(len(known))
    return number


def _last_pair(trigram: WordTrigram) -> np.ndarray:
    """The number of the pair that each triple ends with, -1 where the trigram lacks it."""
    size = len(trigram.words)
    keys = trigram.first * size + trigram.second
    wanted = trigram.second[trigram.pair] * size + trigram.third
    found = np.searchsorted(keys, wanted)
    return np.where(np.append(keys, -1)[found] == wanted, found, -1)


def _best(gain: np.ndarray, possible: np.ndarray, most: int) -> np.ndarray:
    """Where there is most to gain, and anything at all; at most so many places, in order."""
    useful = np.flatnonzero(possible & (gain > 0))
    return np.sort(useful[np.argsort(-gain[useful], kind="stable")[:most]])


def back_off_weights(
    row: np.ndarray, log_prob: np.ndarray, lower: np.ndarray, rows: int
) -> np.ndarray:
    """Log weight of what is known without the words that follow in each row, at most 0.

    Args:
        row: of each that follows.
        log_prob: of it there.
        lower: of it in what is known without.
        rows: how many there are.
    """
    rest = 1 - np.bincount(row, np.exp(log_prob), rows)
    share = 1 - np.bincount(row, np.exp(lower), rows)
    weight = np.log(np.maximum(rest, LEAST_REST) / np.maximum(share, LEAST_REST))
    return np.minimum(weight, 0.0)
