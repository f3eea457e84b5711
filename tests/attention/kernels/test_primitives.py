"""Small pieces of attention against NumPy: rows in and out, rounding."""

from __future__ import annotations

import numba
import numpy as np
import pytest
import torch

from speechattn.attention.kernels import primitives
from speechattn.attention.kernels.llvm import LANES

RANDOM = np.random.default_rng(0)


def table(*shape):
    return RANDOM.standard_normal(shape).astype(np.float32)


def at(array):
    return array.ctypes.data


@numba.njit
def transpose_rows(out, a, row, rows, size):
    primitives.transpose_rows(out, a, row, rows, size)


@numba.njit
def scale_row(out, a, count, half, factor):
    primitives.scale_row(out, a, count, half, np.float32(factor))


@numba.njit
def widen_bf16(out, a, count):
    primitives.widen_bf16(out, a, count)


@numba.njit
def pair_rows(out, a, other, count):
    primitives.pair_rows(out, a, other, count)


@numba.njit
def dot(out, a, x, count):
    primitives.dot(out, a, x, count)


@pytest.mark.parametrize("rows", [1, LANES - 1, LANES])
def test_turning(rows):
    a = table(rows, 3 * LANES)
    out = np.zeros((3 * LANES, LANES), np.float32)
    transpose_rows(at(out), at(a), a.strides[0], rows, 3 * LANES)
    np.testing.assert_array_equal(out[:, :rows], a.T)
    assert (out[:, rows:] == a[:1].T).all()


@pytest.mark.parametrize("other", [False, True])
def test_rows_put_together_in_pairs(other):
    rows = RANDOM.integers(0, 1 << 16, (2, 3 * LANES)).astype(np.uint16)
    out = np.zeros((3 * LANES, 2), np.uint16)
    pair_rows(at(out), at(rows[0]), at(rows[1]) if other else 0, 3 * LANES)
    np.testing.assert_array_equal(out[:, 0], rows[0])
    np.testing.assert_array_equal(out[:, 1], rows[1] if other else 0)


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
