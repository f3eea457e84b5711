"""N-grams of graphones, counted and smoothed.

The smoothing is modified Kneser-Ney, interpolated (Chen and Goodman 1998, "An empirical study of
smoothing techniques for language modeling").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

NEVER = -99.0  # log probability of the beginning, which nothing precedes


@dataclass
class Order:
    """The n-grams of one length, sorted by their history and then by their last token.

    Attributes:
        history: number of the n-gram without its last token, among those that are one shorter.
        token: the last one.
        suffix: number of the n-gram without its first token, among those that are one shorter.
        log_prob: of the token after the history, natural logarithm.
        back_off: log weight of shorter histories where this n-gram is the history; 0 if it is not.
    """

    history: np.ndarray
    token: np.ndarray
    suffix: np.ndarray
    log_prob: np.ndarray
    back_off: np.ndarray

    def __len__(self) -> int:
        return len(self.token)


def estimate(sequences: Sequence[Sequence[int]], begin: int, end: int, order: int) -> list[Order]:
    """Count and smooth the n-grams of some sequences.

    Args:
        sequences: of tokens, without their borders.
        begin: token that stands before each; the greatest but one.
        end: token that stands behind each; the greatest.
        order: length of the longest n-grams.

    Returns:
        The n-grams of length 1, 2 and so on. Of length 1 there is one for every token.
    """
    stream = np.concatenate([np.array([begin, *sequence, end]) for sequence in sequences])
    lengths = np.array([len(sequence) + 2 for sequence in sequences])
    starts = np.repeat(np.cumsum(lengths) - lengths, lengths)
    depth = np.arange(len(stream)) - starts  # how many tokens of its sequence stand before each
    size = end + 1
    orders: list[Order] = []
    raw: list[np.ndarray] = []  # how often each n-gram occurs
    ids = stream  # number of the n-gram that ends at each place, where there is one
    for n in range(1, order + 1):
        if n == 1:
            counts = np.bincount(stream, minlength=size)
            nothing = np.zeros(size, dtype=np.int64)
            orders.append(Order(nothing, np.arange(size), nothing, np.empty(0), np.empty(0)))
        else:
            places = np.flatnonzero(depth >= n - 1)
            keys = ids[places - 1] * size + stream[places]
            found, first, inverse, counts = np.unique(
                keys, return_index=True, return_inverse=True, return_counts=True
            )
            suffix = ids[places[first]]
            orders.append(Order(found // size, found % size, suffix, np.empty(0), np.empty(0)))
            ids = np.full(len(stream), -1)
            ids[places] = inverse
        raw.append(counts)
    for n in range(order):
        lower = orders[n - 1] if n else None
        counts = raw[n]
        if n + 1 < order:
            # Of shorter n-grams it counts after how many tokens they occur; what begins a sequence
            # occurs after none.
            left = np.bincount(orders[n + 1].suffix, minlength=len(counts))
            counts = np.where(_begins(orders, n, begin), counts, left)
        _smooth(orders[n], lower, counts, size, begin)
        if lower is not None:
            # The weight of shorter histories belongs to the history.
            lower.back_off = _weights(orders[n], counts, len(lower))
        orders[n].back_off = np.zeros(len(counts))
    return orders


def _begins(orders: Sequence[Order], n: int, begin: int) -> np.ndarray:
    """Which n-grams begin with the token of the beginning; ``n`` counts from 0."""
    place = np.arange(len(orders[n]))
    for shorter in range(n, 0, -1):
        place = orders[shorter].history[place]
    return orders[0].token[place] == begin


def _discounts(counts: np.ndarray) -> np.ndarray:
    """What is taken from counts of 0, 1, 2 and 3 or more."""
    of = [int((counts == k).sum()) for k in range(1, 5)]
    share = of[0] / max(of[0] + 2 * of[1], 1)
    taken = [k + 1 - (k + 2) * share * of[k + 1] / max(of[k], 1) for k in range(3)]
    return np.array([0.0, *(min(max(value, 0.0), k + 1.0) for k, value in enumerate(taken))])


def _smooth(order: Order, lower: Order | None, counts: np.ndarray, size: int, begin: int) -> None:
    """Set the log probabilities of an order from its counts and the order below."""
    if lower is None:
        counts = np.where(np.arange(size) == begin, 0, counts)
        taken = _discounts(counts)[np.minimum(counts, 3)]
        total = counts.sum()
        spare = taken.sum() / total / (size - 1)
        probability = np.maximum(counts - taken, 0) / total + spare
        probability[begin] = 1.0
        order.log_prob = np.log(probability)
        order.log_prob[begin] = NEVER
        return
    totals = np.bincount(order.history, counts, len(lower))
    taken = _discounts(counts)[np.minimum(counts, 3)]
    weights = np.exp(_weights(order, counts, len(lower)))
    shorter = np.exp(lower.log_prob[order.suffix])
    share = np.maximum(counts - taken, 0) / totals[order.history]
    order.log_prob = np.log(share + weights[order.history] * shorter)


def _weights(order: Order, counts: np.ndarray, histories: int) -> np.ndarray:
    """Log weight that each history leaves to shorter ones; 0 for what is no history."""
    totals = np.bincount(order.history, counts, histories)
    taken = _discounts(counts)[np.minimum(counts, 3)]
    spare = np.bincount(order.history, taken, histories)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(totals > 0, np.log(np.maximum(spare / totals, 1e-9)), 0.0)
