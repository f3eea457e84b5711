"""What an encoder costs, counted from its configuration: weights, and multiply-adds a frame.

What a model is, for people: what ``speechattn info`` shows.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from speechattn.encoder.baselines import AnyEncoderConfig
from speechattn.encoder.config import EncoderConfig
from speechattn.encoder.encoder import PhoneClassifier
from speechattn.inference.checkpoint import Checkpoint
from speechattn.inference.streaming import look_ahead_ms
from speechattn.segments import FRAMES_PER_SECOND, SHIFT_MS

EXAMPLE_FRAMES = 10 * FRAMES_PER_SECOND  # of a recording, where cost depends on its length


@dataclass(frozen=True)
class Costs:
    """What a classifier costs.

    Attributes:
        weights: trained numbers.
        matrices: multiply-adds a 10 ms frame with weights, whatever the recording.
        attention: multiply-adds a 10 ms frame of queries with keys and of weights with values;
            None where attention has no limit and no length of a recording was given.
    """

    weights: int
    matrices: float
    attention: float | None

    @property
    def multiply_adds(self) -> float | None:
        """All multiply-adds a 10 ms frame."""
        return None if self.attention is None else self.matrices + self.attention


def costs(
    config: AnyEncoderConfig, input_dim: int, num_phones: int, frames: int | None = None
) -> Costs:
    """What a classifier costs; additions, normalisation and non-linear functions are not counted.

    Args:
        config: of its encoder.
        input_dim: numbers a frame.
        num_phones: classes.
        frames: 10 ms frames of a recording, whose ends see less; None for a frame far from them.
    """
    with torch.device("meta"):  # shapes without numbers
        model = PhoneClassifier(input_dim, num_phones, config)
    # Every one of these matrices is multiplied with every vector once.
    layers = [m for m in model.modules() if isinstance(m, (nn.Linear, nn.Conv1d, nn.RNNBase))]
    matrices = sum(p.numel() for layer in layers for p in layer.parameters() if p.ndim > 1)
    return Costs(model.num_weights, matrices / config.stack, _attention(config, frames))


def _attention(config: AnyEncoderConfig, frames: int | None) -> float | None:
    if not isinstance(config, EncoderConfig):
        return 0.0
    keys = [_mean_keys(window, config.stack, frames) for window in config.windows]
    return None if None in keys else 2 * config.width * sum(keys) / config.stack


def _mean_keys(
    window: tuple[int | None, int | None], stack: int, frames: int | None
) -> float | None:
    """Vectors that a query sees on average; None for no limit."""
    if frames is None:
        return None if None in window else sum(window) // stack + 1
    vectors = -(-frames // stack)
    return 1 + sum(_mean_side(side, stack, vectors) for side in window)


def _mean_side(side: int | None, stack: int, vectors: int) -> float:
    """Vectors to one side that a query sees on average: the first sees none, the next one, …"""
    reach = vectors - 1 if side is None else min(side // stack, vectors - 1)
    return reach - reach * (reach + 1) / (2 * vectors)


def describe_costs(config: AnyEncoderConfig, input_dim: int, num_phones: int) -> dict[str, float]:
    """Multiply-adds a frame under a name for people; of a recording of 10 s if there is no limit."""
    found = costs(config, input_dim, num_phones)
    if found.multiply_adds is not None:
        return {"multiply_adds_a_frame": round(found.multiply_adds)}
    found = costs(config, input_dim, num_phones, EXAMPLE_FRAMES)
    return {"multiply_adds_a_frame_of_10_s": round(found.multiply_adds)}


def model_summary(checkpoint: Checkpoint, device: torch.device) -> dict:
    """Shape, window, look-ahead, phones, training and card of a model, as JSON values."""
    encoder = checkpoint.classifier.config
    windows = [[_ms(side) for side in window] for window in encoder.windows]
    ngrams = checkpoint.phone_model.ngrams
    order = 2 if ngrams is None else ngrams.order
    words = checkpoint.phone_model.words
    grammar = {"ngram_order": order}
    if words:
        counts = words.num_words, len(words.second), len(words.third)
        grammar |= dict(zip(("words", "word_pairs", "word_triples"), counts))
    return {
        "name": checkpoint.name,
        "weights": checkpoint.classifier.num_weights,
        "phones": " ".join(checkpoint.phones.names),
        "front_end": f"{checkpoint.front_end.dim} {checkpoint.front_end.kind}, 100 frames/s",
        "encoder": {"kind": encoder.kind, **encoder.to_dict()},
        **({"window_ms": windows} if windows else {}),
        "receptive_field_ms": encoder.receptive_field_ms,
        "look_ahead_ms": look_ahead_ms(encoder),
        **describe_costs(encoder, checkpoint.front_end.dim, len(checkpoint.phones)),
        "decoding": {**grammar, **checkpoint.decoding.to_dict()},
        "training": checkpoint.training,
        "device": str(device),
        "card": checkpoint.card,
    }


def _ms(frames: int | None) -> float | None:
    return None if frames is None else frames * SHIFT_MS
