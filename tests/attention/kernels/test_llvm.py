"""Operations on vectors, each compiled alone, against NumPy."""

from __future__ import annotations

import numba
import numpy as np
import pytest
import torch
from numba.extending import intrinsic

from speechattn.attention.kernels import llvm
from speechattn.attention.kernels.llvm import LANES, VECTOR_BYTES
from speechattn.attention.kernels.primitives import void_intrinsic


@intrinsic
def emit_exp2(context, out, x):
    def code(b, out, x):
        llvm.store(b, llvm.exp2(b, llvm.load(b, x)), out)

    return void_intrinsic(2, code)


@intrinsic
def emit_bf16(context, out, x):
    def code(b, out, x):
        half = llvm.f32_to_bf16(b, llvm.load(b, x))
        llvm.store(b, llvm.bf16_to_f32(b, half), out)

    return void_intrinsic(2, code)


@intrinsic
def emit_pairs(context, out, x, y):
    def code(b, out, x, y):
        rows = [
            llvm.to_bf16_rows(
                b, *(llvm.load(b, llvm.element(b, at, r, VECTOR_BYTES)) for r in (0, 1))
            )
            for at in (x, y)
        ]
        llvm.store(b, rows[0], out)
        a, z = (llvm.pair_up(b, each) for each in rows)
        llvm.store(b, a, llvm.element(b, out, 1, VECTOR_BYTES))
        total = llvm.multiply_add_pairs(b, a, z, llvm.f32(1.0))
        llvm.store(b, total, llvm.element(b, out, 2, VECTOR_BYTES))

    return void_intrinsic(3, code)


@intrinsic
def emit_transpose(context, out, x):
    def code(b, out, x):
        rows = [llvm.load(b, llvm.element(b, x, i, VECTOR_BYTES)) for i in range(LANES)]
        for i, column in enumerate(llvm.transpose(b, rows)):
            llvm.store(b, column, llvm.element(b, out, i, VECTOR_BYTES))

    return void_intrinsic(2, code)


@intrinsic
def emit_power_by_loop(context, out, x, count):
    def code(b, out, x, count):
        factor = llvm.load(b, x)
        (power,) = llvm.loop(
            b, count, [llvm.f32(1.0)], lambda number, values: [b.fmul(values[0], factor)]
        )
        llvm.store(b, power, out)

    return void_intrinsic(3, code)


@numba.njit
def run(out, x, count):
    emit_exp2(out, x)
    emit_bf16(out + VECTOR_BYTES, x)
    emit_power_by_loop(out + 2 * VECTOR_BYTES, x, count)


@numba.njit
def pairs(out, x, y):
    emit_pairs(out, x, y)


@numba.njit
def transpose(out, x):
    emit_transpose(out, x)


def results(x, count=3):
    x = np.resize(np.array(x, np.float32), LANES)
    out = np.zeros((3, LANES), np.float32)
    run(out.ctypes.data, x.ctypes.data, count)
    return x, out


def test_powers_of_two():
    for low in (-120.0, -1.0, 0.0, 100.0):
        x, out = results(np.linspace(low, low + 20, LANES))
        np.testing.assert_allclose(out[0], np.exp2(x.astype(float)), rtol=3e-7)
    _, out = results([-126.0, -1e4, -np.inf, np.nan, 127.0, 0.0, 0.5, -0.5])
    expected = [2.0**-126, 0.0, 0.0, np.nan, 2.0**127, 1.0, 2**0.5, 2**-0.5]
    np.testing.assert_allclose(out[0, :8], expected, rtol=3e-7)
    # What is too small for a normal number is 0, and no denormal one, which would take long.
    _, out = results([-126.5, -127.0, -140.0, -149.0, -200.0, -3e38, -126.0001, -1e30])
    assert not out[0, :8].any()


def test_rounding_to_bfloat16_and_back():
    x, out = results([1 + 2**-8, 1 + 3 * 2**-8, -1e-40, np.inf, -0.0, np.nan, 3.3895e38, 0.1])
    expected = torch.from_numpy(x).bfloat16().float().numpy()
    np.testing.assert_array_equal(out[1], expected)


def test_loops_of_any_count():
    for count in (0, 1, 7):
        x, out = results([0.5, 2.0, -1.5, 1.0], count)
        np.testing.assert_array_equal(out[2], x**count)


def test_transposing_a_square():
    x = np.arange(LANES * LANES, dtype=np.float32).reshape(LANES, LANES)
    out = np.zeros_like(x)
    transpose(out.ctypes.data, x.ctypes.data)
    np.testing.assert_array_equal(out, x.T)


@pytest.mark.skipif(not llvm.DOT_BF16, reason="this processor does not multiply bfloat16")
def test_sums_of_products_of_pairs_of_bfloat16():
    draw = np.random.default_rng(0)
    first, second = (draw.standard_normal((2, LANES)).astype(np.float32) for _ in range(2))
    out = np.zeros((3, LANES), np.float32)
    pairs(out.ctypes.data, first.ctypes.data, second.ctypes.data)
    halves = [torch.from_numpy(x).bfloat16() for x in (first, second)]
    rows, paired = (out[n : n + 1].view(np.int16).reshape(-1) for n in (0, 1))
    assert torch.equal(torch.from_numpy(rows.copy()).view(torch.bfloat16), halves[0].flatten())
    expected = halves[0].T.flatten()
    assert torch.equal(torch.from_numpy(paired.copy()).view(torch.bfloat16), expected)
    total = 1 + (halves[0].double() * halves[1].double()).sum(0)
    np.testing.assert_allclose(out[2], total, rtol=1e-6, atol=1e-6)
