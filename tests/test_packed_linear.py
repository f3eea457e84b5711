"""Packed linear layers: the same numbers, and what is shared with the model."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import nn

from speechattn import packed_linear
from speechattn.encoder import EncoderConfig, PhoneClassifier
from speechattn.errors import ConfigError
from speechattn.kernels import fast_bfloat16
from speechattn.layers import FeedForward
from speechattn.packed_linear import (
    PackedFeedForward,
    PackedLinear,
    fastest_precision,
    with_packed_linears,
)

needs_onednn = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="this PyTorch has no oneDNN to pack with"
)


def classifier(**changes) -> PhoneClassifier:
    torch.manual_seed(1)
    config = EncoderConfig(width=32, heads=2, feedforward=64, blocks=2, window=(8, 4), **changes)
    return PhoneClassifier(8, 5, config).eval()


@needs_onednn
@pytest.mark.parametrize("rows", [1, 16, 333])
@pytest.mark.parametrize("bias", [True, False])
def test_a_packed_layer_computes_what_the_layer_does(rows, bias):
    torch.manual_seed(0)
    layer = nn.Linear(48, 80, bias=bias)
    x = torch.randn(2, rows, 48)
    with torch.inference_mode():
        torch.testing.assert_close(PackedLinear(layer)(x), layer(x), rtol=1e-5, atol=1e-5)


@needs_onednn
@pytest.mark.parametrize("rows", [0, 1, 16, 333])
def test_a_packed_feed_forward_layer_computes_what_the_layer_does(rows):
    torch.manual_seed(0)
    layer = FeedForward(48, 80, 0.1).eval()
    packed, x = PackedFeedForward(layer), torch.randn(2, rows, 48)
    with torch.inference_mode():
        expected = layer(x)
        assert rows == 0 or (expected != layer.contract.bias).any()  # the ReLU lets something by
        for found in (packed(x), packed.advance(x, {}, True), packed.together(x, [rows])):
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@needs_onednn
def test_a_packed_model_gives_the_scores_of_the_model_whole_and_in_chunks():
    model = classifier(conv_kernel=3, stack=2)
    packed = with_packed_linears(model)
    layers = [m for m in packed.modules() if isinstance(m, (nn.Linear, PackedLinear))]
    assert layers and all(isinstance(layer, PackedLinear) for layer in layers)
    x = torch.randn(1, 50, 8)
    with torch.inference_mode():
        expected = model(x)
        torch.testing.assert_close(packed(x), expected, rtol=1e-5, atol=1e-5)
    stream = packed.stream()
    chunks = [stream.push(x[0, i : i + 7], last=i + 7 >= 50) for i in range(0, 50, 7)]
    torch.testing.assert_close(torch.cat(chunks), expected[0], rtol=1e-5, atol=1e-5)


@needs_onednn
def test_the_model_stays_as_it_is_and_can_be_trained():
    model = classifier()
    before = {name: p.clone() for name, p in model.named_parameters()}
    packed = with_packed_linears(model)
    assert packed is not model and packed.mean is model.mean
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())
    model(torch.randn(1, 9, 8)).sum().backward()
    assert all(p.grad is not None for p in model.parameters())


@needs_onednn
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_packed_model_can_be_copied_and_sent_to_another_process(copied):
    packed, x = with_packed_linears(classifier()), torch.randn(1, 20, 8)
    with torch.inference_mode():
        assert torch.equal(copied(packed)(x), packed(x))


def test_other_weights_are_left_as_they_are():
    model = classifier().double()
    assert with_packed_linears(model) is model


def test_without_onednn_the_model_is_used_as_it_is(monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    model = classifier()
    assert with_packed_linears(model) is model


@pytest.mark.skipif(not fast_bfloat16(), reason="this processor has no products in bfloat16")
def test_half_precision_gives_nearly_the_scores():
    model = classifier(conv_kernel=3)
    packed = with_packed_linears(model, "bf16")
    x = torch.randn(1, 50, 8)
    with torch.inference_mode():
        found, expected = packed(x), model(x)
    assert found.dtype == torch.float32
    difference = (found - expected).abs().max().item()
    assert 1e-5 < difference < 0.03 * expected.abs().max().item()


def test_the_fastest_precision_is_that_of_the_device(monkeypatch):
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    for there, expected in ((True, "bf16"), (False, "fp32")):
        monkeypatch.setattr(packed_linear, "fast_bfloat16", lambda there=there: there)
        assert (fastest_precision(cpu), fastest_precision(cuda)) == (expected, "fp32")


def test_a_precision_that_is_not_there(monkeypatch):
    with pytest.raises(ConfigError, match="precision: 'int4'; choose from fp32, bf16"):
        with_packed_linears(classifier(), "int4")
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="precision: bf16; .* use fp32"):
        with_packed_linears(classifier(), "bf16")
