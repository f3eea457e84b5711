"""Linear layers in 8 bits, against the same in NumPy's whole numbers."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from speechattn.encoder.config import EncoderConfig
from speechattn.encoder.encoder import PhoneClassifier
from speechattn.encoder.int8 import (
    Int8FeedForward,
    Int8Linear,
    check_ranges,
    input_ranges,
    whole_numbers,
)
from speechattn.encoder.int8_matrix import fast_int8
from speechattn.encoder.layers import FeedForward
from speechattn.encoder.onednn import largest_weight
from speechattn.errors import ModelError

needs_int8 = pytest.mark.skipif(
    not fast_int8(), reason="this processor has no products of 8-bit numbers"
)


def in_whole_numbers(x, weight, ranges):
    """What a matrix makes of x when both are whole numbers of steps, without a bias; float64."""
    step = ranges / 127
    inputs = np.clip(np.floor(x / step + 0.5), -128, 127)
    weight = weight * step
    of_row = np.abs(weight).max(1, keepdims=True) / largest_weight()
    return inputs @ np.round(weight / of_row).T * of_row[:, 0]


@needs_int8
@pytest.mark.parametrize("rows", [0, 1, 16, 333])
@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_in_eight_bits_against_numpy(rows, bias):
    torch.manual_seed(0)
    layer = nn.Linear(48, 80, bias=bias)
    loudness = torch.logspace(-2, 2, 48)  # one input is ten thousand times as loud as another
    x, ranges = torch.randn(2, rows, 48) * loudness, 3 * loudness
    ranges = ranges.maximum(0.01 * ranges.mean())
    with torch.inference_mode():
        found = Int8Linear(layer, ranges)(x)
    expected = in_whole_numbers(*(v.detach().double().numpy() for v in (x, layer.weight, ranges)))
    if bias:
        expected = expected + layer.bias.detach().numpy()
    assert found.dtype == torch.float32 and found.shape == (2, rows, 80)
    scale = np.abs(expected).max(initial=1)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4, atol=1e-4 * scale)


@needs_int8
def test_loud_and_quiet_inputs_are_told_equally_well():
    torch.manual_seed(0)
    layer, loudness = nn.Linear(48, 80), torch.logspace(-1, 1, 48)
    with torch.no_grad():
        layer.weight /= loudness
    x = torch.randn(500, 48) * loudness
    with torch.inference_mode():
        found, expected = Int8Linear(layer, x.abs().amax(0))(x), layer(x)
    assert (found - expected).abs().mean() < 0.02 * expected.abs().mean()


@needs_int8
@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("rows", [0, 1, 16, 333])
def test_a_feed_forward_layer_in_eight_bits(rows, activation):
    torch.manual_seed(0)
    layer = FeedForward(48, 80, 0.1, activation).eval()
    x = torch.randn(2, max(rows, 1), 48)
    with torch.inference_mode():
        inner = layer.activate(layer.expand(x))
        ranges = x.abs().amax((0, 1)), inner.abs().amax((0, 1))
        small, x = Int8FeedForward(layer, *ranges), x[:, :rows]
        expected = layer(x)
        for found in (small(x), small.forward_chunk(x, {}, True), small.forward_varlen(x, [rows])):
            assert found.shape == expected.shape and found.dtype == torch.float32
            error = (found - expected).abs().mean() if rows else 0
            most = 0.02 if largest_weight() == 127 else 0.03  # steps are twice as wide without VNNI
            assert error <= most * expected.abs().mean().nan_to_num()


@needs_int8
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies(copied):
    layer, x = Int8Linear(nn.Linear(16, 32), torch.ones(16)), torch.randn(1, 5, 16)
    with torch.inference_mode():
        assert torch.equal(copied(layer)(x), layer(x))


@needs_int8
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_a_row_is_the_same_beside_any_others(activation):
    layer, x = FeedForward(48, 80, 0.1, activation), torch.randn(1, 300, 48)
    with torch.inference_mode():
        small = Int8FeedForward(layer, torch.full((48,), 3.0), torch.full((80,), 2.0))
        together = small(x)
        for first in (1, 255, 299):
            assert torch.equal(small(x[:, first:]), together[:, first:])


@pytest.mark.parametrize("shape", [(1,), (2, 1)])  # compiled and by PyTorch
def test_whole_numbers_of_a_gelu(shape):
    x = torch.cat([torch.linspace(-9, 9, 2001), torch.tensor([-1e9, -50.0, 50.0, 1e9])])
    per_step = torch.full((len(x),), 20.0)
    found = whole_numbers(x.expand(*shape, -1), per_step, 1, gelu=True)[..., 0, :]
    exact = (F.gelu(x.double()) * 20 + 128).clamp(0, 255)
    assert (found - exact).abs().max() < 0.5 + 20 * 0.00014


@pytest.mark.parametrize("times", [1, 3])  # fewer than a vector, more
@pytest.mark.parametrize("shape", [(1,), (1, 1), (2, 1)])
def test_whole_numbers_are_the_nearest_and_cut_off(times, shape):
    x = torch.tensor([-1e9, -1.0, -0.26, -0.24, 0.0, 0.24, 0.26, 1.0, 63.4, 63.6, 1e9] * times)
    found = whole_numbers(x.expand(*shape, -1), torch.full((11 * times,), 2.0), 16)
    assert found.dtype == torch.uint8 and found.shape == (*shape[:-1], 16, 11 * times)
    expected = [0, 126, 127, 128, 128, 128, 129, 130, 255, 255, 255] * times
    assert (found[..., 0, :] == torch.tensor(expected)).all()


def test_rows_of_another_width_than_the_steps_are_named():
    with pytest.raises(ValueError, match=r"x: shape \(3, 40\)"):
        whole_numbers(torch.zeros(3, 40), torch.ones(20), 3)


def classifier() -> PhoneClassifier:
    torch.manual_seed(1)
    config = EncoderConfig(width=32, heads=2, feedforward=64, blocks=2, window=(8, 4))
    return PhoneClassifier(8, 5, config).eval()


def test_ranges_are_the_largest_magnitudes_of_every_layers_inputs():
    model = classifier()
    draw = np.random.default_rng(0)
    recordings = [draw.standard_normal((n, 8)) for n in (30, 0, 7)]
    ranges = input_ranges(model, recordings)
    layers = {n: m for n, m in model.named_modules() if isinstance(m, nn.Linear)}
    assert ranges.keys() == layers.keys()
    seen = []
    hook = layers["enter"].register_forward_pre_hook(lambda _, x: seen.append(x[0].abs()))
    with torch.inference_mode():
        for frames in recordings:
            if len(frames):
                model(torch.from_numpy(frames).float()[None])
    hook.remove()
    assert len(seen) == 2  # and no hook is left behind
    largest = torch.cat([x.flatten(0, -2) for x in seen]).amax(0)
    found = ranges["enter"].float()
    assert ranges["enter"].dtype == torch.float16
    assert (found >= largest).all() and (found <= 1.002 * largest).all()
    check_ranges(ranges, model)


@pytest.mark.parametrize(
    "name, values, message",
    [
        ("layers.9.layer.join", torch.ones(32), "layers.9.layer.join: there is no such layer"),
        ("enter", torch.ones(9), r"enter: torch.float32 of shape \(9,\), not .* shape \(8,\)"),
        ("enter", torch.ones(8, dtype=torch.int32), "enter: torch.int32"),
        ("enter", torch.full((8,), -1.0), "enter: not all finite and above 0"),
        ("enter", torch.full((8,), torch.inf), "enter: not all finite and above 0"),
    ],
)
def test_ranges_that_are_not_those_of_the_model(name, values, message):
    with pytest.raises(ModelError, match=message):
        check_ranges({name: values}, classifier())
