"""Rows of NumPy arrays between products: layer normalisation and GELU.

Compiled for the processor of this machine. Each row gives the same result, to the last bit,
whatever rows are computed with it.
"""

from __future__ import annotations

import functools

import numpy as np
from llvmlite import ir
from llvmlite.ir import IRBuilder
from numba.extending import intrinsic

from speechattn.attention.kernels.llvm import (
    F32,
    F32_VECTOR,
    FLOAT_BYTES,
    I32,
    LANES,
    VECTOR_BYTES,
    broadcast,
    call,
    element,
    f32,
    i64,
    load,
    loop,
    store,
)
from speechattn.attention.kernels.primitives import void_intrinsic
from speechattn.attention.kernels.rows import gelu_of
from speechattn.attention.kernels.threads import Fixed, address, parallel_for
from speechattn.jit import jit

EPSILON = 1e-5  # added to the variance, as torch.nn.LayerNorm does


@intrinsic
def norm_row(context, out, x, weight, bias, count):
    """Set out to weight * (x - mean) / sqrt(variance + EPSILON) + bias; LANES divides ``count``."""

    def code(b: IRBuilder, out, x, weight, bias, count):
        vectors = b.sdiv(count, i64(LANES))
        numbers = broadcast(b, b.sitofp(count, F32))

        def at(base, number):
            return load(b, element(b, base, number, VECTOR_BYTES))

        (total,) = loop(b, vectors, [f32(0.0)], lambda n, sums: (b.fadd(sums[0], at(x, n)),))
        mean = b.fdiv(across(b, total), numbers)

        def squares(number, sums):
            apart = b.fsub(at(x, number), mean)
            return (call(b, "fma", apart, apart, sums[0]),)

        (total,) = loop(b, vectors, [f32(0.0)], squares)
        variance = b.fadd(b.fdiv(across(b, total), numbers), f32(EPSILON))
        scale = b.fdiv(f32(1.0), call(b, "sqrt", variance))

        def vector(number, _):
            y = b.fmul(b.fsub(at(x, number), mean), scale)
            y = call(b, "fma", y, at(weight, number), at(bias, number))
            store(b, y, element(b, out, number, VECTOR_BYTES))
            return ()

        loop(b, vectors, [], vector)

    return void_intrinsic(5, code)


def across(b: IRBuilder, x):
    """Return a vector of the sum of all numbers of a vector, added in pairs."""
    half = LANES // 2
    while half:
        order = [(lane + half) % LANES for lane in range(LANES)]
        mask = ir.Constant(ir.VectorType(I32, LANES), order)
        x = b.fadd(x, b.shuffle_vector(x, ir.Constant(F32_VECTOR, ir.Undefined), mask))
        half //= 2
    return x


@intrinsic
def gelu_row(context, out, x, count):
    """Set out to the GELU of x, right to 0.00013; LANES divides ``count``."""

    def code(b: IRBuilder, out, x, count):
        def vector(number, _):
            shift = b.mul(number, i64(VECTOR_BYTES))
            store(b, gelu_of(b, load(b, b.add(x, shift))), b.add(out, shift))
            return ()

        loop(b, b.sdiv(count, i64(LANES)), [], vector)

    return void_intrinsic(3, code)


@jit("void", *["int64"] * 7)
def norm_rows(x, weight, bias, count, out, begin, end):
    """Normalise the rows ``begin`` to ``end``."""
    for row in range(begin, end):
        shift = row * count * FLOAT_BYTES
        norm_row(out + shift, x + shift, weight, bias, count)


@jit("void", *["int64"] * 5)
def gelu_rows(x, count, out, begin, end):
    """Compute the GELU of the rows ``begin`` to ``end``."""
    for row in range(begin, end):
        shift = row * count * FLOAT_BYTES
        gelu_row(out + shift, x + shift, count)


class Norm:
    """Layer normalisation (Ba et al., 2016).

    Args:
        weight, bias: of each number of a row, float32, shape (numbers,), a multiple of LANES.
    """

    def __init__(self, weight: np.ndarray, bias: np.ndarray) -> None:
        self._weight, self._bias, self._count = Fixed(weight), Fixed(bias), len(weight)

    @property
    def addresses(self) -> tuple[int, int]:
        """Where weight and bias lie."""
        return self._weight.address, self._bias.address

    def rows(self, x: np.ndarray) -> np.ndarray:
        """Return normalised rows.

        Args:
            x: float32, shape (rows, numbers), contiguous.
        """
        out = np.empty_like(x)
        arguments = address(x), *self.addresses, self._count, address(out)
        run = functools.partial(norm_rows, *arguments)
        parallel_for(run, len(x), 4 * x.size, (x, out, self))
        return out


def gelu(x: np.ndarray) -> np.ndarray:
    """Return the GELU of rows, to 0.00013.

    Args:
        x: float32, shape (rows, numbers), contiguous, a multiple of LANES numbers.
    """
    out = np.empty_like(x)
    gelu_rows(address(x), x.shape[1], address(out), 0, len(x))
    return out
