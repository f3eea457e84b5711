"""Layers of rows in bytes: against NumPy, the same bits in every way, and whatever is beside a row."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from speechattn.attention.kernels import amx, byte_layers, byte_tiles, threads
from speechattn.attention.kernels.byte_layers import GELU, RELU, STRIP, Product, RowLayer
from speechattn.attention.kernels.byte_matrix import BytePanels
from speechattn.attention.kernels.byte_tiles import MOST_WEIGHT, PANEL, TILE
from speechattn.attention.kernels.llvm import LANES
from speechattn.attention.kernels.norms import EPSILON, Norm
from speechattn.attention.kernels.threads import Fixed

pytestmark = pytest.mark.skipif(not byte_tiles.OFFERED, reason="no products of bytes here")
GELU_ERROR = 0.00014
WIDTHS = st.integers(1, 9).map(lambda vectors: vectors * LANES)
ROWS = st.integers(0, TILE + 1) | st.sampled_from([15, 16, 17, 31, 32, 33, 47, STRIP + 5])


@pytest.fixture(params=["without AMX", "AMX"])
def way(request, monkeypatch):
    """Compute in one way; both give what the same tests want."""
    with_amx = request.param == "AMX"
    if with_amx and not byte_layers.uses_amx():
        pytest.skip("no AMX here")
    monkeypatch.setattr(byte_layers, "uses_amx", lambda: with_amx)


each_way = pytest.mark.usefixtures("way")
many = settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def numbers(*shape, seed=0, scale=1.0, shift=0.0):
    random = np.random.default_rng(seed).standard_normal(shape)
    return (scale * random + shift).astype(np.float32)


class Matrix:
    """A matrix of bytes with steps and bias, and the same in float64."""

    def __init__(self, outputs, inputs, seed=0, step=0.01):
        random = np.random.default_rng(seed)
        self.whole = random.integers(-MOST_WEIGHT, MOST_WEIGHT + 1, (outputs, inputs))
        self.step = (step * random.uniform(0.5, 1, outputs)).astype(np.float32)
        self.bias = random.standard_normal(outputs).astype(np.float32)

    def product(self, zero, **more):
        panels = BytePanels.of(self.whole.astype(np.int8), self.step)
        return Product(panels.layer(zero, self.bias), zero, **more)

    def exact(self, whole_numbers):
        """The product with bytes less their zero, in whole numbers as far as possible."""
        sums = whole_numbers.astype(np.int64) @ self.whole.T
        return sums.astype(np.float32) * self.step + self.bias


def identity(count, zero):
    """A product that gives its bytes."""
    panels = BytePanels.of(np.eye(count, dtype=np.int8), np.ones(count, np.float32))
    return Product(panels.layer(0, None), zero)


def bytes_of(x, per_step, zero, norm=None):
    """What a layer makes of rows before it multiplies them."""
    return RowLayer(norm, Fixed(per_step), identity(x.shape[1], zero))(x)


def assert_nearest(found, wanted):
    """Bytes are the nearest ones to float64 numbers; between two, either will do."""
    nearest = np.rint(wanted).clip(0, 255)
    assert found.shape == wanted.shape
    assert np.abs(found - wanted.clip(0, 255)).max(initial=0) < 0.5 + 1e-3
    between = np.abs(wanted - np.floor(wanted) - 0.5) < 1e-3
    np.testing.assert_array_equal(found[~between], nearest[~between])


@each_way
@many
@given(rows=ROWS, count=WIDTHS, zero=st.sampled_from([0, 1, 128, 255]), seed=st.integers(0, 99))
def test_rows_are_rounded_to_the_nearest_bytes(rows, count, zero, seed):
    x, per_step = numbers(rows, count, seed=seed), 60 * np.abs(numbers(count, seed=9))
    before = x.copy()
    assert_nearest(bytes_of(x, per_step, zero), x.astype(float) * per_step + zero)
    np.testing.assert_array_equal(x, before)


@each_way
@many
@given(rows=ROWS, count=WIDTHS, zero=st.sampled_from([0, 128]), seed=st.integers(0, 99))
def test_normalised_rows_are_rounded_to_the_nearest_bytes(rows, count, zero, seed):
    x, per_step = numbers(rows, count, seed=seed), 40 * np.abs(numbers(count, seed=9))
    weight, bias = numbers(count, seed=1, shift=1), numbers(count, seed=2)
    double = [torch.from_numpy(each).double() for each in (x, weight, bias)]
    exact = F.layer_norm(double[0], (count,), *double[1:], EPSILON).numpy()
    found = bytes_of(x, per_step, zero, Norm(weight, bias))
    assert_nearest(found, exact * per_step + zero)


@each_way
def test_what_is_beyond_bytes_is_clipped_and_halves_become_a_neighbour():
    x = np.repeat(np.array([-np.inf, -1e30, -129, 128, 1e30, np.inf], np.float32), LANES)
    found = bytes_of(x[None], np.ones_like(x), 128)
    assert found.reshape(6, LANES).tolist() == [[0] * LANES] * 3 + [[255] * LANES] * 3
    x = (np.arange(-8 * LANES, 8 * LANES, dtype=np.float32) / 2)[None]
    found = bytes_of(x, np.ones(x.shape[1], np.float32), 128)
    assert np.abs(found - x - 128).max() == 0.5
    np.testing.assert_array_equal(found[0, ::2], x[0, ::2] + 128)


@each_way
@many
@given(
    rows=ROWS, inputs=WIDTHS, outputs=WIDTHS, zero=st.sampled_from([0, 1, 128, 255]),
    adds=st.booleans(), seed=st.integers(0, 99),
)  # fmt: skip
def test_one_product_is_exact(rows, inputs, outputs, zero, adds, seed):
    x = np.random.default_rng(seed).integers(-zero, 256 - zero, (rows, inputs)).astype(np.float32)
    matrix = Matrix(outputs, inputs, seed)
    layer = RowLayer(None, Fixed(np.ones(inputs, np.float32)), matrix.product(zero))
    added = numbers(rows, outputs, seed=seed) if adds else None
    found = layer(x, added)
    wanted = matrix.exact(x)
    assert found.dtype == np.float32 and found.shape == (rows, outputs)
    np.testing.assert_array_equal(found, wanted + added if adds else wanted)


@each_way
@pytest.mark.parametrize("inputs", [64, 512, 2048])
@pytest.mark.parametrize("sign", [1, -1])
def test_the_largest_numbers_do_not_overflow(inputs, sign):
    x = np.full((37, inputs), 255, np.float32)
    panels = BytePanels.of(
        np.full((PANEL, inputs), sign * MOST_WEIGHT, np.int8), np.ones(PANEL, np.float32)
    )
    layer = RowLayer(None, Fixed(np.ones(inputs, np.float32)), Product(panels.layer(0, None), 0))
    assert (layer(x) == np.float32(sign * 255 * MOST_WEIGHT * inputs)).all()


@each_way
@many
@given(
    rows=ROWS, width=WIDTHS, inner=WIDTHS, outputs=WIDTHS, relu=st.booleans(),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_two_products_and_what_lies_between(rows, width, inner, outputs, relu, seed):
    x = np.random.default_rng(seed).integers(-128, 128, (rows, width)).astype(np.float32)
    first, second = Matrix(inner, width, seed), Matrix(outputs, inner, seed + 1)
    per_step = Fixed((20 * (1 + np.arange(inner) % 3)).astype(np.float32))
    finish, zero = (RELU, 0) if relu else (GELU, 128)
    each = Fixed(np.ones(width, np.float32))
    between = first.exact(x).astype(np.float64)
    if relu:
        wanted = between
    else:
        wanted = F.gelu(torch.from_numpy(between)).numpy() * per_step.array + zero
    # The bytes between, through a second product that gives them as they are.
    made = first.product(128, finish=finish, per_step=per_step)
    found = RowLayer(None, each, made, identity(inner, zero))(x)
    assert np.abs(found - wanted.clip(0, 255)).max(initial=0) <= 0.5 + 60 * GELU_ERROR
    y = RowLayer(None, each, made, second.product(zero))(x, added := numbers(rows, outputs))
    np.testing.assert_array_equal(y, added + second.exact(found - zero))


def layer_of(seed=0, width=2 * PANEL, inner=5 * PANEL, relu=False):
    finish, zero = (RELU, 0) if relu else (GELU, 128)
    return RowLayer(
        Norm(numbers(width, seed=seed, shift=1), numbers(width, seed=seed + 1)),
        Fixed(np.full(width, 30, np.float32)),
        Matrix(inner, width, seed).product(
            128, finish=finish, per_step=Fixed(np.full(inner, 25, np.float32))
        ),
        Matrix(width, inner, seed + 1).product(zero),
    )


@each_way
@many
@given(first=st.integers(0, STRIP), count=st.integers(1, 2 * STRIP), relu=st.booleans())
def test_a_row_is_the_same_beside_any_others(first, count, relu):
    x, layer = numbers(3 * STRIP, 2 * PANEL), layer_of(relu=relu)
    some = slice(first, first + count)
    np.testing.assert_array_equal(layer(x[some].copy()), layer(x)[some])


@each_way
@pytest.mark.parametrize("cores", [2, 3, 8])
def test_any_number_of_cores_gives_the_same_bits(monkeypatch, cores):
    x, layer = numbers(301, 2 * PANEL), layer_of()
    alone = layer(x, x)
    monkeypatch.setattr(threads, "WORTHWHILE", 1)
    monkeypatch.setattr(threads, "num_threads", lambda: cores)
    np.testing.assert_array_equal(layer(x, x), alone)


@each_way
def test_nan_stays_in_its_row():
    x = numbers(40, 2 * PANEL)
    clean = layer_of()(x)
    x[7, 3] = np.nan
    found = layer_of()(x, x)
    assert np.isnan(found[7]).any()
    rest = np.arange(40) != 7
    np.testing.assert_array_equal(found[rest], clean[rest] + x[rest])


@each_way
def test_a_copy_has_arrays_of_its_own():
    x, layer = numbers(20, 2 * PANEL), layer_of()
    wanted = layer(x)
    other = copy.deepcopy(layer)
    for product in layer._products:
        product.layer.bias.array[:] = 0
    np.testing.assert_array_equal(other(x), wanted)


@pytest.mark.skipif(not byte_layers.uses_amx(), reason="no AMX here")
@pytest.mark.parametrize("rows", [1, 15, 16, 40, 200])
def test_with_amx_or_without_the_bits_are_the_same(rows, monkeypatch):
    x, layer = numbers(rows, 2 * PANEL), layer_of()
    with_amx = layer(x)
    monkeypatch.setattr(byte_layers, "uses_amx", lambda: False)
    np.testing.assert_array_equal(layer(x), with_amx)


def zeros(layer, x, *_):
    return np.zeros((len(x), layer.outputs), np.float32)


@pytest.mark.parametrize("fault", ["not allowed", "fails", "other numbers"])
def test_amx_is_tried_before_it_is_used(fault, monkeypatch):
    monkeypatch.setattr(amx, "allowed", lambda: fault != "not allowed")
    if fault == "fails":

        def fail(*_):
            raise TypeError("no such function")

        monkeypatch.setattr(byte_layers, "layer_rows_amx", fail)
    elif fault == "other numbers":
        monkeypatch.setattr(RowLayer, "_computed", zeros)
    assert not byte_layers.uses_amx.__wrapped__()


def test_layers_are_tried_before_they_are_used(monkeypatch):
    monkeypatch.setattr(byte_layers, "uses_amx", lambda: False)
    assert byte_layers.works.__wrapped__()
    monkeypatch.setattr(RowLayer, "_computed", zeros)
    assert not byte_layers.works.__wrapped__()
    monkeypatch.setattr(byte_layers, "OFFERED", False)
    assert not byte_layers.works.__wrapped__()


@pytest.mark.parametrize("answer", ["refused", "no such call", "another system"])
def test_without_permission_amx_is_not_allowed(answer, monkeypatch):
    monkeypatch.setattr(amx, "OFFERED", True)
    if answer == "another system":
        monkeypatch.setattr(amx.sys, "platform", "darwin")
    elif answer == "no such call":
        monkeypatch.setattr(amx.ctypes, "CDLL", lambda _: object())
    else:
        monkeypatch.setattr(amx, "_TILE_DATA", 99)  # no such state of a processor
    assert not amx.allowed.__wrapped__()
