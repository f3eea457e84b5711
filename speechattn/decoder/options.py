"""Options of the decoder: weights of its sources of knowledge, and the confidence of a phone.

A confidence depends on the phone's frames, its length, and the confidences until then: where much
was unsure, in noise or in an accent not trained on, a phone that looks sure is less so. Only
earlier phones count, so that confidences need not wait for the end of a recording.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace

from speechattn.errors import ConfigError
from speechattn.options import READINGS
from speechattn.segments import FrameSegment

CONFIDENCE = ("confidence_slope", "confidence_context", "confidence_length", "confidence_offset")
MAY_BE_NEGATIVE = ("insertion_penalty", "phones_penalty", "alone_penalty", *CONFIDENCE[1:])
MAY_BE_MISSING = ("phones_scale", "phones_penalty", "alone_penalty", "beam")
FADING = 0.95  # how much a phone counts against the one after it
LONGEST_FRAMES = 30  # frames; longer phones count as this long
LEAST_POSTERIOR = 1e-4  # of a mean posterior, and of 1 minus it


@dataclass(frozen=True)
class DecoderOptions:
    """How much each source of knowledge counts against the frame posteriors.

    Attributes:
        bigram_scale: weight of the phone bigram (or n-grams), initial and final probabilities; at
            least 0.
        prior_scale: share of the log frame prior that is subtracted from the log posteriors;
            0 (take posteriors as they are) to 1 (scaled likelihoods).
        insertion_penalty: nats taken off for every phone after the first; positive values give
            fewer phones, negative ones more.
        duration_scale: weight of the durations past the minimum; at least 0.
        word_scale: weight of the words' n-grams, where the phone model has words; at least 0. At 0
            there are no words.
        unknown_word: nats, times ``word_scale``, that it costs to begin what is none of the
            words; at least 0.
        confidence_slope: above 0,
        confidence_offset:
        confidence_context:
        confidence_length: how a confidence comes out of the mean posterior p of a phone's frames:
            its logit is ``slope * logit(p) + context * m + length * log(d) + offset``, m being
            the mean of logit(p) over the phones until then, d frames its length; see
            :class:`speechattn.decoder.options.Evidence` (logistic regression, as Platt 1999).
        phones_scale, phones_penalty: ``bigram_scale`` and ``insertion_penalty`` for reading without
            words; None for the same as with them.
        alone_penalty: ``insertion_penalty`` for reading without words and n-grams; likewise.
        beam: nats, above 0; readings whose score is lower than the best one's by more are given
            up. None keeps all, and so finds the best for certain.
    """

    bigram_scale: float = 1.0
    prior_scale: float = 0.3
    insertion_penalty: float = 0.0
    duration_scale: float = 1.0
    word_scale: float = 1.0
    unknown_word: float = 2.5
    confidence_slope: float = 1.0
    confidence_offset: float = 0.0
    confidence_context: float = 0.0
    confidence_length: float = 0.0
    phones_scale: float | None = None
    phones_penalty: float | None = None
    alone_penalty: float | None = None
    beam: float | None = None

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if name in MAY_BE_MISSING and value is None:
                continue
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not number or not math.isfinite(value):
                raise ConfigError(f"decoder: {name} is {value!r}; give a finite number")
            if value < 0 and name not in MAY_BE_NEGATIVE:
                raise ConfigError(f"decoder: {name} is {value}; give 0 or more")
        for name in ("confidence_slope", "beam"):
            if getattr(self, name) == 0:
                raise ConfigError(f"decoder: {name} is 0; give a number above 0")
        if self.prior_scale > 1:
            raise ConfigError(f"decoder: prior_scale is {self.prior_scale}; give 0 to 1")

    def confidence(self, mean_posterior: float, evidence: Sequence[float]) -> float:
        """Return the probability, 0 to 1, that a phone is right.

        Args:
            mean_posterior: of its frames; the confidence itself where nothing else is known.
            evidence: as :meth:`speechattn.decoder.options.Evidence.take` gives it.
        """
        *weights, offset = (getattr(self, name) for name in CONFIDENCE)
        if (*weights, offset) == (1.0, 0.0, 0.0, 0.0):
            return min(1.0, max(0.0, mean_posterior))  # rounding may have left the range
        logit = offset + sum(weight * value for weight, value in zip(weights, evidence))
        return 1 / (1 + math.exp(-min(max(logit, -700.0), 700.0)))

    def with_lm_scale(self, scale: float) -> DecoderOptions:
        """Return options with another ``bigram_scale``, and ``word_scale`` changed as much.

        The insertion penalty goes from its own at the present scale to ``alone_penalty`` at 0.

        Raises:
            ConfigError: if it is out of range.
        """
        changed = replace(self, bigram_scale=scale)
        share = scale / self.bigram_scale if self.bigram_scale else scale
        penalty = self.insertion_penalty
        if self.alone_penalty is not None:
            penalty += (self.alone_penalty - penalty) * (1 - min(share, 1.0))
        return replace(changed, word_scale=self.word_scale * share, insertion_penalty=penalty)

    def for_reading(self, reading: str, lm_scale: float | None = None) -> DecoderOptions:
        """Return the options for decoding with less knowledge about the order of phones.

        Args:
            reading: one of ``READINGS``: words and n-grams, n-grams of phones alone, or none.
            lm_scale: weight of that knowledge, as for :meth:`with_lm_scale`; None for their own.

        Raises:
            ConfigError: if a value is out of range, or there is a scale but nothing to weigh.
        """
        if reading not in READINGS:
            raise ConfigError(f"reading: {reading!r}; one of {', '.join(READINGS)}")
        if reading == "none":
            if lm_scale:
                raise ConfigError(f"lm_scale: {lm_scale}, but reading 'none' has nothing to weigh")
            return self.with_lm_scale(0.0)
        chosen = self if reading == "words" else self._for_phones_alone()
        return chosen if lm_scale is None else chosen.with_lm_scale(lm_scale)

    def _for_phones_alone(self) -> DecoderOptions:
        scale, penalty = self.phones_scale, self.phones_penalty
        return replace(
            self,
            word_scale=0.0,
            bigram_scale=self.bigram_scale if scale is None else scale,
            insertion_penalty=self.insertion_penalty if penalty is None else penalty,
        )

    def to_dict(self) -> dict:
        """As JSON values; without what may be missing and is, as programs before it wrote them."""
        return {
            name: value
            for name, value in asdict(self).items()
            if value is not None or name not in MAY_BE_MISSING
        }

    @classmethod
    def from_dict(cls, values: dict) -> DecoderOptions:
        """The inverse of :meth:`to_dict`; what is left out keeps its default.

        Raises:
            ConfigError: for an unknown key or an impossible value.
        """
        known = [field.name for field in fields(cls)]
        for key in values:
            if key not in known:
                raise ConfigError(f"decoder: unknown key {key!r}; known are {', '.join(known)}")
        return cls(**values)


class Evidence:
    """Evidence for the confidence of phones, gathered along the segments of a recording.

    Args:
        silence: class of pauses, which say nothing of how the speech goes; None if unknown.
    """

    def __init__(self, silence: int | None = None) -> None:
        self._silence = silence
        self._sum = self._weight = 0.0

    def take(self, segment: FrameSegment) -> tuple[float, float, float]:
        """Return what the confidence of the next segment is computed from.

        Args:
            segment: whose ``confidence`` is the mean posterior of its frames.

        Returns:
            The logit of that, the mean of such over the phones until now, this one included, of
            which the older count less, and the logarithm of its length in frames.
        """
        p = min(max(segment.confidence, LEAST_POSTERIOR), 1 - LEAST_POSTERIOR)
        logit = math.log(p / (1 - p))
        total, weight = FADING * self._sum + logit, FADING * self._weight + 1
        if segment.phone != self._silence:
            self._sum, self._weight = total, weight
        return logit, total / weight, math.log(min(segment.end - segment.start, LONGEST_FRAMES))


def with_confidences(
    segments: Iterable[FrameSegment], evidence: Evidence, options: DecoderOptions
) -> list[FrameSegment]:
    """Return segments with their confidences.

    Args:
        segments: in order of time; ``confidence`` is the mean posterior of the frames.
        evidence: of the segments before them; changed.
        options: weights of the evidence.
    """
    return [
        replace(segment, confidence=options.confidence(segment.confidence, evidence.take(segment)))
        for segment in segments
    ]
