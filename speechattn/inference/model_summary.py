"""What a model is, for people: what ``speechattn info`` shows."""

from __future__ import annotations

import torch

from speechattn.inference.checkpoint import Checkpoint
from speechattn.inference.describe import describe_costs
from speechattn.inference.streaming import look_ahead_ms
from speechattn.timing import SHIFT_MS


def describe(checkpoint: Checkpoint, device: torch.device) -> dict:
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
