"""Weights of files as arrays: those of the layers in PyTorch, or none if anything is wrong."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from support.array_models import (
    CONFIG,
    DIM,
    PHONES,
    array_encoder,
    as_arrays,
    configs,
    random_classifier,
    random_frames,
    ranges_of,
    shapes_of,
)
from support.six_bits import pack

from speechattn import cache
from speechattn.attention.kernels import byte_matrix
from speechattn.attention.kernels.llvm import LANES
from speechattn.deflated import Deflated
from speechattn.encoder import array_weights, int8, six_bits
from speechattn.encoder.array_weights import (
    PER_STEP,
    STEP,
    SUMS,
    is_supported,
    ready_arrays,
    shapes,
)
from speechattn.encoder.config import EncoderConfig
from speechattn.encoder.encoder import PhoneClassifier
from speechattn.encoder.kinds import CnnConfig, FramesConfig, RnnConfig
from speechattn.encoder.whole_numbers import whole_of

pytestmark = pytest.mark.skipif(not byte_matrix.OFFERED, reason="no products of bytes here")
SUBSAMPLING = ".first", ".second"  # ends of the names of its layers
PROJECT, CONTRACT = "layers.1.layer.project", "layers.2.layer.contract"


@pytest.fixture(autouse=True)
def no_cache(monkeypatch):
    monkeypatch.setenv(cache.VARIABLE, "")


@pytest.fixture(scope="module")
def model():
    return random_classifier(CONFIG)


@pytest.fixture(scope="module")
def ranges(model):
    return as_arrays(ranges_of(model))


@pytest.fixture
def parts(model, ranges):
    """Weights, steps and ranges, to be changed."""
    return as_arrays(model.state_dict()), {}, dict(ranges)


def ready(parts, config=CONFIG):
    return ready_arrays(*parts, config, shapes(config, DIM, PHONES))


def assert_same(found, wanted):
    assert found is not None and found.keys() == wanted.keys()
    for name, values in wanted.items():
        assert found[name].dtype == values.dtype, name
        np.testing.assert_array_equal(found[name], values, name)


@settings(max_examples=50)
@given(configs())
def test_shapes_are_those_of_the_model(config):
    assert is_supported(config)
    model = PhoneClassifier(DIM, PHONES, config)
    found = shapes_of(model)
    assert found == {name: tuple(v.shape) for name, v in model.state_dict().items()}


@pytest.mark.parametrize(
    "config",
    [
        *(CnnConfig(), RnnConfig(), FramesConfig()),
        EncoderConfig(),  # rotary positions
        EncoderConfig(positions="sinusoidal"),
        EncoderConfig(positions="learned", trained_length=100),
        EncoderConfig(positions="distance", scores="additive"),
        EncoderConfig(positions="distance", weights="relu"),
        EncoderConfig(positions="distance", conv_kernel=3),
        EncoderConfig(positions="none", width=4 * LANES, heads=8),
        EncoderConfig(positions="none", width=3 * LANES // 2, heads=1),
        EncoderConfig(positions="none", width=LANES, heads=1, feedforward=LANES + 4),
        None,
    ],
)
def test_what_arrays_cannot_compute(config):
    assert not is_supported(config)


def test_nothing_is_computed_without_products_of_bytes(monkeypatch):
    monkeypatch.setattr(byte_matrix, "OFFERED", False)
    assert not is_supported(CONFIG)


def in_layers(monkeypatch, model, ranges):
    """What the layers of PyTorch make: by name, whole numbers, steps and inverse steps."""
    made = []
    monkeypatch.setattr(int8, "int8_matrix", lambda *given: made.append(given))
    monkeypatch.setattr(int8, "largest_weight", lambda: byte_matrix.MOST_WEIGHT)
    found = {}
    for name, layer in model.named_modules():
        if isinstance(layer, int8.FeedForward):
            inside = [f"{name}.{part}" for part in ("expand", "contract")]
            whole = int8.Int8FeedForward(layer, *(ranges[each] for each in inside))
            found[inside[1]] = (*made.pop(), whole._per_inner_step, whole._bias)
            found[inside[0]] = (*made.pop(), whole._per_step, whole._inner_bias)
        elif name.startswith("layers.") and name.endswith((".project", ".join", *SUBSAMPLING)):
            whole = int8.Int8Linear(layer, ranges[name])
            found[name] = (*made.pop(), whole._per_step, whole._bias)
    assert not made
    return found


@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("subsampling", ["linear", "convolution"])
def test_whole_numbers_and_steps_are_those_of_the_layers(monkeypatch, activation, subsampling):
    config = EncoderConfig(
        width=2 * LANES, heads=2, feedforward=3 * LANES, blocks=2, positions="none",
        subsampling=subsampling, activation=activation,
    )  # fmt: skip
    model = random_classifier(config)
    ranges = {k: v.clamp(min=0.1) for k, v in ranges_of(model).items()}
    arrays = ready_arrays(
        as_arrays(model.state_dict()), {}, as_arrays(ranges), config, shapes_of(model)
    )
    layers = in_layers(monkeypatch, model, ranges)
    assert len(layers) == (10 if subsampling == "convolution" else 8)
    for name, (whole, step, per_step, bias) in layers.items():
        panels, sums = byte_matrix.laid_out(whole.numpy())
        np.testing.assert_array_equal(arrays[f"{name}.weight"], panels)
        np.testing.assert_array_equal(arrays[name + SUMS], sums)
        np.testing.assert_array_equal(arrays[name + STEP], step.numpy())
        np.testing.assert_array_equal(arrays[name + PER_STEP], per_step.numpy())
        np.testing.assert_array_equal(arrays[f"{name}.bias"], bias.numpy())


def test_all_other_weights_are_as_in_the_file(parts):
    found = ready(parts)
    whole = {name.removesuffix(STEP) for name in found if name.endswith(STEP)}
    assert whole == {
        f"layers.{number}.layer.{part}"
        for number, names in enumerate([["project", "join"], ["expand", "contract"]] * 2, 1)
        for part in names
    } | {f"layers.0{part}" for part in SUBSAMPLING}
    for name, values in parts[0].items():
        if name.removesuffix(".weight") not in whole:
            np.testing.assert_array_equal(found[name], values)
            assert found[name].dtype == np.float32


def test_inputs_that_were_quiet_may_become_louder(monkeypatch, model, ranges):
    quiet = {name: values.copy() for name, values in ranges.items()}
    quiet[PROJECT][3] = quiet[CONTRACT][:] = 0
    found = ready_arrays(as_arrays(model.state_dict()), {}, quiet, CONFIG, shapes_of(model))
    tensors = {name: torch.from_numpy(values) for name, values in quiet.items()}
    layers = in_layers(monkeypatch, model, tensors)
    for name in (PROJECT, CONTRACT):
        per_step = layers[name][2].numpy()
        assert np.isfinite(per_step).all()
        np.testing.assert_allclose(found[name + PER_STEP], per_step, rtol=1e-6)
        np.testing.assert_allclose(found[name + STEP], layers[name][1].numpy(), rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float64, np.float16])
def test_floats_of_any_size(parts, dtype):
    weights, steps, ranges = parts
    cut = {name: values.astype(dtype) for name, values in weights.items()}
    again = {name: values.astype(np.float32) for name, values in cut.items()}
    assert_same(ready((cut, steps, ranges)), ready((again, steps, ranges)))


@pytest.mark.parametrize("kind", ["a byte each", "deflated", "four in three bytes"])
def test_weights_in_six_bits(model, parts, kind):
    weights, steps, _ = parts
    packed = as_arrays(six_bits.six_bit_weights(model, [random_frames(100)]))
    loose = dict(weights)
    for name in [name for name in packed if name.endswith(".weight")]:
        step = packed.pop(f"steps.{name.removesuffix('.weight')}")
        steps[name.removesuffix(".weight")] = step
        whole = whole_of(packed[name], weights[name].shape[1])
        loose[name] = whole * step[:, None]
        if kind == "deflated":
            data = np.frombuffer(zlib.compress(packed[name].tobytes()), np.uint8)
            packed[name] = Deflated(name, data, packed[name].dtype, packed[name].shape)
        elif kind == "four in three bytes" and whole.shape[1] % 4 == 0:
            packed[name] = pack(whole)
    assert len(steps) == 10  # with those of the subsampling
    weights.update(packed)
    assert_same(ready(parts), ready((loose, {}, parts[2])))


def deflated(weights, change):
    """Deflate a layer of 6 bits, and change its bytes."""
    values = weights[f"{PROJECT}.weight"]
    data = np.frombuffer(change(zlib.compress(values.tobytes())), np.uint8)
    return {f"{PROJECT}.weight": Deflated(PROJECT, data, values.dtype, values.shape)}


def to_six_bits(parts, step=None):
    """Make a layer one of 6 bits whose steps are those given, or right."""
    weights, steps, _ = parts
    rows, columns = weights[f"{PROJECT}.weight"].shape
    weights[f"{PROJECT}.weight"] = np.full((rows, columns), 37, np.uint8)
    steps[PROJECT] = np.full(rows, 0.01, np.float32) if step is None else step(rows)


@pytest.mark.parametrize(
    "damage",
    [
        lambda w, s, r: w.pop("norm.bias"),
        lambda w, s, r: w.pop(f"{PROJECT}.weight"),
        lambda w, s, r: w.update(more=np.ones(3, np.float32)),
        lambda w, s, r: w.update(mean=w["mean"][:-1]),
        lambda w, s, r: w.update({"norm.weight": w["norm.weight"][None]}),
        lambda w, s, r: w.update({f"{PROJECT}.weight": w[f"{PROJECT}.weight"].T}),
        lambda w, s, r: w.update({f"{CONTRACT}.bias": w[f"{CONTRACT}.bias"] * np.nan}),
        lambda w, s, r: w.update({f"{CONTRACT}.weight": w[f"{CONTRACT}.weight"] * np.inf}),
        lambda w, s, r: w.update(std=w["std"] * np.nan),
        lambda w, s, r: w.update({"norm.bias": w["norm.bias"].astype(np.int32)}),
        lambda w, s, r: w.update({f"{PROJECT}.weight": w[f"{PROJECT}.weight"].astype(np.int8)}),
        lambda w, s, r: w.update({f"{PROJECT}.weight": w[f"{PROJECT}.weight"] > 0}),
        lambda w, s, r: s.update({PROJECT: np.ones(6 * LANES, np.float32)}),  # of floats
        lambda w, s, r: r.pop(PROJECT),
        lambda w, s, r: r.pop(CONTRACT),
        lambda w, s, r: r.clear(),
        lambda w, s, r: r.update({PROJECT: -r[PROJECT]}),
        lambda w, s, r: r.update({PROJECT: r[PROJECT] * np.float16(np.nan)}),
        lambda w, s, r: r.update({CONTRACT: r[CONTRACT] * np.float16(np.inf)}),
        lambda w, s, r: r.update({PROJECT: r[PROJECT][1:]}),
        lambda w, s, r: r.update({PROJECT: r[PROJECT][None]}),
        lambda w, s, r: to_six_bits((w, s, r), lambda rows: np.full(rows, np.nan, np.float32)),
        lambda w, s, r: to_six_bits((w, s, r), lambda rows: np.ones(rows + 1, np.float32)),
        lambda w, s, r: (to_six_bits((w, s, r)), w.update(deflated(w, lambda data: data[:-9]))),
        lambda w, s, r: (
            to_six_bits((w, s, r)),
            w.update(deflated(w, lambda data: bytes(len(data)))),
        ),
    ],
)
def test_damage_gives_nothing(parts, damage):
    assert ready(parts) is not None
    damage(*parts)
    assert ready(parts) is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda w, s, r: (to_six_bits((w, s, r)), s.clear()),  # no steps
        lambda w, s, r: to_six_bits((w, s, r), lambda rows: np.ones(1, np.float32)),
        lambda w, s, r: to_six_bits((w, s, r), lambda rows: np.float32(1)[()]),
        lambda w, s, r: to_six_bits((w, s, r), lambda rows: np.ones((rows, 1), np.float32)),
        lambda w, s, r: to_six_bits((w, s, r), lambda rows: np.ones(rows, np.int32)),
        lambda w, s, r: s.update({"layers.9.layer.join": np.ones(4, np.float32)}),
        lambda w, s, r: s.update({"norm": np.ones(2 * LANES, np.float32)}),
        lambda w, s, r: r.update({PROJECT: np.ones(2 * LANES, np.int32)}),
        lambda w, s, r: r.update({"layers.9.layer.join": np.ones(4, np.float16)}),
        lambda w, s, r: r.update({"enter": np.full(4, np.nan, np.float16)}),
    ],
    ids=["no steps", "one step", "a number", "too deep", "whole steps", "steps of nothing",
         "steps of a norm", "whole ranges", "ranges of nothing", "ranges of no use"],
)  # fmt: skip
def test_what_pytorch_refuses_gives_nothing(parts, damage):
    damage(*parts)
    assert ready(parts) is None


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_arrays_are_made_once(parts, folder, monkeypatch):
    first = ready(parts)
    (path,) = folder.glob("*.safetensors")
    monkeypatch.setattr(array_weights, "_made", lambda *_: pytest.fail("these are in the cache"))
    assert_same(ready(parts), first)
    monkeypatch.undo()
    monkeypatch.setenv(cache.VARIABLE, "")
    assert_same(ready(parts), first)
    path.unlink()  # what is mapped stays as it is
    path.write_bytes(b"damaged")
    monkeypatch.setenv(cache.VARIABLE, str(folder))
    assert_same(ready(parts), first)


def test_other_weights_ranges_and_steps_are_other_arrays(parts, folder):
    weights, steps, ranges = parts
    ready(parts)
    for name in ("norm.bias", f"{PROJECT}.weight"):
        changed = {**weights, name: weights[name] + 1}
        assert not np.array_equal(ready((changed, steps, ranges))[name], ready(parts)[name])
    changed = {**ranges, PROJECT: ranges[PROJECT] * 2}
    name = PROJECT + PER_STEP
    assert not np.array_equal(ready((weights, steps, changed))[name], ready(parts)[name])


def test_another_activation_is_another_entry(parts, folder, monkeypatch):
    relu = EncoderConfig(**{**vars(CONFIG), "activation": "relu"})
    gelu_made, relu_made = ready(parts), ready(parts, relu)
    assert gelu_made is not None and relu_made is not None
    assert not np.array_equal(gelu_made[CONTRACT + STEP], relu_made[CONTRACT + STEP])


def test_damage_is_not_kept(parts, folder):
    weights, steps, ranges = parts
    assert ready((weights, steps, {})) is None
    assert not list(folder.glob("*")) and ready(parts) is not None


@pytest.mark.parametrize(
    "change", [{"stack": 1}, {"blocks": 1}, {"width": 4 * LANES}, {"subsampling": "linear"}]
)
def test_weights_of_another_shape_are_refused_from_the_cache_too(parts, folder, change):
    assert ready(parts) is not None
    assert ready(parts, EncoderConfig(**{**vars(CONFIG), **change})) is None


def test_mapped_arrays_serve_as_well_as_those_in_memory(model, folder):
    frames, ranges = [random_frames(50)], ranges_of(model)
    first, mapped = (array_encoder(model, ranges).scores(frames)[0] for _ in range(2))
    np.testing.assert_array_equal(first, mapped)
