"""Several word trigrams made one: a linear mixture (Jelinek and Mercer 1980).

"Interpolated estimation of Markov source parameters from sparse data". Each pair and triple that
any of them knows gets the weighted mean of its probabilities, so the mixture is exact for these.
What none of them knows falls back on a shorter history, with weights that are computed anew.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

from speechattn.decoder.lm.english import WordTrigram
from speechattn.decoder.lm.pruning import back_off_weights

SUM_TOLERANCE = 1e-6  # of the weights' sum from 1


def mix_trigrams(trigrams: Sequence[WordTrigram], weights: Sequence[float]) -> WordTrigram:
    """Mix the probabilities of trigrams.

    Args:
        trigrams: all of the same words, in the same order.
        weights: of each, at least 0, 1 together. One whose weight is 0 has no part in it.

    Raises:
        ValueError: if the words differ, or the weights are no such weights.
    """
    if len(weights) != len(trigrams) or min(weights) < 0 or abs(sum(weights) - 1) > SUM_TOLERANCE:
        raise ValueError(f"weights are {list(weights)}; {len(trigrams)} from 0 on, 1 together")
    words = trigrams[0].words
    if any(trigram.words != words for trigram in trigrams):
        raise ValueError("the trigrams are not of the same words")
    used = [(t, float(np.log(weight))) for t, weight in zip(trigrams, weights) if weight]
    if len(used) == 1:
        return used[0][0]
    size = len(words)
    log_unigram = np.logaddexp.reduce([t.log_unigram + weight for t, weight in used])

    known = functools.reduce(np.union1d, (_pairs(t) for t, _ in used))
    first, second = known // size, known % size
    log_pair = np.logaddexp.reduce(
        [_pair_value(t, first, second) + weight for t, weight in used],
    )
    back_off = back_off_weights(first, log_pair, log_unigram[second], size)

    triples = functools.reduce(
        np.union1d, (np.searchsorted(known, _pairs(t))[t.pair] * size + t.third for t, _ in used)
    )
    pair, third = triples // size, triples % size
    log_triple = np.logaddexp.reduce(
        [_triple_value(t, first[pair], second[pair], third) + weight for t, weight in used],
    )
    end = _found(known, second[pair] * size + third)
    lower = np.where(end < 0, back_off[second[pair]] + log_unigram[third], log_pair[end])
    return WordTrigram(
        words=words,
        log_unigram=log_unigram,
        back_off=back_off,
        first=first,
        second=second,
        log_pair=log_pair,
        pair_back_off=back_off_weights(pair, log_triple, lower, len(known)),
        pair=pair,
        third=third,
        log_triple=log_triple,
    )


def _pairs(trigram: WordTrigram) -> np.ndarray:
    """A number for each pair of words, in order, shape (D,)."""
    return trigram.first.astype(np.int64) * len(trigram.words) + trigram.second


def _found(keys: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Where each number is among sorted ones, -1 if it is not there, shape of ``wanted``."""
    if not len(keys):
        return np.full(len(wanted), -1)
    place = np.searchsorted(keys, wanted).clip(max=len(keys) - 1)
    return np.where(keys[place] == wanted, place, -1)


def _pair_value(trigram: WordTrigram, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Log probability of each second word after the first one, shape (n,)."""
    place = _found(_pairs(trigram), first * len(trigram.words) + second)
    lower = trigram.back_off[first] + trigram.log_unigram[second]
    return _known_or(trigram.log_pair, place, lower)


def _triple_value(
    trigram: WordTrigram, first: np.ndarray, second: np.ndarray, third: np.ndarray
) -> np.ndarray:
    """Log probability of each third word after the two before it, shape (n,)."""
    size = len(trigram.words)
    pair = _found(_pairs(trigram), first * size + second)
    lower = _pair_value(trigram, second, third)
    lower = lower + _known_or(trigram.pair_back_off, pair, np.zeros(len(pair)))
    keys = trigram.pair.astype(np.int64) * size + trigram.third
    place = np.where(pair < 0, -1, _found(keys, pair * size + third))
    return _known_or(trigram.log_triple, place, lower)


def _known_or(values: np.ndarray, place: np.ndarray, lower: np.ndarray) -> np.ndarray:
    """The values at these places; ``lower`` where a place is -1."""
    return np.where(place < 0, lower, np.append(values, 0.0)[place])
