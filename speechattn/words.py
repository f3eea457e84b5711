"""Words that the decoder knows: how each is said, and how likely it is after the one before.

Which word follows is a bigram with back-off (Katz 1987): the log probability of a pair that was
learned, or else ``back_off`` of the word before and ``log_unigram`` of this one. Words need no
names here: the decoder writes phones, and words only tell it which ones belong together.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

import numpy as np

from speechattn.errors import ConfigError, CorpusError
from speechattn.lexicon import Lexicon
from speechattn.modelarrays import check_names, checked_array, hold, within
from speechattn.wordnetwork import Network, word_network

LONGEST_WORD = 60  # phones
OWNER = "words"  # in messages
LOG_PROBS = ("log_unigram", "back_off", "log_pair")


@dataclass(frozen=True, eq=False)
class WordBigrams:
    """Q pronunciations of V words, and the D pairs of words that were learned.

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
        silence: class of pauses, which lie between words and in none of them.

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
    silence: int

    def __post_init__(self) -> None:
        for name in _arrays():
            highest = 0.0 if name in LOG_PROBS else None
            values = checked_array(OWNER, name, getattr(self, name), highest)
            object.__setattr__(self, name, values)
        size = len(self.ways)
        for name, found, right in (
            ("phones", len(self.phones), int(self.lengths.sum())),
            ("lengths", len(self.lengths), int(self.ways.sum())),
            ("log_unigram", len(self.log_unigram), size),
            ("back_off", len(self.back_off), size + 1),
            ("followers", len(self.followers), size + 1),
            ("second", len(self.second), int(self.followers.sum())),
            ("log_pair", len(self.log_pair), len(self.second)),
        ):
            hold(OWNER, found == right, f"{name} has {found} values, not {right}")
        hold(OWNER, size > 0, "there are none")
        within(OWNER, "ways", self.ways, 1, len(self.lengths))
        within(OWNER, "lengths", self.lengths, 1, LONGEST_WORD)
        within(OWNER, "phones", self.phones, 0, 2**31 - 1)
        hold(OWNER, self.silence not in self.phones, f"silence, {self.silence}, lies in a word")
        within(OWNER, "followers", self.followers, 0, size)
        within(OWNER, "second", self.second, 0, size - 1)
        pair = np.repeat(np.arange(size + 1), self.followers) * size + self.second
        hold(OWNER, bool((np.diff(pair) > 0).all()), "a pair is there twice, or out of order")

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
        return word_network(self)

    @functools.cached_property
    def most_jumps(self) -> int:
        """That leave a state of the network."""
        return int(np.diff(self.network.jump_first).max())

    def tensors(self) -> dict[str, np.ndarray]:
        """As compact arrays for a file: float16, and the smallest whole numbers that hold all.

        What :func:`estimate_words` gave comes back the same.
        """
        silence = np.array([self.silence], np.int32)
        return {
            "silence": silence,
            **{name: _compact(getattr(self, name), name in LOG_PROBS) for name in _arrays()},
        }

    @classmethod
    def from_tensors(cls, tensors: dict[str, np.ndarray]) -> WordBigrams:
        """The inverse of :meth:`tensors`.

        Raises:
            ModelError: if one is missing or unknown, or a value is impossible.
        """
        check_names(OWNER, set(tensors), {field.name for field in fields(cls)})
        silence = checked_array(OWNER, "silence", tensors["silence"], None)
        hold(OWNER, len(silence) == 1, f"silence has {len(silence)} values, not 1")
        return cls(**{**tensors, "silence": int(silence[0])})


def estimate_words(
    sentences: Iterable[Sequence[str]], lexicon: Lexicon, least: int = 2
) -> WordBigrams:
    """Learn words from sentences, pairs by Witten and Bell's interpolation.

    Args:
        sentences: words; those that the lexicon lacks are passed over, and so are the pairs that
            they are in.
        lexicon: how words are said; all the ways of one are as likely as the word.
        least: how often a word, or a pair, must have been seen; from 1 on.

    Raises:
        ConfigError: if ``least`` is out of range.
        CorpusError: if no word is left.
    """
    if least < 1:
        raise ConfigError(f"words: least is {least}; give 1 or more")
    seen: Counter = Counter()
    pairs: Counter = Counter()
    for sentence in sentences:
        before = None  # at a sentence's beginning
        for word in (word.upper() for word in sentence):
            seen[word] += 1
            pairs[before, word] += 1
            before = word
    known = sorted(w for w, n in seen.items() if n >= least and w in lexicon.variants)
    if not known:
        raise CorpusError("words: none that the lexicon lists often enough; give more sentences")
    number = {word: i for i, word in enumerate(known)}
    rows: list[dict[int, int]] = [{} for _ in range(len(known) + 1)]
    for (before, word), count in pairs.items():
        first = len(known) if before is None else number.get(before)
        if count >= least and first is not None and word in number:
            rows[first][number[word]] = count
    often = np.array([float(seen[word]) for word in known])
    unigram = often / sum(seen.values())
    second, log_pair = [], []
    back_off = np.ones(len(rows))
    for first, row in enumerate(rows):
        if row:
            words = np.array(sorted(row))
            counts = np.array([row[i] for i in words], dtype=np.float64)
            total = counts.sum() + len(row)
            back_off[first] = len(row) / total
            second.append(words)
            log_pair.append(np.log(counts / total + back_off[first] * unigram[words]))
    said = [list(dict.fromkeys(lexicon.variants[word])) for word in known]
    ways = [way for variants in said for way in variants]
    return WordBigrams(
        np.concatenate([np.array(way) for way in ways]),
        np.array([len(way) for way in ways]),
        np.array([len(variants) for variants in said]),
        np.log(unigram).astype(np.float16),
        np.log(back_off).astype(np.float16),
        np.array([len(row) for row in rows]),
        np.concatenate(second) if second else np.empty(0, np.int64),
        np.concatenate(log_pair).astype(np.float16) if log_pair else np.empty(0, np.float16),
        lexicon.phones.silence_index,
    )


def _arrays() -> list[str]:
    return [field.name for field in fields(WordBigrams) if field.name != "silence"]


def _compact(values: np.ndarray, log_probs: bool) -> np.ndarray:
    if log_probs:
        return values.astype(np.float16)
    highest = values.max(initial=0)
    return values.astype(
        next(t for t in (np.uint8, np.int16, np.int32) if highest <= np.iinfo(t).max)
    )
