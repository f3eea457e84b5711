"""Words of the decoder: their pronunciations and their trigram.

The trigram has back-off (Katz 1987): its value is the log probability of a known triple, or
``pair_back_off`` of the two words before and the value of the last pair, or else ``back_off`` of
the word before and ``log_unigram`` of this one. Words are numbers here: the search writes phones,
and words only say which ones belong together. Their names may stand beside them
(:mod:`speechattn.decoder.lm.word_names`). :mod:`speechattn.decoder.lm.word_network` makes an
automaton of pronunciations and trigram.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from speechattn.checks import check_names, checked_array, require, within
from speechattn.decoder.lm.saved import computed, restored
from speechattn.decoder.lm.word_names import OWNER, WordNames
from speechattn.decoder.lm.word_network import Network, word_network

LONGEST_WORD = 60  # phones
MOST_WORDS = 1 << 16  # so that numbers of words take two bytes
NAMES = "names."  # beginning of the names of arrays in a file that WordNames has
LOG_PROBS = ("log_unigram", "back_off", "log_pair", "pair_back_off", "log_triple")
# The large arrays: in a file they are whole numbers of 8 bits, in steps of STEP nats.
COARSE, STEP = ("log_pair", "log_triple"), 1 / 16


@dataclass(frozen=True, eq=False)
class WordNgrams:
    """Q pronunciations of V words, D pairs of words, and T triples that begin with R of the pairs.

    Attributes:
        phones: of all pronunciations, one after the other, int32.
        lengths: phones of each pronunciation, int32, shape (Q,); those of a word lie together.
        ways: pronunciations of each word, at least 1, int32, shape (V,).
        log_unigram: log probability of each word whatever was before, shape (V,).
        back_off: log weight of that after each word, and last at a sentence's beginning, shape
            (V + 1,).
        followers: pairs that begin with each word, and last those at a sentence's beginning,
            int32, shape (V + 1,).
        second: their second words, in order, int32, shape (D,).
        log_pair: log probability of each second word after the first, shape (D,).
        histories: the pairs that triples begin with, in order, int32, shape (R,).
        pair_back_off: log weight of the pairs' probabilities after each of these, shape (R,).
        pair_followers: triples that begin with each of these, at least 1, int32, shape (R,).
        third: their last words, in order, int32, shape (T,).
        log_triple: log probability of each last word after the pair, shape (T,).
        silence: class of pauses, which lie between words and in none of them.
        names: how the words are written; None where that is not known, as in models of formats up
            to 7.

    Raises:
        ModelError: if shapes disagree or a value is impossible.
    """

    phones: np.ndarray
    lengths: np.ndarray
    ways: np.ndarray
    log_unigram: np.ndarray
    back_off: np.ndarray
    followers: np.ndarray
    second: np.ndarray
    log_pair: np.ndarray
    histories: np.ndarray
    pair_back_off: np.ndarray
    pair_followers: np.ndarray
    third: np.ndarray
    log_triple: np.ndarray
    silence: int
    names: WordNames | None = None

    def __post_init__(self) -> None:
        for name in _arrays():
            highest = 0.0 if name in LOG_PROBS else None
            values = checked_array(OWNER, name, getattr(self, name), highest)
            object.__setattr__(self, name, values)
        size, rows = len(self.ways), len(self.histories)
        for name, found, right in (
            ("phones", len(self.phones), int(self.lengths.sum())),
            ("lengths", len(self.lengths), int(self.ways.sum())),
            ("log_unigram", len(self.log_unigram), size),
            ("back_off", len(self.back_off), size + 1),
            ("followers", len(self.followers), size + 1),
            ("second", len(self.second), int(self.followers.sum())),
            ("log_pair", len(self.log_pair), len(self.second)),
            ("pair_back_off", len(self.pair_back_off), rows),
            ("pair_followers", len(self.pair_followers), rows),
            ("third", len(self.third), int(self.pair_followers.sum())),
            ("log_triple", len(self.log_triple), len(self.third)),
        ):
            require(OWNER, found == right, f"{name} has {found} values, not {right}")
        require(OWNER, 0 < size <= MOST_WORDS, f"there are {size}, not 1 to {MOST_WORDS}")
        within(OWNER, "ways", self.ways, 1, len(self.lengths))
        within(OWNER, "lengths", self.lengths, 1, LONGEST_WORD)
        within(OWNER, "phones", self.phones, 0, 2**31 - 1)
        require(OWNER, self.silence not in self.phones, f"silence, {self.silence}, lies in a word")
        within(OWNER, "followers", self.followers, 0, size)
        within(OWNER, "second", self.second, 0, size - 1)
        within(OWNER, "histories", self.histories, 0, len(self.second) - 1)
        within(OWNER, "pair_followers", self.pair_followers, 1, size)
        within(OWNER, "third", self.third, 0, size - 1)
        for what, row, last in (
            ("pair", np.repeat(np.arange(size + 1), self.followers), self.second),
            ("history", self.histories, np.zeros(rows, np.int64)),
            ("triple", np.repeat(np.arange(rows), self.pair_followers), self.third),
        ):
            steps = np.diff(row.astype(np.int64) * size + last)
            require(OWNER, bool((steps > 0).all()), f"a {what} is there twice, or out of order")
        if self.names is not None:
            listed = self.names.listed
            require(OWNER, len(listed) == size, f"there are {len(listed)} names, not {size}")
            few = bool((listed <= self.ways).all())
            require(OWNER, few, "a word has more pronunciations listed than it has in all")

    def __getstate__(self) -> dict:
        """For pickling, without what can be computed again."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def num_words(self) -> int:
        """V."""
        return len(self.ways)

    @functools.cached_property
    def network(self) -> Network:
        """All pronunciations of all words, as the decoder walks through them."""
        return Network(**{name: self._computed[name] for name in Network._fields})

    @functools.cached_property
    def most_jumps(self) -> int:
        """The most jumps that leave a state of the network."""
        return int(self._computed["most_jumps"][0])

    @functools.cached_property
    def _computed(self) -> dict[str, np.ndarray]:
        def compute() -> dict[str, np.ndarray]:
            network = word_network(self)
            most = np.diff(network.jump_first).max(keepdims=True)
            return {**network._asdict(), "most_jumps": most}

        return computed(self, "network", compute)

    def tensors(self) -> dict[str, np.ndarray]:
        """As compact arrays for a file: float16, or steps of 8 bits; the smallest whole numbers.

        What :func:`as_saved` gave comes back the same.
        """
        silence = np.array([self.silence], np.int32)
        names = {} if self.names is None else self.names.tensors()
        return {
            "silence": silence,
            **{NAMES + name: values for name, values in names.items()},
            **{name: _compact(name, getattr(self, name)) for name in _arrays()},
        }

    @classmethod
    def from_tensors(cls, tensors: dict[str, np.ndarray]) -> WordNgrams:
        """The inverse of :meth:`tensors`.

        Raises:
            ModelError: if one is missing or unknown, or a value is impossible.
        """
        beside = ("word_network.py", "lexicon_tree.py")
        sources = __file__, *(str(Path(__file__).with_name(name)) for name in beside)
        return restored(cls, tensors, lambda: cls._read(tensors), sources, {"names": WordNames})

    @classmethod
    def _read(cls, tensors: dict[str, np.ndarray]) -> WordNgrams:
        named = {k.removeprefix(NAMES): v for k, v in tensors.items() if k.startswith(NAMES)}
        tensors = {k: v for k, v in tensors.items() if not k.startswith(NAMES)}
        check_names(OWNER, set(tensors), {*_arrays(), "silence"})
        if named:
            check_names(OWNER, set(named), {field.name for field in fields(WordNames)})
        silence = checked_array(OWNER, "silence", tensors["silence"], None)
        require(OWNER, len(silence) == 1, f"silence has {len(silence)} values, not 1")
        others = {k: v for k, v in tensors.items() if k not in (*COARSE, "silence")}
        coarse = {}
        for name in COARSE:
            steps = checked_array(OWNER, name, tensors[name], None)
            within(OWNER, name, steps, 0, np.iinfo(np.uint8).max)
            coarse[name] = -STEP * steps
        names = WordNames(**named) if named else None
        return cls(**others, **coarse, silence=int(silence[0]), names=names)


def as_saved(words: WordNgrams) -> WordNgrams:
    """Return the words as they come back from a file."""
    return WordNgrams.from_tensors(words.tensors())


def _arrays() -> list[str]:
    beside = ("silence", "names")
    return [field.name for field in fields(WordNgrams) if field.name not in beside]


def _compact(name: str, values: np.ndarray) -> np.ndarray:
    if name in COARSE:
        return (-values / STEP).round().clip(max=np.iinfo(np.uint8).max).astype(np.uint8)
    if name in LOG_PROBS:
        return values.astype(np.float16)
    highest = values.max(initial=0)
    return values.astype(
        next(t for t in (np.uint8, np.uint16, np.int32) if highest <= np.iinfo(t).max)
    )
