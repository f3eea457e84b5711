"""Phone n-grams from counts: of training labels, of text, or of both.

They are estimated by interpolation after Witten and Bell (1991, "The zero-frequency problem", their
method C): after a context that was followed N times by T different phones,

    p(q | c) = (count(c, q) + T p(q | c without its oldest)) / (N + T)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from speechattn.decoder.lm.ngrams import LONGEST_ORDER, PhoneNgrams
from speechattn.errors import ConfigError, CorpusError
from speechattn.segments import FrameSegment

PRUNED_ORDER = 4  # phones; n-grams from here on must have been seen often enough


def count_ngrams(
    sequences: Iterable[Sequence[int]],
    order: int,
    weight: float = 1.0,
    into: Counter | None = None,
) -> Counter:
    """Count all n-grams of 1 to ``order`` phones.

    Args:
        sequences: phones that follow each other.
        order: of the longest n-grams.
        weight: what each counts as, so that sources may be mixed; above 0.
        into: counts to add to, changed; None for new ones.

    Returns:
        N-gram (a tuple of phones) → how often it was seen, times the weight.

    Raises:
        ConfigError: if a setting is out of range.
    """
    _check_order(order)
    if not 0 < weight < float("inf"):
        raise ConfigError(f"phone n-grams: weight is {weight}; give a number above 0")
    counts: Counter = Counter() if into is None else into
    for sequence in sequences:
        phones = tuple(map(int, sequence))
        for end in range(1, len(phones) + 1):
            for start in range(max(0, end - order), end):
                counts[phones[start:end]] += weight  # type: ignore[assignment]  # a weight is no count
    return counts


def neighbours(segments: Iterable[FrameSegment]) -> Iterator[list[int]]:
    """Yield the phones of an utterance in order of time; a gap begins another sequence."""
    phones: list[int] = []
    end = None
    for segment in segments:
        if phones and segment.start != end:
            yield phones
            phones = []
        phones.append(segment.phone)
        end = segment.end
    if phones:
        yield phones


def estimate_ngrams(
    counts: Counter, num_phones: int, order: int, least: float = 2.0
) -> PhoneNgrams:
    """Estimate n-grams by Witten and Bell's interpolation.

    N-grams of 4 phones and more that were counted less than ``least`` times are treated as if
    they had never been seen. Phones never seen count as half an example among the
    frequencies. Log probabilities are rounded to what a model file holds.

    Args:
        counts: n-gram → how often it was seen; with each one all that it contains, as
            :func:`count_ngrams` counts.
        num_phones: P.
        order: of the longest n-grams; longer ones among the counts are left alone.
        least: counts, above 0.

    Raises:
        ConfigError: if a setting is out of range.
        CorpusError: if there is nothing to learn from, or a phone is outside 0 to P - 1.
    """
    rows = _followers(counts, num_phones, order, least)
    often = np.full(num_phones, 0.5)
    often[list(rows[()])] += list(rows[()].values())
    unigram = often / often.sum()

    state: dict[tuple, int] = {}
    back: list[int] = []
    back_off: list[float] = []
    full: list[np.ndarray] = []  # probabilities of all phones in each state
    arcs: list[tuple[int, int, float]] = []  # state, phone, probability
    singles = [(phone,) for phone in range(num_phones)]
    for context in [*singles, *(context for context in rows if len(context) > 1)]:
        shorter = context[1:]
        if shorter and shorter not in state:
            continue
        probability = full[state[shorter]].copy() if shorter else unigram.copy()
        weight = 1.0
        if row := rows.get(context):
            total = sum(row.values()) + len(row)
            weight = len(row) / total
            probability *= weight
            probability[list(row)] += np.array(list(row.values())) / total
            arcs += [(len(back), phone, probability[phone]) for phone in row]
        state[context] = len(back)
        back.append(state[shorter] if shorter else -1)
        back_off.append(weight)
        full.append(probability)
    arc_state, arc_phone, arc_probability = np.array(arcs or np.empty((0, 3))).T
    log_back_off, arc_log_prob, log_unigram = (
        np.log(np.asarray(x, dtype=np.float64)).astype(np.float16)
        for x in (back_off, arc_probability, unigram)
    )
    return PhoneNgrams(
        np.array([context[0] for context in state]),
        np.array(back),
        log_back_off,
        arc_state,
        arc_phone,
        arc_log_prob,
        log_unigram,
    )


def _followers(
    counts: Counter, num_phones: int, order: int, least: float
) -> dict[tuple, dict[int, float]]:
    """Context → the phones after it and how often, shorter contexts first."""
    _check_order(order)
    if not least > 0:
        raise ConfigError(f"phone n-grams: least is {least}; give a number above 0")
    rows: dict[tuple, dict[int, float]] = {}
    for ngram in sorted((g for g in counts if 0 < len(g) <= order), key=lambda g: (len(g), g)):
        if not 0 <= min(ngram) <= max(ngram) < num_phones:
            raise CorpusError(
                f"phone n-grams: {ngram} has a phone outside 0 to {num_phones - 1}; "
                "use the phone set the labels were made with"
            )
        if counts[ngram] >= (least if len(ngram) >= PRUNED_ORDER else 0) and counts[ngram] > 0:
            rows.setdefault(ngram[:-1], {})[ngram[-1]] = float(counts[ngram])
    if () not in rows:
        raise CorpusError("phone n-grams: no phones to learn from; give labelled utterances")
    return rows


def _check_order(order: int) -> None:
    if not 2 <= order <= LONGEST_ORDER:
        raise ConfigError(f"phone n-grams: order is {order}; give 2 to {LONGEST_ORDER}")
