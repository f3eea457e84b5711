"""Products in tiles against NumPy."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechattn.attention.kernels.llvm import LANES
from speechattn.attention.kernels.tiles import matmul, sum_over_keys, sum_over_queries

RANDOM = np.random.default_rng(0)


def table(*shape):
    return RANDOM.standard_normal(shape).astype(np.float32)


def at(array):
    return array.ctypes.data


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
    matmul(at(out), 4 * size, at(a), across, along, at(x), 4 * size, rows, size, n, *place, None)
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-5)


@numba.njit
def over_keys(out, weights, x, size, keys, low, high, add):
    sum_over_keys(out, 4 * size, weights, x, 4 * size, size, keys, low, high, add, None)


@numba.njit
def over_queries(out, table, across, x, size, keys, first, past, count):
    sum_over_queries(
        out, 4 * size, table, across, x, 4 * size, size, keys, first, past, count, None
    )


def window(keys, queries, low, high):
    """Which keys (rows) are seen by which queries."""
    distance = np.arange(keys)[:, None] - np.arange(queries)
    return (distance >= low) & (distance <= high)


@pytest.mark.parametrize("vectors", [1, 2, 3, 7])
@pytest.mark.parametrize("low, high", [(-20, 60), (0, 0), (3, 9), (-9, -4)])
@pytest.mark.parametrize("add", [False, True])
def test_sums_over_the_keys_that_a_query_sees(vectors, low, high, add):
    keys, size = 30, vectors * LANES
    weights = table(keys, LANES) * window(keys, LANES, low, high)
    x, out = table(keys, size), table(LANES, size)
    expected = add * out + weights.astype(float).T @ x
    over_keys(at(out), at(weights), at(x), size, keys, low, high, add)
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("vectors", [1, 2, 3, 7])
@pytest.mark.parametrize("low, high", [(-20, 60), (0, 0), (3, 9), (-19, -14)])
@pytest.mark.parametrize("count", [LANES, 2 * LANES + 3])
def test_sums_over_the_queries_that_see_a_key(vectors, low, high, count):
    keys, size, groups = 30, vectors * LANES, 3
    seen = window(keys, count, low, high)
    of_groups = np.zeros((groups, keys, LANES), np.float32)
    for query in range(count):
        of_groups[query // LANES, :, query % LANES] = table(keys) * seen[:, query]
    weights = of_groups.transpose(1, 0, 2).reshape(keys, -1)[:, :count]
    x, out = table(count, size), table(keys, size)
    expected = out + weights.astype(float) @ x
    addresses = at(of_groups) + of_groups.strides[0] * np.arange(groups)
    # key j is seen by the queries from j - high to j - low
    over_queries(at(out), at(addresses), 4 * LANES, at(x), size, keys, -high, -low + 1, count)
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-5)
