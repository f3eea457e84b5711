"""What the decoder makes of its sources of knowledge: their weights, and the confidence of a phone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace

from speechattn.errors import ConfigError

CONFIDENCE = ("confidence_slope", "confidence_context", "confidence_length", "confidence_offset")
MAY_BE_NEGATIVE = ("insertion_penalty", *CONFIDENCE[1:])


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
            :class:`speechattn.decoder.confidence.Evidence` (logistic regression, as Platt 1999).
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
    beam: float | None = None

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if name == "beam" and value is None:
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
        """How sure it is, 0 to 1, that a phone is right.

        Args:
            mean_posterior: of its frames; the confidence itself where nothing else is known.
            evidence: as :meth:`speechattn.decoder.confidence.Evidence.take` gives it.
        """
        *weights, offset = (getattr(self, name) for name in CONFIDENCE)
        if (*weights, offset) == (1.0, 0.0, 0.0, 0.0):
            return min(1.0, max(0.0, mean_posterior))  # rounding may have left the range
        logit = offset + sum(weight * value for weight, value in zip(weights, evidence))
        return 1 / (1 + math.exp(-min(max(logit, -700.0), 700.0)))

    def with_lm_scale(self, scale: float) -> DecoderOptions:
        """With another ``bigram_scale``, and a ``word_scale`` that changes as much.

        Raises:
            ConfigError: if it is out of range.
        """
        changed = replace(self, bigram_scale=scale)
        share = scale / self.bigram_scale if self.bigram_scale else scale
        return replace(changed, word_scale=self.word_scale * share)

    def to_dict(self) -> dict:
        """As JSON values; without a beam where there is none, as programs before it wrote them."""
        return {name: v for name, v in asdict(self).items() if (name, v) != ("beam", None)}

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
