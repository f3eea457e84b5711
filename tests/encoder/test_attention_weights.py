"""Weights of an encoder: a stretch has those of the whole recording."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from speechattn.encoder.attention_weights import attention_weights
from speechattn.encoder.config import EncoderConfig
from speechattn.encoder.encoder import Encoder
from speechattn.encoder.kinds import CnnConfig
from speechattn.errors import UsageError

CONFIG = EncoderConfig(
    width=16, heads=2, feedforward=16, blocks=2, window=((4, 2), (6, 0)), conv_kernel=3, stack=2
)


def encoder() -> Encoder:
    torch.manual_seed(0)
    return Encoder(5, CONFIG).eval()


def test_a_stretch_has_the_weights_of_the_whole():
    model, frames = encoder(), torch.randn(101, 5)
    whole = attention_weights(model, frames)
    assert [layer.weights.shape for layer in whole] == [(2, 51, 4), (2, 51, 4)]
    assert [layer.left for layer in whole] == [2, 3]
    part = attention_weights(model, frames, 40, 60)
    for one, other in zip(whole, part):
        np.testing.assert_allclose(other.weights, one.weights[:, 20:30], atol=1e-5)
    for layer in whole:
        np.testing.assert_allclose(layer.weights.sum(-1), 1, atol=1e-5)
    assert not model.layers[0].layer._forward_pre_hooks


def test_an_encoder_without_attention_and_an_empty_stretch_are_refused():
    with pytest.raises(UsageError, match="no frames from 90"):
        attention_weights(encoder(), torch.randn(10, 5), 90)
    with pytest.raises(UsageError, match="no attention in windows"):
        attention_weights(Encoder(5, CnnConfig()).eval(), torch.randn(10, 5))
