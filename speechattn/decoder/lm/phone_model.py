"""Phone model: the order, duration and frequency of phones, as the decoder uses them.

It is counted in the training labels (Rabiner 1989, "A tutorial on hidden Markov models", section
V): a phone bigram, perhaps longer n-grams and words beside it, a minimum duration with a geometric
tail, and the share of frames of each phone. The last, the frame prior, turns posteriors into scaled
likelihoods (Bourlard and Morgan 1994).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

import numpy as np

from speechattn.decoder.lm.ngrams import PhoneNgrams
from speechattn.decoder.lm.word_lm import WordNgrams
from speechattn.errors import ConfigError, CorpusError, ModelError
from speechattn.segments import FrameSegment

LONGEST_MINIMUM = 100  # frames; a minimum duration above one second is a mistake
SMALLEST_PRIOR = 1e-4  # share of frames; keeps the decoder from favouring phones never trained on
MAY_FORBID = ("log_initial", "log_bigram", "log_final")  # where -inf is meant
PARTS = ("ngrams", "words")  # beside the arrays
DECIMALS = 6  # of the learned log probabilities, so that a config stays readable


@dataclass(frozen=True, eq=False)
class PhoneModel:
    """Order, duration and frequency of P phones.

    A phone lasts d frames, d at least its minimum m, with log probability
    ``(d - m) * log_stay + log_leave``.

    Attributes:
        log_initial: log probability that an utterance begins with a phone, shape (P,).
        log_bigram: log probability that a phone (row) is followed by another (column), given that
            the utterance goes on, shape (P, P). A phone may follow itself (the two S of
            "this story").
        log_final: log probability that an utterance ends after a phone, shape (P,). Not part of
            the rows of ``log_bigram``: long recordings should not pay at every phone for not
            ending there.
        min_frames: shortest duration in frames, int64, shape (P,).
        log_stay: log probability of one more frame past the minimum, finite, shape (P,).
        log_leave: log probability of none, finite, shape (P,).
        log_prior: log share of the training frames, finite, shape (P,).
        ngrams: n-grams of these phones, which replace ``log_bigram`` in the decoder; None for
            none. They are not part of :meth:`to_dict`.
        words: made of these phones, or None; they need ``ngrams``, and are not part of
            :meth:`to_dict` either.

    Raises:
        ModelError: if shapes disagree or a value cannot be a log probability.
    """

    log_initial: np.ndarray
    log_bigram: np.ndarray
    log_final: np.ndarray
    min_frames: np.ndarray
    log_stay: np.ndarray
    log_leave: np.ndarray
    log_prior: np.ndarray
    ngrams: PhoneNgrams | None = None
    words: WordNgrams | None = None

    def __post_init__(self) -> None:
        for name in _arrays():
            object.__setattr__(self, name, _array(name, getattr(self, name)))
        size = self.log_initial.size
        for name in _arrays():
            shape = (size, size) if name == "log_bigram" else (size,)
            found = getattr(self, name).shape
            if found != shape or size == 0:
                raise ModelError(
                    f"phone model: {name} has shape {found}, not {shape}; "
                    "train or export the model again"
                )
        if self.ngrams is not None and self.ngrams.num_phones != size:
            raise ModelError(
                f"phone model: of {size} phones, but n-grams of {self.ngrams.num_phones}; "
                "train or export the model again"
            )
        if self.words is not None:
            highest = max(int(self.words.phones.max()), self.words.silence)
            if self.ngrams is None or highest >= size:
                found = "no n-grams" if self.ngrams is None else f"words of {highest + 1} phones"
                raise ModelError(
                    f"phone model: of {size} phones, with words but {found}; "
                    "train or export the model again"
                )
        for name in MAY_FORBID:
            if np.isneginf(getattr(self, name)).all():
                raise ModelError(f"phone model: {name} allows no phone at all; train again")

    @property
    def num_phones(self) -> int:
        """P."""
        return len(self.log_initial)

    @property
    def silence(self) -> int | None:
        """The class of pauses, as its words have it; None without words."""
        return self.words.silence if self.words is not None else None

    @classmethod
    def uniform(cls, num_phones: int, *, min_frames: int = 1) -> PhoneModel:
        """Return a model that knows nothing but a minimum duration.

        Args:
            num_phones: P.
            min_frames: shortest duration of every phone, in frames.
        """
        flat = np.full(num_phones, -math.log(num_phones))
        half = np.full(num_phones, math.log(0.5))
        minimum = np.full(num_phones, min_frames)
        return cls(flat, np.tile(flat, (num_phones, 1)), flat, minimum, half, half, flat)

    @classmethod
    def learn(
        cls,
        sequences: Iterable[Sequence[FrameSegment]],
        num_phones: int,
        *,
        smoothing: float = 10.0,
        too_short: float = 0.05,
        longest_minimum: int = 6,
    ) -> PhoneModel:
        """Count phones, their neighbours and their durations in labelled utterances.

        Every estimate is mixed with what it would be for a phone of which nothing is known: the
        bigram with the phones' frequencies, durations with those of all phones together. A gap
        between two segments ends a phone, but the segments beside it do not count as neighbours.

        Args:
            sequences: for each utterance its segments in order of time.
            num_phones: P.
            smoothing: how many examples that mixed-in estimate counts as. 0 gives plain relative
                frequencies: pairs never seen become impossible (-inf), and so do phones never seen
                first or last; the decoder's memory may then grow with the recording.
            too_short: a phone's minimum duration leaves at most this share of its examples out.
            longest_minimum: frames; no minimum is longer.

        Raises:
            CorpusError: if there is no labelled utterance, or segments are empty, overlap, or have
                a phone outside 0 to P - 1.
            ConfigError: if a setting is out of range.
        """
        _check_settings(smoothing, too_short, longest_minimum)
        counts = _Counts(num_phones)
        for number, segments in enumerate(sequences, 1):
            counts.add(segments, number)
        if not counts.utterances:
            raise CorpusError(
                "phone model: none of the utterances has phone labels; "
                "give a corpus with alignments"
            )
        initial, bigram, final = counts.grammar(smoothing)
        minimum, stay = counts.durations(smoothing, too_short, longest_minimum)
        prior = np.maximum(counts.frames() / counts.frames().sum(), SMALLEST_PRIOR)
        with np.errstate(divide="ignore"):  # log 0 = -inf is what smoothing=0 asks for
            logs = [np.log(x) for x in (initial, bigram, final, stay, 1 - stay, prior)]
        initial, bigram, final, stay, leave, prior = (np.round(x, DECIMALS) for x in logs)
        return cls(initial, bigram, final, minimum, stay, leave, prior)

    def to_dict(self) -> dict:
        """As JSON values, without n-grams; -inf, which JSON lacks, becomes None."""

        def plain(values: list) -> list:
            if values and isinstance(values[0], list):
                return [plain(row) for row in values]
            return [None if v == -math.inf else v for v in values]

        return {name: plain(getattr(self, name).tolist()) for name in _arrays()}

    @classmethod
    def from_dict(cls, values: dict) -> PhoneModel:
        """The inverse of :meth:`to_dict`.

        Raises:
            ModelError: if a key is missing or unknown, or a value is impossible.
        """
        odd = set(_arrays()) ^ set(values)
        if odd:
            raise ModelError(
                f"phone model: missing or unknown {', '.join(sorted(map(str, odd)))}; "
                "train or export the model again"
            )
        return cls(**values)


class _Counts:
    """What :meth:`PhoneModel.learn` counts."""

    def __init__(self, num_phones: int) -> None:
        self.num_phones = num_phones
        self.utterances = 0
        self.initial = np.zeros(num_phones)
        self.final = np.zeros(num_phones)
        self.pairs = np.zeros((num_phones, num_phones))
        self.lengths: list[list[int]] = [[] for _ in range(num_phones)]

    def add(self, segments: Sequence[FrameSegment], number: int) -> None:
        """Count one utterance; ``number`` names it in errors."""
        before = None
        for segment in segments:
            if not 0 <= segment.phone < self.num_phones:
                raise CorpusError(
                    f"utterance {number}: {segment} has a phone outside 0 to "
                    f"{self.num_phones - 1}; use the phone set the labels were made with"
                )
            if segment.end <= segment.start or (before is not None and segment.start < before.end):
                raise CorpusError(
                    f"utterance {number}: {segment} is empty or overlaps the segment before; "
                    "correct it"
                )
            self.lengths[segment.phone].append(segment.end - segment.start)
            if before is None:
                self.initial[segment.phone] += 1
            elif before.end == segment.start:
                self.pairs[before.phone, segment.phone] += 1
            before = segment
        if before is not None:
            self.final[before.phone] += 1
            self.utterances += 1

    def frames(self) -> np.ndarray:
        """Frames of each phone, shape (P,)."""
        return np.array([float(sum(lengths)) for lengths in self.lengths])

    def grammar(self, smoothing: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Probabilities of initial phones, of neighbours given that one follows, of ending."""
        examples = np.array([float(len(lengths)) for lengths in self.lengths])
        flat = np.full(self.num_phones, 1 / self.num_phones)
        often = _mix(examples, flat, smoothing)
        initial = _mix(self.initial, often, smoothing)
        rows = [_mix(row, often, smoothing) for row in self.pairs]
        ends = self.utterances / examples.sum()
        final = (self.final + smoothing * ends) / np.maximum(examples + smoothing, 1)
        return initial, np.array(rows), final

    def durations(
        self, smoothing: float, too_short: float, longest: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Minimum durations in frames, and the probability of each further frame."""
        everything = np.concatenate([np.array(lengths, dtype=np.int64) for lengths in self.lengths])
        minimum = np.empty(self.num_phones, np.int64)
        stay = np.empty(self.num_phones)
        for phone, lengths in enumerate(self.lengths):
            own = np.array(lengths, dtype=np.int64)
            weight = smoothing if len(own) or smoothing else 1.0  # without examples: all phones
            total = len(own) + weight
            share = [
                (np.sum(own < m) + weight * np.mean(everything < m)) / total
                for m in range(1, longest + 1)
            ]
            m = minimum[phone] = np.flatnonzero(np.array(share) <= too_short)[-1] + 1
            more = np.sum(np.maximum(own - m, 0)) + weight * np.mean(np.maximum(everything - m, 0))
            stay[phone] = (more + 1) / (more + total + 2)  # Laplace's rule: never 0 or 1
        return minimum, stay


def _mix(counts: np.ndarray, expected: np.ndarray, smoothing: float) -> np.ndarray:
    """Relative frequencies, after ``smoothing`` more examples spread as ``expected``."""
    total = counts.sum() + smoothing
    return (counts + smoothing * expected) / total if total else expected


def _check_settings(smoothing: float, too_short: float, longest_minimum: int) -> None:
    for name, value, right, rule in (
        ("smoothing", smoothing, 0 <= smoothing < math.inf, "0 or more"),
        ("too_short", too_short, 0 <= too_short < 1, "0 to below 1"),
        ("longest_minimum", longest_minimum, 1 <= longest_minimum <= LONGEST_MINIMUM, "1 to 100"),
    ):
        if not right:
            raise ConfigError(f"phone model: {name} is {value}; give {rule}")


def _arrays() -> list[str]:
    """The fields of a phone model that are arrays."""
    return [field.name for field in fields(PhoneModel) if field.name not in PARTS]


def _array(name: str, values: object) -> np.ndarray:
    """One field of a phone model as an array of its type, with every value checked."""
    try:
        numbers = np.array(values, dtype=object)
        numbers[np.equal(numbers, np.array(None, dtype=object))] = -math.inf
        array = numbers.astype(np.float64)
    except (TypeError, ValueError):
        raise ModelError(f"phone model: {name} is not an array of numbers; train again") from None
    low, high = (-math.inf if name in MAY_FORBID else -1e6), 0.0
    if name == "min_frames":
        low, high = 1, LONGEST_MINIMUM
    right = (array >= low) & (array <= high)  # NaN is neither
    if name == "min_frames":
        right &= array == array.round()
    if not right.all():
        raise ModelError(
            f"phone model: {name} has the value {array[~right][0]}; "
            f"allowed are {low} to {high}; train or export the model again"
        )
    return array.astype(np.int64) if name == "min_frames" else array
