"""The softmax of a group of queries, in parts, against NumPy."""

from __future__ import annotations

import numba
import numpy as np

from speechattn.attention.kernels.llvm import LANES
from speechattn.attention.kernels.softmax import softmax_step

RANDOM = np.random.default_rng(0)


def table(*shape):
    return RANDOM.standard_normal(shape).astype(np.float32)


def at(array):
    return array.ctypes.data


FACTOR = 0.5


@numba.njit
def step(scores, keys, low, high, top, total, change):
    softmax_step(scores, keys, low, high, top, total, change, np.float32(FACTOR), None)


def test_a_softmax_in_two_parts():
    scores = 30 * table(2, 70, LANES)
    low, high = -20, 60
    seen = np.arange(140)[:, None] - np.arange(LANES)
    seen = (seen >= low) & (seen <= high)
    whole = np.where(seen, scores.reshape(140, LANES).astype(float), -np.inf)
    highest = whole.max(0)
    top, total, change = (np.zeros(LANES, np.float32) for _ in range(3))
    top[:] = -np.inf
    for part in range(2):
        shift = 70 * part
        step(at(scores[part]), 70, low - shift, high - shift, at(top), at(total), at(change))
        if part == 0:
            assert (change == 0).all()
    np.testing.assert_array_equal(top, highest.astype(np.float32))
    weights = np.exp2(FACTOR * (whole - highest))
    np.testing.assert_allclose(total, weights.sum(0), rtol=1e-5)
    np.testing.assert_allclose(scores[1], weights[70:], rtol=1e-5, atol=2e-38)
    expected = np.exp2(FACTOR * (whole[:70].max(0) - highest))
    np.testing.assert_allclose(change, expected, rtol=1e-5)


def test_the_only_key_of_a_query_has_the_weight_one():
    scores, (top, total, change) = 30 * table(LANES, LANES), table(3, LANES)
    top[:], total[:] = -np.inf, 0
    step(at(scores), LANES, 0, 0, at(top), at(total), at(change))
    np.testing.assert_array_equal(scores, np.eye(LANES, dtype=np.float32))
    assert (total == 1).all()
