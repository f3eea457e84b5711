"""The words in what the decoder found.

The decoder writes phones. Which words it took them for is found here, from the phones alone: of all
ways to read the string of phones as words, pauses and phones that are none of the words
(*unknown*), the one that scores best by the terms of :mod:`speechattn.decoder.decoder`. These
terms are the same, so this is the reading by which the decoder chose the phones, with one
exception: a recording does not end within a word here. Of words that are said alike the trigram
chooses one, by the words before and after.

The phones come in as they are decided, in pieces of any size, and words go out once all readings
agree on them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from speechattn.decoder.lm.saved import computed
from speechattn.decoder.lm.word_lm import WordNgrams
from speechattn.decoder.lm.word_network import (
    ANY_CONTEXT,
    SENTENCE,
    Followers,
    followers_of_roots,
    in_order,
    roots_of,
)
from speechattn.decoder.options import DecoderOptions
from speechattn.decoder.records import Automaton, WordScores
from speechattn.decoder.word_records import (
    COUNTERS,
    LEAST,
    NODE,
    NODE_COLUMNS,
    NONE,
    PARENT,
    Dictionary,
    FallBack,
    State,
)
from speechattn.errors import ConfigError
from speechattn.segments import FrameSegment, Segment, frame_to_seconds

if TYPE_CHECKING:
    from speechattn.decoder.lm.phone_model import PhoneModel

UNKNOWN = "<unk>"  # what stands for phones that are none of the words
PIECE = 64  # phones that are searched at a time
NO_WORD = -1
# Of the mean confidence of a word's phones. A word is wrong more often than its phones: on the dev
# sets of the English model, words were right as often as this power of the mean says.
WORD_POWER = 1.6
_TABLES: WeakKeyDictionary[WordNgrams, tuple[Dictionary, Followers, FallBack]] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class FrameWord:
    """A word, and the phones that it was said with.

    Attributes:
        word: its number; ``NO_WORD`` for phones that are none of the words.
        phones: at least one, without pauses.
    """

    word: int
    phones: tuple[FrameSegment, ...]

    @property
    def start(self) -> int:
        """First frame."""
        return self.phones[0].start

    @property
    def end(self) -> int:
        """Frame after the last."""
        return self.phones[-1].end

    @property
    def confidence(self) -> float:
        """The probability that it is right; of no word, the mean confidence of its phones."""
        mean = sum(phone.confidence for phone in self.phones) / len(self.phones)
        return mean if self.word == NO_WORD else mean**WORD_POWER


def word_segments(
    words: Sequence[FrameWord], names: Sequence[str], last_frame: int, duration: float
) -> list[Segment]:
    """Return words with their names and times in seconds.

    Args:
        words: as :class:`WordReader` gives them.
        names: of all words, by number.
        last_frame: where the recording ends; a word that ends there ends with the recording.
        duration: of the recording, seconds.
    """
    return [
        Segment(
            UNKNOWN if word.word == NO_WORD else names[word.word],
            frame_to_seconds(word.start),
            duration if word.end == last_frame else frame_to_seconds(word.end),
            word.confidence,
        )
        for word in words
    ]


def names_of_words(model: PhoneModel, options: DecoderOptions) -> tuple[str, ...]:
    """Return the names of the words that a decoder knows, by number.

    Raises:
        ConfigError: if it knows no words, or not their names.
        ModelError: if the names are damaged.
    """
    if model.words is None:
        raise ConfigError(
            "words: the model's decoder knows none; take another model, or train one with "
            "decoding.word_pairs"
        )
    if model.words.names is None:
        raise ConfigError(
            "words: the model's decoder knows words, but not how they are written (formats up to "
            "7); add that with `speechattn decoder MODEL --output-dir DIR`"
        )
    if options.word_scale == 0:
        raise ConfigError(
            "words: they have no weight in this reading; leave out --reading and --lm-scale 0"
        )
    return model.words.names.names


class WordReader:
    """Finds the words in one string of phones after another, each pushed in pieces.

    How a string is cut into pieces does not change the words, only when they are known. Memory
    does not grow with the string.

    Args:
        model: phone model with words.
        options: of the decoder that found the phones.
    """

    def __init__(self, model: PhoneModel, options: DecoderOptions) -> None:
        from speechattn.decoder import word_history, word_search  # noqa: F401 - as in Decoder

        assert model.words is not None and model.ngrams is not None
        if model.words not in _TABLES:
            _TABLES[model.words] = _tables(model.words)
        self._tables = _TABLES[model.words]
        self._automaton = Automaton(*model.ngrams.tables, scale=float(options.bigram_scale))
        scale, silence = float(options.word_scale), model.words.silence
        self._scores = WordScores(scale, scale * options.unknown_word, silence, 0, 0)
        impossible = np.isneginf(model.log_initial)
        initial = np.where(impossible, LEAST, model.log_initial)
        self._initial = options.bigram_scale * initial.astype(np.float64)
        self._beam = math.inf if options.beam is None else float(options.beam)
        states = len(self._tables[2].back) + len(self._automaton.best)
        self._slot = np.full(states, NONE, np.int32)
        self._waiting: list[FrameSegment] = []  # phones of no final word yet
        self._unknown: list[FrameSegment] = []  # final, but more may belong to them
        self._state: State = self._reset()

    def push(self, segments: Sequence[FrameSegment]) -> list[FrameWord]:
        """Take in the next phones, pauses among them.

        Returns:
            Words that follow those returned before and can no longer change, without pauses.
        """
        found: list[FrameWord] = []
        for start in range(0, len(segments), PIECE):
            piece = segments[start : start + PIECE]
            self._waiting += piece
            self._read([segment.phone for segment in piece])
            found += self._words(self._final_nodes(), ended=False)
        return found

    def finish(self) -> list[FrameWord]:
        """End the string; return the words that are left. Another string may follow."""
        found = self._words(self._best_path(), ended=True)
        self._state = self._reset()
        return found

    def partial(self, segments: Sequence[FrameSegment]) -> list[FrameWord]:
        """Return the best guess at the words after those returned; it may still change.

        Args:
            segments: phones that may follow, which are not taken in.
        """
        state = self._state
        self._state = state._replace(counters=state.counters.copy())  # changed in place
        unknown, waiting = list(self._unknown), list(self._waiting)
        self._waiting = [*waiting, *segments]
        self._read([segment.phone for segment in segments])
        found = self._words(self._best_path(), ended=True)
        self._state, self._unknown, self._waiting = state, unknown, waiting
        return found

    def _reset(self) -> State:
        """Forget the string; return the state before one."""
        many = len(self._tables[0].word)
        none = np.empty((0, NODE_COLUMNS), np.int64)
        self._waiting, self._unknown = [], []
        return State(
            none,
            np.empty((0, 2), np.int64),
            np.empty(0),
            np.array([[0, many, 0, 0, 0, 2]]),
            np.array([[ANY_CONTEXT, NONE], [SENTENCE, NONE]]),
            np.zeros(2),
            self._slot,
            np.zeros(COUNTERS, np.int64),
        )

    def _read(self, phones: list[int]) -> None:
        if phones:
            from speechattn.decoder import word_search

            self._state = word_search.read_on(
                np.array(phones, np.int64),
                *(*self._tables, self._automaton, self._scores, self._initial, self._beam),
                self._state,
            )

    def _final_nodes(self) -> np.ndarray:
        """Take out what all readings share: word, first phone and phone after the last of each."""
        from speechattn.decoder import word_history

        state = self._state
        rows = word_history.take_final(state.nodes, state.tokens, state.entries)
        final = int(rows[0, 0])
        self._state = state._replace(nodes=np.ascontiguousarray(rows[1 + final :]))
        return rows[1 : 1 + final]

    def _best_path(self) -> np.ndarray:
        """The nodes of the best reading that are not final."""
        state = self._state
        path: list[np.ndarray] = []
        if len(state.tokens):
            k = int(state.tokens[np.argmax(state.score), NODE])
            while k != NONE:
                path.append(state.nodes[k])
                k = int(state.nodes[k, PARENT])
        return np.array(path[::-1]).reshape(-1, NODE_COLUMNS)

    def _words(self, nodes: np.ndarray, *, ended: bool) -> list[FrameWord]:
        """Turn nodes into words; what is unknown waits until something else follows, or the end."""
        found: list[FrameWord] = []
        waiting, silence = self._waiting, self._scores.silence

        def end_unknown() -> None:
            if self._unknown:
                found.append(FrameWord(NO_WORD, tuple(self._unknown)))
                self._unknown = []

        used = 0
        for word, first, after, _ in nodes.tolist():
            phones = waiting[used : used + after - first]
            used += after - first
            if word == NO_WORD and phones[0].phone != silence:
                self._unknown += phones
                continue
            end_unknown()
            if word != NO_WORD:
                found.append(FrameWord(word, tuple(phones)))
        if ended:
            end_unknown()
        self._waiting = waiting[used:]
        return found


def _tables(words: WordNgrams) -> tuple[Dictionary, Followers, FallBack]:
    """What the search reads of some words."""
    arrays = computed(words, "word_search", lambda: _computed(words))

    def fields_of(record: type[Any]) -> dict[str, np.ndarray]:
        return {name: arrays[f"{record.__name__}.{name}"] for name in record._fields}

    return (
        Dictionary(**fields_of(Dictionary)),
        Followers(**fields_of(Followers)),
        FallBack(**fields_of(FallBack)),
    )


def _computed(words: WordNgrams) -> dict[str, np.ndarray]:
    """The same as arrays, named by record and field."""
    order, roots = in_order(words), roots_of(words)
    lengths = words.lengths[order]
    begin = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    first = np.cumsum(words.lengths)[order] - lengths
    places = np.repeat(first - begin[:-1], lengths) + np.arange(begin[-1])
    owner = np.repeat(np.arange(words.num_words, dtype=np.int32), words.ways)
    records = (
        Dictionary(words.phones[places], begin, owner[order]),
        followers_of_roots(words, roots),
        FallBack(np.array(words.log_unigram), roots.after_word, roots.back, roots.back_score),
    )
    return {
        f"{type(record).__name__}.{name}": values
        for record in records
        for name, values in record._asdict().items()
    }
