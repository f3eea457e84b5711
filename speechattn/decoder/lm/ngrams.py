"""N-grams of phones of any order, as an automaton that the decoder walks through.

How likely a phone is depends on the up to n - 1 phones before it. A *state* is such a context,
1 to n - 1 phones of which the newest is the one that is being spoken; every single phone is one,
longer ones only where something was learned about them. An *arc* is a phone that was seen after a
context; all others back off to the context without its oldest phone (Katz 1987):

    log p(q | c) = log_prob of the arc (c, q), or else back_off[c] + log p(q | c without its oldest)

Below the single phones lie the frequencies of phones. The state after a phone is the longest end
of context and phone that is a state. There are no marks for the beginning and end of an utterance:
these are :class:`speechattn.decoder.lm.phone_model.PhoneModel`'s.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np

from speechattn.checks import check_names, checked_array, require, within
from speechattn.decoder.lm.saved import computed, restored

LONGEST_ORDER = 10
MOST_CONTEXTS = 2**62  # of one length that can be told apart
OWNER = "phone n-grams"  # in messages
MOST_PHONES = 1 << 16


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
        """Return the tables of a bigram, whose states are the phones.

        Args:
            log_bigram: log probability of each phone (column) after another (row), shape (P, P).
        """
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
        require(OWNER, bool((self.back[:size] == -1).all()), "back of a single phone is not -1")
        ordered = bool((self.oldest[:size] == np.arange(size)).all())
        require(OWNER, ordered, "single phones are not in order")
        key = self.arc_state.astype(np.int64) * size + self.arc_phone
        increasing = bool((np.diff(key) > 0).all())
        require(OWNER, increasing, "an arc is there twice, or arcs are not in order")
        for codes in self._codes():
            distinct = bool((np.diff(np.sort(codes)) > 0).all())
            require(OWNER, distinct, "a context is there twice")

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
        """All states and phones as the decoder reads them; log probabilities are float32."""
        return Tables(**computed(self, "tables", lambda: self._tables()._asdict()))

    def _tables(self) -> Tables:
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
                index = np.searchsorted(codes[level], longer // size, sorter=order)
                source = order[np.minimum(index, len(order) - 1)]
                found = codes[level][source] == longer // size
                target = np.arange(*lengths[level + 1], dtype=np.int32)
                following[start + source[found], (longer % size)[found]] = target[found]
        return Tables(log_prob, following, log_prob.max(axis=1).astype(np.float64))

    def _lengths(self) -> list[tuple[int, int]]:
        """The first state of the contexts of 1, 2 ... phones, and the one after their last."""
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
        """For each length, a number of each context: its phones are the digits, the newest last."""
        codes: list[np.ndarray] = []
        lengths = self._lengths()
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

        ``arcs``, how many leave each state, takes the place of ``arc_state``. What
        :func:`speechattn.decoder.lm.ngram_estimation.estimate_ngrams` gives comes back the same.
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
        return restored(cls, tensors, lambda: cls._read(tensors), (__file__,))

    @classmethod
    def _read(cls, tensors: dict[str, np.ndarray]) -> PhoneNgrams:
        check_names(OWNER, set(tensors), _in_file())
        arcs = checked_array(OWNER, "arcs", tensors["arcs"], None)
        within(OWNER, "arcs", arcs, 0, MOST_PHONES)
        # Checked before an array of that size is made: it may be any.
        shape, expected = np.shape(tensors["arc_phone"]), (int(arcs.sum()),)
        require(OWNER, shape == expected, f"arc_phone has shape {shape}, not {expected}")
        others = {name: values for name, values in tensors.items() if name != "arcs"}
        return cls(**others, arc_state=np.repeat(np.arange(len(arcs)), arcs))


def _in_file() -> set[str]:
    names = {field.name for field in fields(PhoneNgrams)}
    return names - {"arc_state"} | {"arcs"}
