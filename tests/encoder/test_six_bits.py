"""Weights in 6 bits: how they lie in bytes, and how they are rounded."""

from __future__ import annotations

import hypothesis.extra.numpy as npst
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.six_bits import pack

from speechattn.encoder.config import EncoderConfig
from speechattn.encoder.encoder import PhoneClassifier
from speechattn.encoder.six_bits import (
    LARGEST,
    _best_steps,
    _rounded,
    restore_six_bits,
    six_bit_weights,
)
from speechattn.encoder.whole_numbers import OFFSET, whole_of
from speechattn.errors import ModelError

WHOLE = npst.arrays(
    np.int8,
    st.tuples(st.integers(0, 5), st.integers(0, 9).map(lambda groups: 4 * groups)),
    elements=st.integers(-LARGEST, LARGEST),
)
CONFIG = EncoderConfig(width=32, heads=2, feedforward=72, blocks=2, window=(8, 4), stack=2)


@given(WHOLE)
def test_numbers_come_back_the_same_from_old_files_and_new_ones(whole):
    packed = pack(whole)
    assert packed.shape == (whole.shape[0], whole.shape[1] * 3 // 4)
    for stored in (packed, (whole + OFFSET).astype(np.uint8)):
        found = whole_of(stored, whole.shape[1])
        assert found.dtype == np.int8 and np.array_equal(found, whole)


def random_layer(rows=24, columns=80, frames=300):
    """Weights, and inputs that resemble each other, some loud and some quiet; float64."""
    random = np.random.default_rng(0)
    few = random.normal(size=(frames, columns // 4)) @ random.normal(size=(columns // 4, columns))
    inputs = (few + random.normal(size=few.shape)) * np.geomspace(0.1, 10, columns)
    return random.normal(size=(rows, columns)), inputs


def one_column_after_the_other(weight, products, step):
    """Round columns; after each, those that are left become the best ones for what is rounded."""
    damped = products + 0.01 * np.diag(products).mean() * np.eye(len(products))
    order = np.argsort(-np.diag(products))
    whole = np.zeros_like(weight)
    for i in range(len(order)):
        done, left = order[:i], order[i:]
        error = whole[:, done] * step[:, None] - weight[:, done]
        to_add = np.linalg.solve(damped[np.ix_(left, left)], damped[np.ix_(left, done)] @ error.T)
        target = weight[:, order[i]] - to_add[0]
        whole[:, order[i]] = np.clip(np.round(target / step), -LARGEST, LARGEST)
    return whole


@pytest.mark.parametrize("columns", [4, 64, 150])  # fewer and more than are rounded at once
def test_rounding_against_one_column_after_the_other(columns):
    weight, inputs = random_layer(columns=columns)
    products = inputs.T @ inputs
    whole, step = _rounded(torch.from_numpy(weight), torch.from_numpy(products))
    assert whole.dtype == torch.int8 and whole.abs().max() <= LARGEST
    assert torch.equal(step, step.float().double())  # a file holds float32
    expected = one_column_after_the_other(weight, products, step.numpy())
    assert np.array_equal(whole.numpy(), expected)


def test_what_a_layer_gives_is_nearer_than_with_the_nearest_weights():
    weight, inputs = random_layer()
    products = torch.from_numpy(inputs.T @ inputs)
    whole, step = _rounded(torch.from_numpy(weight), products)
    largest = np.abs(weight).max(1) / LARGEST
    nearest = np.round(weight / largest[:, None]) * largest[:, None]
    best = _best_steps(torch.from_numpy(weight), products.diagonal()).numpy()[:, None]
    clipped = np.clip(np.round(weight / best), -LARGEST, LARGEST) * best

    def error(rounded):
        return np.linalg.norm(inputs @ (rounded - weight).T) / np.linalg.norm(inputs @ weight.T)

    found = error((whole * step[:, None]).numpy())
    assert found < 0.6 * error(clipped) < 0.6 * error(nearest) < 0.03


def test_rows_of_zeros_stay_zeros_and_others_do_not_change():
    weight, inputs = random_layer()
    weight, products = torch.from_numpy(weight), torch.from_numpy(inputs.T @ inputs)
    zeros = weight.clone()
    zeros[[0, 7]] = 0
    zeros[3] = 1e-42  # less than float32 has in full
    whole, step = _rounded(zeros, products)
    assert not whole[[0, 3, 7]].any() and (step.float() > 0).all()
    other = [row for row in range(len(weight)) if row not in (0, 3, 7)]
    assert torch.equal(whole[other], _rounded(weight, products)[0][other])


def test_inputs_that_say_nothing_leave_the_nearest_weights():
    weight, _ = random_layer()
    weight = torch.from_numpy(weight)
    whole, step = _rounded(weight, torch.zeros(80, 80, dtype=torch.float64))
    near = (weight / step[:, None]).round().clamp(-LARGEST, LARGEST)
    assert torch.equal(whole.double(), near)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
@pytest.mark.parametrize("kind", ["one input", "all alike", "not quite positive"])
def test_inputs_that_hang_together_can_be_rounded(kind, scale):
    weight, inputs = random_layer()
    if kind == "one input":
        inputs[:, 1:] = 0
    elif kind == "all alike":
        inputs[:] = inputs[:, :1]
    products = torch.from_numpy(inputs.T @ inputs)
    if kind == "not quite positive":  # as float32 might make them, only more so
        products -= 0.02 * products.diagonal().mean() * torch.eye(80)
    weight = torch.from_numpy(weight)
    whole, step = _rounded(weight, products * scale)
    assert (whole * step[:, None] - weight).isfinite().all() and whole.any()
    assert whole.abs().max() <= LARGEST


def random_classifier(**changes) -> tuple[PhoneClassifier, list[torch.Tensor]]:
    """A model, and frames for it."""
    torch.manual_seed(0)
    config = EncoderConfig(**{**CONFIG.to_dict(), **changes})
    model = PhoneClassifier(8, 5, config).eval()
    return model, [torch.randn(count, 8) for count in (90, 1, 0, 301)]


def layers_within(model: PhoneClassifier) -> dict[str, torch.nn.Linear]:
    linears = {n: m for n, m in model.named_modules() if isinstance(m, torch.nn.Linear)}
    return {name: layer for name, layer in linears.items() if name.startswith("layers.")}


def test_the_layers_within_an_encoder_are_rounded_for_their_inputs():
    model, recordings = random_classifier()
    layers, inputs = layers_within(model), {}
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = six_bit_weights(model, recordings)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert found.keys() == {f"{n}.weight" for n in layers} | {f"steps.{n}" for n in layers}
    for name, layer in layers.items():
        inputs[name] = []
        layer.register_forward_pre_hook(lambda _, x, name=name: inputs[name].append(x[0][0]))
    with torch.no_grad():
        for frames in recordings:
            if len(frames):
                model(frames[None])
    for name, layer in layers.items():
        step, x = found[f"steps.{name}"], torch.cat(inputs[name])
        assert step.dtype == torch.float32 and step.shape == (layer.out_features,)
        stored = found[f"{name}.weight"]
        assert stored.dtype == torch.uint8 and stored.shape == layer.weight.shape
        weight = (stored.float() - OFFSET) * step[:, None]
        nearest = layer.weight.detach().abs().amax(1, keepdim=True) / LARGEST
        nearest = (layer.weight / nearest).round() * nearest
        error, of_nearest = ((x @ (w - layer.weight).T).norm() for w in (weight, nearest))
        assert 0 < error < 0.9 * of_nearest, name
    assert not six_bit_weights(model, [])


def test_frames_may_be_arrays_and_the_random_state_plays_no_part():
    model, recordings = random_classifier()
    first = six_bit_weights(model, recordings)
    torch.manual_seed(9)
    second = six_bit_weights(model, (frames.numpy() for frames in recordings))
    assert all(torch.equal(first[name], value) for name, value in second.items())


def test_layers_of_any_width_are_rounded():
    model, recordings = random_classifier(feedforward=70)
    found = six_bit_weights(model, recordings)
    layers = layers_within(model)
    assert any(layer.in_features % 4 for layer in layers.values())
    assert found.keys() == {f"{n}.weight" for n in layers} | {f"steps.{n}" for n in layers}


@pytest.mark.parametrize("byte", [64, 255])
def test_bytes_that_are_no_numbers_of_6_bits_are_refused(byte):
    stored = np.full((2, 8), 63, np.uint8)
    assert whole_of(stored, 8).max() == 31
    stored[1, 3] = byte
    with pytest.raises(ValueError, match="more than 6 bits"):
        whole_of(stored, 8)
    with pytest.raises(ModelError, match=r"layers\.0\.a\.weight: numbers of more than 6 bits"):
        restored(**{"layers.0.a.weight": torch.from_numpy(stored)})


def test_a_recording_counts_as_far_as_learned_positions_reach():
    model, recordings = random_classifier(positions="learned", trained_length=100)
    found = six_bit_weights(model, recordings)
    cut = six_bit_weights(model, [frames[:100] for frames in recordings])
    assert found and all(torch.equal(found[name], value) for name, value in cut.items())


NUMBERS = np.arange(-8, 8, dtype=np.int8).reshape(2, 8)
SHAPES = {"layers.0.a.weight": (2, 8), "layers.0.b.weight": (2, 8)}


def restored(**changes) -> dict[str, torch.Tensor]:
    """What becomes of weights in a file."""
    weights = {
        "layers.0.a.weight": torch.from_numpy((NUMBERS + OFFSET).astype(np.uint8)),
        "steps.layers.0.a": torch.tensor([0.5, 3.0]),
        "layers.0.a.bias": torch.ones(2),
        "words.counts": torch.ones(2, 3, dtype=torch.uint8),
        **changes,
    }
    restore_six_bits(weights, SHAPES)
    return weights


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_weights_of_a_file_become_float32(dtype, old):
    changes = {"steps.layers.0.a": torch.tensor([0.5, 3.0], dtype=dtype)}
    if old:
        changes["layers.0.a.weight"] = torch.from_numpy(pack(NUMBERS))
    found = restored(**changes)
    assert found.keys() == {"layers.0.a.weight", "layers.0.a.bias", "words.counts"}
    expected = torch.from_numpy(NUMBERS) * torch.tensor([[0.5], [3.0]])
    assert found["layers.0.a.weight"].dtype == torch.float32
    assert torch.equal(found["layers.0.a.weight"], expected)
    assert found["words.counts"].dtype == torch.uint8


@pytest.mark.parametrize(
    "changes",
    [
        {"steps.layers.0.a": torch.ones(3)},
        {"steps.layers.0.a": torch.ones(2, 1)},
        {"steps.layers.0.a": torch.tensor(1.0)},
        {"steps.layers.0.a": torch.ones(2, dtype=torch.int64)},
        {"layers.0.a.weight": torch.zeros(2, dtype=torch.uint8)},
        {"layers.0.a.weight": torch.zeros(2, 6, 1, dtype=torch.uint8)},
        {"layers.0.a.weight": torch.tensor(3, dtype=torch.uint8)},
        {"layers.0.b.weight": torch.zeros(2, 6, dtype=torch.uint8)},
    ],
)
def test_weights_without_steps_that_fit_are_refused(changes):
    with pytest.raises(ModelError, match=r"layers\.0\..\.weight: 6 bits without steps that fit"):
        restored(**changes)


def test_a_layer_of_no_columns_has_none():
    found = restored(**{"layers.0.a.weight": torch.zeros(2, 0, dtype=torch.uint8)})
    assert found["layers.0.a.weight"].shape == (2, 0)
