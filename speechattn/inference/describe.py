"""What ``speechattn info`` shows about a model, and the costs of an encoder.

Costs are counted from the configuration: weights, and multiply-adds for each frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from speechattn.audio.features import FrontEndConfig
from speechattn.encoder.config import EncoderConfig
from speechattn.encoder.encoder import PhoneClassifier
from speechattn.encoder.kinds import AnyEncoderConfig
from speechattn.inference.checkpoint import Checkpoint
from speechattn.inference.streaming import look_ahead_ms
from speechattn.segments import FRAMES_PER_SECOND, SHIFT_MS

EXAMPLE_FRAMES = 10 * FRAMES_PER_SECOND  # length of a recording, for costs that depend on it


@dataclass(frozen=True)
class Costs:
    """The costs of a classifier.

    Attributes:
        weights: number of trained weights.
        matrices: multiply-adds with weights for each 10 ms frame, whatever the recording.
        attention: multiply-adds of queries with keys and of attention weights with values, for
            each 10 ms frame; None if attention has no limit and no length was given.
    """

    weights: int
    matrices: float
    attention: float | None

    @property
    def multiply_adds(self) -> float | None:
        """All multiply-adds for a 10 ms frame."""
        return None if self.attention is None else self.matrices + self.attention


def costs(
    config: AnyEncoderConfig, input_dim: int, num_phones: int, frames: int | None = None
) -> Costs:
    """Count the costs of a classifier, without additions, normalisation and non-linear functions.

    Args:
        config: of its encoder.
        input_dim: dimension of a frame.
        num_phones: number of classes.
        frames: length of a recording in 10 ms frames, near whose ends attention has fewer keys;
            None for a frame far from the ends.
    """
    with torch.device("meta"):  # shapes without values
        model = PhoneClassifier(input_dim, num_phones, config)
    # Each of these matrices is multiplied with every vector once.
    layers = [m for m in model.modules() if isinstance(m, (nn.Linear, nn.Conv1d, nn.RNNBase))]
    matrices = sum(p.numel() for layer in layers for p in layer.parameters() if p.ndim > 1)
    return Costs(model.num_weights, matrices / config.stack, _attention(config, frames))


def _attention(config: AnyEncoderConfig, frames: int | None) -> float | None:
    if not isinstance(config, EncoderConfig):
        return 0.0
    total = 0.0
    for window in config.windows:
        keys = _mean_keys(window, config.stack, frames)
        if keys is None:
            return None
        total += keys
    return 2 * config.width * total / config.stack


def _mean_keys(
    window: tuple[int | None, int | None], stack: int, frames: int | None
) -> float | None:
    """Return the mean number of keys of a query; None for no limit."""
    if frames is None:
        left, right = window
        return None if left is None or right is None else (left + right) // stack + 1
    vectors = -(-frames // stack)
    return 1 + sum(_mean_side(side, stack, vectors) for side in window)


def _mean_side(side: int | None, stack: int, vectors: int) -> float:
    """Return the mean number of keys to one side: the first query has none, the next one, …"""
    reach = vectors - 1 if side is None else min(side // stack, vectors - 1)
    return reach - reach * (reach + 1) / (2 * vectors)


def describe_costs(config: AnyEncoderConfig, input_dim: int, num_phones: int) -> dict[str, float]:
    """Return the multiply-adds for a frame under a name for people.

    Without a limit of attention, they are those of a recording of 10 s.
    """
    for key, frames in (
        ("multiply_adds_a_frame", None),
        ("multiply_adds_a_frame_of_10_s", EXAMPLE_FRAMES),
    ):
        number = costs(config, input_dim, num_phones, frames).multiply_adds
        if number is not None:
            return {key: round(number)}
    raise AssertionError("the costs of a recording of known length are known")


def model_summary(checkpoint: Checkpoint, device: str | torch.device) -> dict[str, Any]:
    """Return shape, window, look-ahead, phones, training and card of a model, as JSON values."""
    encoder = checkpoint.encoder
    ngrams = checkpoint.phone_model.ngrams
    order = 2 if ngrams is None else ngrams.order
    words = checkpoint.phone_model.words
    grammar = {"ngram_order": order}
    if words:
        counts = words.num_words, len(words.second), len(words.third)
        grammar |= dict(zip(("words", "word_pairs", "word_triples"), counts))
        grammar["word_names"] = words.names is not None
    return {
        "name": checkpoint.name,
        "weights": costs(encoder, checkpoint.front_end.dim, len(checkpoint.phones), 1).weights,
        "phones": " ".join(checkpoint.phones.names),
        **encoder_summary(encoder, checkpoint.front_end),
        "look_ahead_ms": look_ahead_ms(encoder),
        **describe_costs(encoder, checkpoint.front_end.dim, len(checkpoint.phones)),
        "decoding": {**grammar, **checkpoint.decoding.to_dict()},
        "training": checkpoint.training,
        "device": str(device),
        "card": checkpoint.card,
    }


def encoder_summary(encoder: AnyEncoderConfig, front_end: FrontEndConfig) -> dict[str, Any]:
    """Return front end, shape and windows of an encoder, as JSON values."""
    windows = [[_ms(side) for side in window] for window in encoder.windows]
    return {
        "front_end": f"{front_end.dim} {front_end.kind}, 100 frames/s",
        "encoder": {"kind": encoder.kind, **encoder.to_dict()},
        **({"window_ms": windows} if windows else {}),
        "receptive_field_ms": encoder.receptive_field_ms,
    }


def _ms(frames: int | None) -> float | None:
    return None if frames is None else frames * SHIFT_MS
