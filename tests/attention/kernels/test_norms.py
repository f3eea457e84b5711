"""Rows between products against PyTorch and NumPy, and the same whatever stands beside a row."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from speechattn.attention.kernels import threads
from speechattn.attention.kernels.llvm import LANES
from speechattn.attention.kernels.norms import EPSILON, Norm, gelu, rows_as_bytes
from speechattn.attention.kernels.threads import Fixed

GELU_ERROR = 0.00014
WIDTHS = st.integers(1, 9).map(lambda vectors: vectors * LANES)


def numbers(*shape, seed=0, scale=1.0, shift=0.0):
    random = np.random.default_rng(seed).standard_normal(shape)
    return (scale * random + shift).astype(np.float32)


def made_norm(count, seed=0):
    return Norm(numbers(count, seed=seed, shift=1), numbers(count, seed=seed + 1))


def exact(x, count, seed=0):
    """What :func:`made_norm` makes of rows, in float64."""
    parts = numbers(count, seed=seed, shift=1), numbers(count, seed=seed + 1)
    rows, weight, bias = (torch.from_numpy(each).double() for each in (x, *parts))
    return F.layer_norm(rows, (count,), weight, bias, EPSILON).numpy()


def assert_nearest(found, exact, zero):
    """Bytes are the nearest ones to float64 numbers of steps; between two, either will do."""
    wanted = exact + zero
    nearest = np.rint(wanted).clip(0, 255)
    assert found.dtype == np.uint8 and found.shape == exact.shape
    assert np.abs(found.astype(float) - wanted.clip(0, 255)).max(initial=0) < 0.5 + 1e-3
    between = np.abs(wanted - np.floor(wanted) - 0.5) < 1e-3
    np.testing.assert_array_equal(found[~between], nearest[~between])


@given(
    rows=st.integers(0, 7),
    count=WIDTHS,
    scale=st.sampled_from([1e-4, 1.0, 1e4]),
    shift=st.sampled_from([0.0, -3.0, 30.0]),
    seed=st.integers(0, 99),
)
def test_normalisation_is_that_of_pytorch(rows, count, scale, shift, seed):
    x = numbers(rows, count, seed=seed, scale=scale, shift=shift * scale)
    before = x.copy()
    found = made_norm(count, seed).rows(x)
    assert found.dtype == np.float32 and np.array_equal(x, before)
    np.testing.assert_allclose(found, exact(x, count, seed), rtol=1e-4, atol=1e-4)


def test_rows_without_variance_become_the_bias():
    x = np.full((3, 2 * LANES), [[0.0], [5.0], [-1e6]], np.float32)
    bias = numbers(2 * LANES)
    found = Norm(np.ones(2 * LANES, np.float32), bias).rows(x)
    np.testing.assert_allclose(found, np.tile(bias, (3, 1)), atol=1e-5)


def test_nan_stays_in_its_row():
    x = numbers(5, 2 * LANES)
    x[2, 3] = np.nan
    found = made_norm(2 * LANES).rows(x)
    assert np.isnan(found[2]).all() and np.isfinite(found[[0, 1, 3, 4]]).all()


@given(
    rows=st.integers(0, 5),
    count=WIDTHS,
    zero=st.sampled_from([0, 1, 128, 255]),
    seed=st.integers(0, 99),
)
def test_normalised_rows_are_rounded_to_the_nearest_bytes(rows, count, zero, seed):
    x, per_step = numbers(rows, count, seed=seed), 40 * np.abs(numbers(count, seed=9))
    found = made_norm(count, seed).rows_as_bytes(x, Fixed(per_step), zero)
    assert_nearest(found, exact(x, count, seed) * per_step, zero)
    rounded = rows_as_bytes(made_norm(count, seed).rows(x), Fixed(per_step), zero)
    np.testing.assert_array_equal(found, rounded)  # the same in one step and in two


@given(
    rows=st.integers(0, 5),
    count=st.integers(LANES, 5 * LANES + 1),
    zero=st.sampled_from([0, 128]),
    seed=st.integers(0, 99),
)
def test_rows_are_rounded_to_the_nearest_bytes(rows, count, zero, seed):
    x, per_step = numbers(rows, count, seed=seed), 60 * np.abs(numbers(count, seed=9))
    assert_nearest(rows_as_bytes(x, Fixed(per_step), zero), x.astype(float) * per_step, zero)


def test_what_lies_between_two_bytes_becomes_one_of_them():
    x = (np.arange(-8 * LANES, 8 * LANES, dtype=np.float32) / 2)[None]
    found = rows_as_bytes(x, Fixed(np.ones(x.shape[1], np.float32)), 128).astype(float)
    assert np.abs(found - x - 128).max() == 0.5
    np.testing.assert_array_equal(found[0, ::2], x[0, ::2] + 128)


def test_what_is_beyond_bytes_is_clipped():
    x = np.repeat(np.array([-np.inf, -1e30, -129, 128, 1e30, np.inf], np.float32), LANES)
    found = rows_as_bytes(x[None], Fixed(np.ones_like(x)), 128)
    assert found.reshape(6, LANES).tolist() == [[0] * LANES] * 3 + [[255] * LANES] * 3


@given(rows=st.integers(0, 5), count=WIDTHS, zero=st.sampled_from([0, 128]))
def test_a_gelu_before_rounding(rows, count, zero):
    x, per_step = numbers(rows, count, scale=3), np.full(count, 50, np.float32)
    exactly = F.gelu(torch.from_numpy(x).double()).numpy()
    found = rows_as_bytes(x, Fixed(per_step), zero, gelu=True)
    apart = np.abs(found.astype(float) - (exactly * 50 + zero).clip(0, 255))
    assert apart.max(initial=0) <= 0.5 + 50 * GELU_ERROR


def test_a_gelu_is_near_the_exact_one_everywhere():
    x = np.concatenate([np.linspace(-12, 12, 8192), np.linspace(-1e4, 1e4, 8192)])
    x = x.astype(np.float32).reshape(-1, 8 * LANES)
    exactly = F.gelu(torch.from_numpy(x).double()).numpy()
    near = np.abs(x) < 100
    apart = np.abs(gelu(x) - exactly)
    assert apart[near].max() < GELU_ERROR
    np.testing.assert_allclose(gelu(x)[~near], exactly[~near], rtol=1e-6, atol=GELU_ERROR)


@given(count=WIDTHS, first=st.integers(0, 6), rows=st.integers(1, 4), seed=st.integers(0, 99))
def test_a_row_is_the_same_beside_any_others(count, first, rows, seed):
    x, per_step = numbers(10, count, seed=seed), np.full(count, 30, np.float32)
    norm, some = made_norm(count), slice(first, first + rows)
    for function in (
        norm.rows,
        lambda rows: norm.rows_as_bytes(rows, Fixed(per_step), 128),
        lambda rows: rows_as_bytes(rows, Fixed(per_step), 128),
        lambda rows: rows_as_bytes(rows, Fixed(per_step), 128, gelu=True),
        gelu,
    ):
        np.testing.assert_array_equal(function(x[some].copy()), function(x)[some])


@pytest.mark.parametrize("cores", [2, 3, 8])
def test_any_number_of_cores_gives_the_same_bits(monkeypatch, cores):
    x, per_step = numbers(101, 4 * LANES), np.full(4 * LANES, 30, np.float32)
    norm = made_norm(4 * LANES)
    alone = norm.rows(x), norm.rows_as_bytes(x, Fixed(per_step), 128)
    monkeypatch.setattr(threads, "WORTHWHILE", 1)
    monkeypatch.setattr(threads, "num_threads", lambda: cores)
    np.testing.assert_array_equal(norm.rows(x), alone[0])
    np.testing.assert_array_equal(norm.rows_as_bytes(x, Fixed(per_step), 128), alone[1])
