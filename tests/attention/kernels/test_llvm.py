"""Operations on vectors, each compiled alone, against NumPy."""

from __future__ import annotations

import numba
import numpy as np
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
    expected = [2.0**-126, 2.0**-126, 2.0**-126, np.nan, 2.0**127, 1.0, 2**0.5, 2**-0.5]
    np.testing.assert_allclose(out[0, :8], expected, rtol=3e-7)


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
