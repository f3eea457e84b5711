"""N-grams of phones of any order, as an automaton that the decoder walks through.

How likely a phone is depends on the up to n - 1 phones before it. A *state* is such a context,
1 to n - 1 phones of which the newest is the one that is being spoken; every single phone is one,
longer ones only where something was learned about them. An *arc* is a phone that was seen after a
context; all others back off to the context without its oldest phone (Katz 1987):

    log p(q | c) = log_prob of the arc (c, q), or else back_off[c] + log p(q | c without its oldest)

Below the single phones lie the frequencies of phones. The state after a phone is the longest end
of context and phone that is a state. There are no marks for the beginning and end of an utterance:
these are :class:`speechattn.decoder.lm.phone_model.PhoneModel`'s.

Phone n-grams from counts: of training labels, of text, of both.

They are estimated by interpolation after Witten and Bell (1991, "The zero-frequency problem", their
method C): after a context that was followed N times by T different phones,

    p(q | c) = (count(c, q) + T p(q | c without its oldest)) / (N + T)
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np

from speechattn.checks import check_names, checked_array, require, within
from speechattn.errors import ConfigError, CorpusError
from speechattn.segments import FrameRun

LONGEST_ORDER = 10
MOST_CONTEXTS = 2**62  # of one length that can be told apart
OWNER = "phone n-grams"  # in messages
MOST_PHONES = 1 << 16


LONG = 4  # phones; n-grams from here on must have been seen often enough


class Tables(NamedTuple):
    """What the decoder reads, for S states and P phones.

    Attributes:
        log_prob: of each phone after each state, shape (S, P).
        following: the state then, int32, shape (S, P).
        best: the largest log probability of each state, float64, shape (S,).
    """

    log_prob: np.ndarray
    following: np.ndarray
    best: np.ndarray

    @classmethod
    def of_bigram(cls, log_bigram: np.ndarray) -> Tables:
        """Where the states are the phones; of log probabilities of shape (P, P)."""
        phone = np.arange(len(log_bigram), dtype=np.int32)
        return cls(log_bigram, np.tile(phone, (len(phone), 1)), log_bigram.max(axis=1))


@dataclass(frozen=True, eq=False)
class PhoneNgrams:
    """A back-off automaton of S states and A arcs over P phones.

    States are in order of their lengths; the first P are the single phones, in their own order.

    Attributes:
        oldest: first phone of each context, int32, shape (S,).
        back: state of the context without it, int32, shape (S,); -1 for the single phones.
        back_off: log weight of what ``back`` says of phones without an arc, shape (S,).
        arc_state: state each arc leaves, int32, shape (A,).
        arc_phone: phone it is for, int32, shape (A,); arcs are in order of state and phone.
        arc_log_prob: log probability of that phone in that state, shape (A,).
        log_unigram: log probability of the phones whatever was before, shape (P,).

    Raises:
        ModelError: if shapes disagree, a value is impossible, or the states are no such automaton.
    """

    oldest: np.ndarray
    back: np.ndarray
    back_off: np.ndarray
    arc_state: np.ndarray
    arc_phone: np.ndarray
    arc_log_prob: np.ndarray
    log_unigram: np.ndarray

    def __post_init__(self) -> None:
        highest = {"back_off": 1e4, "arc_log_prob": 0.0, "log_unigram": 0.0}
        for field in fields(self):
            values = getattr(self, field.name)
            values = checked_array(OWNER, field.name, values, highest.get(field.name))
            object.__setattr__(self, field.name, values)
        for name, one, other in (
            ("back", self.back, self.oldest),
            ("back_off", self.back_off, self.oldest),
            ("arc_phone", self.arc_phone, self.arc_state),
            ("arc_log_prob", self.arc_log_prob, self.arc_state),
        ):
            require(
                OWNER, one.shape == other.shape, f"{name} has shape {one.shape}, not {other.shape}"
            )
        size, states = self.num_phones, self.num_states
        require(
            OWNER, 0 < size <= states, f"{states} states cannot be {size} phones and what follows"
        )
        within(OWNER, "oldest", self.oldest, 0, size - 1)
        within(OWNER, "arc_phone", self.arc_phone, 0, size - 1)
        within(OWNER, "arc_state", self.arc_state, 0, states - 1)
        require(OWNER, (self.back[:size] == -1).all(), "back of a single phone is not -1")
        require(
            OWNER, (self.oldest[:size] == np.arange(size)).all(), "single phones are not in order"
        )
        place = self.arc_state.astype(np.int64) * size + self.arc_phone
        require(
            OWNER, (np.diff(place) > 0).all(), "an arc is there twice, or arcs are not in order"
        )
        for level in self._codes():
            require(OWNER, (np.diff(np.sort(level)) > 0).all(), "a context is there twice")

    def __getstate__(self) -> dict:
        """For pickling, without what can be computed again."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def num_phones(self) -> int:
        """P."""
        return len(self.log_unigram)

    @property
    def num_states(self) -> int:
        """S."""
        return len(self.oldest)

    @property
    def num_arcs(self) -> int:
        """A."""
        return len(self.arc_state)

    @property
    def order(self) -> int:
        """The n of the longest n-grams that a state can tell apart, at least 2."""
        return len(self._lengths()) + 1

    @functools.cached_property
    def tables(self) -> Tables:
        """Everything there is to know of each state and phone; log probabilities are float32."""
        size = self.num_phones
        log_prob = np.empty((self.num_states, size), np.float32)
        following = np.empty((self.num_states, size), np.int32)
        codes, lengths = self._codes(), self._lengths()
        ends = np.searchsorted(self.arc_state, [end for _, end in lengths])
        first = 0
        for level, ((start, end), last) in enumerate(zip(lengths, ends)):
            if level == 0:
                log_prob[:end] = self.log_unigram
                following[:end] = np.arange(size)
            else:
                shorter = self.back[start:end]
                log_prob[start:end] = log_prob[shorter]
                following[start:end] = following[shorter]
            log_prob[start:end] += self.back_off[start:end, None]
            arcs = slice(first, last)
            log_prob[self.arc_state[arcs], self.arc_phone[arcs]] = self.arc_log_prob[arcs]
            first = last
            if level + 1 < len(lengths):  # those one phone longer, reached by that phone
                longer = codes[level + 1]
                order = np.argsort(codes[level])
                place = np.searchsorted(codes[level], longer // size, sorter=order)
                source = order[np.minimum(place, len(order) - 1)]
                there = codes[level][source] == longer // size
                target = np.arange(*lengths[level + 1], dtype=np.int32)
                following[start + source[there], (longer % size)[there]] = target[there]
        return Tables(log_prob, following, log_prob.max(axis=1).astype(np.float64))

    def _lengths(self) -> list[tuple[int, int]]:
        """First state, and the one after the last, of contexts of 1, 2 ... phones."""
        size, states = self.num_phones, self.num_states
        lengths = [(0, size)]
        while lengths[-1][1] < states:
            start, end = lengths[-1]
            # The next length ends where a state's back is no longer of this one.
            other = np.flatnonzero((self.back[end:] < start) | (self.back[end:] >= end))
            lengths.append((end, end + int(other[0]) if len(other) else states))
            require(OWNER, lengths[-1][1] > end, "contexts are not in order of their lengths")
            require(OWNER, len(lengths) < LONGEST_ORDER, f"an order above {LONGEST_ORDER}")
        return lengths

    def _codes(self) -> list[np.ndarray]:
        """For each length, a number for each context: its phones are the digits, the newest last."""
        codes, lengths = [], self._lengths()
        size = self.num_phones
        require(
            OWNER,
            size ** len(lengths) < MOST_CONTEXTS,
            f"{size} phones are too many for that order",
        )
        for level, (start, end) in enumerate(lengths):
            code = self.oldest[start:end].astype(np.int64) * size**level
            if level:
                code += codes[-1][self.back[start:end] - lengths[level - 1][0]]
            codes.append(code)
        return codes

    def tensors(self) -> dict[str, np.ndarray]:
        """As compact arrays for a file: float16, int32, and uint8 where phones fit.

        In the place of ``arc_state`` stands ``arcs``, how many leave each state. What :func:`speechattn.decoder.lm.ngrams.estimate_ngrams` gave comes back the same.
        """
        small = np.uint8 if self.num_phones < 256 else np.int32
        types = {"oldest": small, "arc_phone": small, "back": np.int32, "arcs": small}
        arcs = np.bincount(self.arc_state, minlength=self.num_states)
        return {
            name: (arcs if name == "arcs" else getattr(self, name)).astype(
                types.get(name, np.float16)
            )
            for name in _in_file()
        }

    @classmethod
    def from_tensors(cls, tensors: dict[str, np.ndarray]) -> PhoneNgrams:
        """The inverse of :meth:`tensors`.

        Raises:
            ModelError: if one is missing or unknown, or a value is impossible.
        """
        check_names(OWNER, set(tensors), _in_file())
        arcs = checked_array(OWNER, "arcs", tensors["arcs"], None)
        within(OWNER, "arcs", arcs, 0, MOST_PHONES)
        # Before anything of their number is made: it may be any.
        found, right = np.shape(tensors["arc_phone"]), (int(arcs.sum()),)
        require(OWNER, found == right, f"arc_phone has shape {found}, not {right}")
        others = {name: values for name, values in tensors.items() if name != "arcs"}
        return cls(**others, arc_state=np.repeat(np.arange(len(arcs)), arcs))


def _in_file() -> set[str]:
    names = {field.name for field in fields(PhoneNgrams)}
    return names - {"arc_state"} | {"arcs"}


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
    counts = Counter() if into is None else into
    for sequence in sequences:
        phones = tuple(map(int, sequence))
        for end in range(1, len(phones) + 1):
            for start in range(max(0, end - order), end):
                counts[phones[start:end]] += weight
    return counts


def neighbours(runs: Iterable[FrameRun]) -> Iterator[list[int]]:
    """The phones of an utterance's runs, in order of time; a gap begins another sequence."""
    phones: list[int] = []
    end = None
    for run in runs:
        if phones and run.start != end:
            yield phones
            phones = []
        phones.append(run.phone)
        end = run.end
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
        if counts[ngram] >= (least if len(ngram) >= LONG else 0) and counts[ngram] > 0:
            rows.setdefault(ngram[:-1], {})[ngram[-1]] = float(counts[ngram])
    if () not in rows:
        raise CorpusError("phone n-grams: no phones to learn from; give labelled utterances")
    often = np.full(num_phones, 0.5)
    often[list(rows[()])] += list(rows[()].values())
    unigram = often / often.sum()

    state: dict[tuple, int] = {}
    back, back_off, full, arcs = [], [], [], []
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
    oldest = np.array([context[0] for context in state])
    back_off, arc_log_prob, log_unigram = (
        np.log(np.asarray(x, dtype=np.float64)).astype(np.float16)
        for x in (back_off, arc_probability, unigram)
    )
    return PhoneNgrams(oldest, back, back_off, arc_state, arc_phone, arc_log_prob, log_unigram)


def _check_order(order: int) -> None:
    if not 2 <= order <= LONGEST_ORDER:
        raise ConfigError(f"phone n-grams: order is {order}; give 2 to {LONGEST_ORDER}")
