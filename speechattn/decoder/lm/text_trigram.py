"""A word trigram of plain sentences, by interpolated modified Kneser-Ney smoothing.

Source: Chen and Goodman 1999, "An empirical study of smoothing techniques for language modeling".
From each count a little is taken, which depends on whether the count is 1, 2 or more, and given to
what follows the shorter history. What follows a shorter history is not counted by how often it was
there, but by how many words it was there after (Kneser and Ney 1995); at a sentence's beginning,
which has nothing before it, by how often.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from speechattn.decoder.lm.english import BEGIN, END, NEVER, WordTrigram
from speechattn.errors import CorpusError

UNIGRAM_DISCOUNT = 0.5  # of the words that each word was found after
LEAST_DISCOUNT = 0.05
LARGEST_COUNT = 3  # from which on counts have the same discount


def estimate_trigram(sentences: Iterable[Sequence[str]], words: Sequence[str]) -> WordTrigram:
    """Count which words follow each other, and smooth the counts.

    Args:
        sentences: the words of each. One that is not among ``words`` splits its sentence: no pair
            and no triple reaches over it.
        words: V of them, each once, ``<s>`` and ``</s>`` among them.

    Raises:
        CorpusError: if no sentence has any of the words.
    """
    number = {word: index for index, word in enumerate(words)}
    begin, size = number[BEGIN], len(words)
    text = _numbers(sentences, number)
    spoken = text >= 0
    if not (spoken & (text != begin) & (text != number[END])).any():
        raise CorpusError(
            "texts: none of their words is known, or can be pronounced; give texts in the language "
            "of the model"
        )

    together = spoken[:-1] & spoken[1:] & (text[1:] != begin)  # each word with the next
    pairs = text[:-1] * size + text[1:]
    known, times = np.unique(pairs[together], return_counts=True)
    first, second = known // size, known % size
    three = together[:-1] & together[1:]
    place = np.searchsorted(known, pairs[:-1][three])
    triples, counts = np.unique(place * size + text[2:][three], return_counts=True)
    pair, third = triples // size, triples % size

    last = np.searchsorted(known, second[pair] * size + third)  # the pair a triple ends with
    before = np.bincount(last, minlength=len(known)).clip(min=1)  # words before each pair
    log_unigram = _log_unigram(second, begin, size)
    share, weight = _smoothed(first, np.where(first == begin, times, before), size)
    prob = share + weight[first] * np.exp(log_unigram[second])
    triple_share, pair_weight = _smoothed(pair, counts, len(known))
    return WordTrigram(
        words=list(words),
        log_unigram=log_unigram,
        back_off=np.log(weight),
        first=first,
        second=second,
        log_pair=np.log(prob),
        pair_back_off=np.log(pair_weight),
        pair=pair,
        third=third,
        log_triple=np.log(triple_share + pair_weight[pair] * prob[last]),
    )


def _numbers(sentences: Iterable[Sequence[str]], number: dict[str, int]) -> np.ndarray:
    """All sentences one after the other, as numbers of words; -1 for one that is unknown."""
    text: list[int] = []
    for sentence in sentences:
        text.append(number[BEGIN])
        text += [number.get(word, -1) for word in sentence]
        text.append(number[END])
    return np.array(text, np.int64)


def _log_unigram(second: np.ndarray, begin: int, size: int) -> np.ndarray:
    """Log probability of each word by how many words it is found after, shape (V,).

    Args:
        second: last word of each pair, shape (D,).
        begin: number of ``<s>``, which follows nothing.
        size: V.
    """
    found = np.bincount(second, minlength=size).astype(np.float64)
    # Without pairs, where unknown words stand around each known one, all are as likely.
    prob = np.maximum(found - UNIGRAM_DISCOUNT, 0) / max(found.sum(), 1)
    possible = np.arange(size) != begin
    prob[possible] += (1 - prob.sum()) / possible.sum()
    return np.where(possible, np.log(np.maximum(prob, np.exp(NEVER))), NEVER)


def _smoothed(row: np.ndarray, counts: np.ndarray, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """What remains of counts, and the weight of the shorter history.

    Args:
        row: of each count, shape (n,).
        counts: at least 1, shape (n,).
        rows: R, how many there are.

    Returns:
        The share of each count in its row, less its discount, shape (n,), and the share of the
        discounts in each row, shape (R,): 1 in a row without counts.
    """
    once, twice, thrice, more = (
        max(int((counts == k).sum()), 1) for k in range(1, LARGEST_COUNT + 2)
    )
    base = once / (once + 2 * twice)
    discounts = np.array(
        [1 - 2 * base * twice / once, 2 - 3 * base * thrice / twice, 3 - 4 * base * more / thrice]
    ).clip(min=LEAST_DISCOUNT)
    discount = np.minimum(discounts[np.minimum(counts, LARGEST_COUNT) - 1], counts)
    total = np.bincount(row, counts, rows)
    weight = np.where(total > 0, np.bincount(row, discount, rows) / np.maximum(total, 1), 1.0)
    return (counts - discount) / total[row], weight
