"""Small pieces of attention against NumPy: products, rows in and out, powers of two, rounding."""

from __future__ import annotations

import numba
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from speechattn.attention.kernels import primitives
from speechattn.attention.kernels.llvm import LANES
from speechattn.attention.kernels.matmul import matmul

RANDOM = np.random.default_rng(0)


def table(*shape):
    return RANDOM.standard_normal(shape).astype(np.float32)


def at(array):
    return array.ctypes.data


@numba.njit
def softmax_step(scores, keys, low, high, top, total, change):
    primitives.softmax_step(scores, keys, low, high, top, total, change)


@numba.njit
def transpose_rows(out, a, row, rows, size, factor):
    primitives.transpose_rows(out, a, row, rows, size, np.float32(factor))


@numba.njit
def scale_row(out, a, count, half, factor):
    primitives.scale_row(out, a, count, half, np.float32(factor))


@numba.njit
def widen_bf16(out, a, count):
    primitives.widen_bf16(out, a, count)


@numba.njit
def dot(out, a, x, count):
    primitives.dot(out, a, x, count)


@given(
    rows=st.integers(1, 40),
    vectors=st.integers(1, 5),
    n=st.integers(0, 30),
    begin=st.sampled_from(["zeros", "out", "row"]),
    turned=st.booleans(),
)
def test_products(rows, vectors, n, begin, turned):
    size = vectors * LANES
    a, x, out, bias = table(rows, n), table(n, size), table(rows, size), table(1, size)
    start = {"zeros": np.zeros_like(out), "out": out.copy(), "row": bias.repeat(rows, 0)}[begin]
    expected = start + a.astype(float) @ x.astype(float)
    across, along = 4 * n, 4
    if turned:
        a, across, along = np.ascontiguousarray(a.T), 4, 4 * rows
    place = {"zeros": (0, 4 * size), "out": (at(out), 4 * size), "row": (at(bias), 0)}[begin]
    matmul(at(out), 4 * size, at(a), across, along, at(x), 4 * size, rows, size, n, *place)
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rows", [1, LANES - 1, LANES])
def test_turning(rows):
    a = table(rows, 3 * LANES)
    out = np.zeros((3 * LANES, LANES), np.float32)
    transpose_rows(at(out), at(a), a.strides[0], rows, 3 * LANES, 2.0)
    np.testing.assert_array_equal(out[:, :rows], 2 * a.T)
    assert (out[:, rows:] == 2 * a[:1].T).all()


def test_powers_of_two_and_a_softmax_in_two_parts():
    scores = 30 * table(2, 70, LANES)
    low, high = -20, 60
    seen = np.arange(140)[:, None] - np.arange(LANES)
    seen = (seen >= low) & (seen <= high)
    whole = np.where(seen, scores.reshape(140, LANES).astype(float), -np.inf)
    top, total, change = (np.zeros(LANES, np.float32) for _ in range(3))
    top[:] = -np.inf
    for part in range(2):
        shift = 70 * part
        softmax_step(
            at(scores[part]), 70, low - shift, high - shift, at(top), at(total), at(change)
        )
        if part == 0:
            assert (change == 0).all()
    np.testing.assert_allclose(top, whole.max(0), rtol=1e-6)
    np.testing.assert_allclose(total, np.exp2(whole - whole.max(0)).sum(0), rtol=1e-5)
    expected = np.exp2(whole[70:] - whole.max(0))
    np.testing.assert_allclose(scores[1], expected, rtol=1e-5, atol=2e-38)
    np.testing.assert_allclose(change, np.exp2(whole[:70].max(0) - whole.max(0)), rtol=1e-5)


def test_bfloat16_as_pytorch_rounds_it():
    special = [0.0, -0.0, np.inf, -np.inf, np.nan, 3.3895e38, 1e-40, 1 + 2**-8, 1 + 3 * 2**-8]
    a = np.concatenate([np.array(special, np.float32), table(8 * LANES - len(special))])
    half = np.zeros(len(a), np.uint16)
    scale_row(at(half), at(a), len(a), 1, 1.0)
    expected = torch.from_numpy(a).bfloat16()
    found = torch.from_numpy(half.view(np.int16)).view(torch.bfloat16)
    torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)
    back = np.zeros_like(a)
    widen_bf16(at(back), at(half), len(a))
    np.testing.assert_array_equal(back, expected.float().numpy())


def test_rows_scaled_and_sums_of_products():
    a, x = table(5 * LANES), table(5 * LANES)
    out = np.zeros_like(a)
    scale_row(at(out), at(a), len(a), 0, 3.0)
    np.testing.assert_array_equal(out, 3 * a)
    dot(at(out), at(a), at(x), len(a))
    np.testing.assert_allclose(out[0], a.astype(float) @ x, rtol=1e-5, atol=1e-5)
