"""Rows between products against PyTorch, and the same whatever stands beside a row."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from speechattn.attention.kernels import threads
from speechattn.attention.kernels.llvm import LANES
from speechattn.attention.kernels.norms import EPSILON, Norm, gelu

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
    x, some = numbers(10, count, seed=seed), slice(first, first + rows)
    for function in (made_norm(count).rows, gelu):
        np.testing.assert_array_equal(function(x[some].copy()), function(x)[some])


@pytest.mark.parametrize("cores", [2, 3, 8])
def test_any_number_of_cores_gives_the_same_bits(monkeypatch, cores):
    x, norm = numbers(101, 4 * LANES), made_norm(4 * LANES)
    alone = norm.rows(x)
    monkeypatch.setattr(threads, "WORTHWHILE", 1)
    monkeypatch.setattr(threads, "num_threads", lambda: cores)
    np.testing.assert_array_equal(norm.rows(x), alone)
