"""Which words, pairs and triples of a trigram the decoder knows: as many as there is room for.

Those stay that say most beyond what is known without them, weighed by how often they come (Seymore
and Rosenfeld 1996, "Scalable backoff language models"): for a triple, by how much more likely its
last word is than after the last two words alone; for a pair, than after anything.
"""

from __future__ import annotations

import numpy as np

from speechattn.errors import ConfigError, CorpusError
from speechattn.lexicon import Lexicon
from speechattn.trigram import BEGIN, END, LEAST_LOG_PROB, WordTrigram
from speechattn.words import MOST_WORDS, WordNgrams, rounded

LEAST_REST = 1e-4  # probability that is left for what is no pair or triple


def choose_words(
    trigram: WordTrigram, lexicon: Lexicon, pairs: int, triples: int = 0
) -> WordNgrams:
    """Take over words that both know, and the best pairs and triples of them.

    Args:
        trigram: of words in lower case, with ``<s>`` and ``</s>`` where sentences begin and end.
        lexicon: how words are said; all the ways of one are as likely as the word.
        pairs: how many there may be; a few more if triples need them.
        triples: how many there may be.

    Raises:
        ConfigError: if a number is out of range.
        CorpusError: if no word is left.
    """
    for name, value in (("pairs", pairs), ("triples", triples)):
        if value < 0:
            raise ConfigError(f"words: {name} is {value}; give 0 or more")
    number = _numbers(trigram, lexicon)
    known = np.argsort(number)[(number < 0).sum() :]  # of the trigram's words, in order
    size = len(known)
    if not size:
        raise CorpusError("words: none that the lexicon lists; give another lexicon")
    # Of what may be before a word: a number, size for a sentence's beginning, and how likely it is.
    begin, end = (trigram.words.index(name) for name in (BEGIN, END))
    head = number.copy()
    head[begin] = size
    likely = trigram.log_unigram.copy()
    likely[begin] = likely[end]

    first, second, third = trigram.first, trigram.second, trigram.third
    log_pair, log_unigram = trigram.log_pair, trigram.log_unigram
    pair = trigram.pair
    ends = _pair_of(trigram, second[pair], third)  # the pair at the end of each triple, or -1
    behind = np.where(ends < 0, trigram.back_off[second[pair]] + log_unigram[third], log_pair[ends])
    possible = (head[first] >= 0) & (number[second] >= 0)
    gain = trigram.log_triple - trigram.pair_back_off[pair] - behind
    weight = np.exp((likely[first] + log_pair)[pair] + trigram.log_triple)
    kept = _best(weight * gain, possible[pair] & (number[third] >= 0), triples)

    gain = log_pair - trigram.back_off[first] - log_unigram[second]
    chosen = _best(np.exp(likely[first] + log_pair) * gain, possible, pairs)
    chosen = np.union1d(chosen, pair[kept])
    before, after = head[first[chosen]], number[second[chosen]]
    order = np.lexsort((after, before))
    chosen, before, after = chosen[order], before[order], after[order]
    log_prob, unigram = log_pair[chosen], log_unigram[known]
    back_off = _back_off(before, log_prob, unigram[after], size + 1)

    place = np.full(len(first), -1)
    place[chosen] = np.arange(len(chosen))
    history, last = place[pair[kept]], number[third[kept]]
    order = np.lexsort((last, history))
    kept, history, last = kept[order], history[order], last[order]
    lower = place[ends[kept]]
    lower = np.where(
        (ends[kept] < 0) | (lower < 0), back_off[after[history]] + unigram[last], log_prob[lower]
    )
    histories, row, followers = np.unique(history, return_inverse=True, return_counts=True)
    log_triple = trigram.log_triple[kept]
    said = [list(dict.fromkeys(lexicon.variants[trigram.words[i].upper()])) for i in known]
    ways = [way for variants in said for way in variants]
    return rounded(
        WordNgrams(
            np.concatenate([np.array(way) for way in ways]),
            np.array([len(way) for way in ways]),
            np.array([len(variants) for variants in said]),
            unigram,
            back_off,
            np.bincount(before, minlength=size + 1),
            after,
            log_prob,
            histories,
            _back_off(row, log_triple, lower, len(histories)),
            followers,
            last,
            log_triple,
            lexicon.phones.silence_index,
        )
    )


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


def _pair_of(trigram: WordTrigram, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The number of each pair in the trigram, -1 for those that it lacks."""
    size = len(trigram.words)
    keys, wanted = trigram.first * size + trigram.second, first * size + second
    found = np.searchsorted(keys, wanted)
    there = np.append(keys, -1)[found] == wanted
    return np.where(there, found, -1)


def _best(gain: np.ndarray, possible: np.ndarray, most: int) -> np.ndarray:
    """Where there is most to gain, and anything at all; at most so many places, in order."""
    useful = np.flatnonzero(possible & (gain > 0))
    return np.sort(useful[np.argsort(-gain[useful], kind="stable")[:most]])


def _back_off(row: np.ndarray, log_prob: np.ndarray, lower: np.ndarray, rows: int) -> np.ndarray:
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
