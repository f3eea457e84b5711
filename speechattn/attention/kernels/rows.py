"""What layers do to rows beside products, on vectors: convolution, rotation, whole numbers.

Functions for code that Numba compiles, as in :mod:`speechattn.attention.kernels.primitives`, and that code. Each row is
computed the same, to the last bit, whatever rows stand beside it.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from llvmlite import ir
from llvmlite.ir import IRBuilder
from numba.extending import intrinsic

from speechattn.attention.kernels import llvm
from speechattn.attention.kernels.llvm import (
    BYTES,
    LANES,
    call,
    floats,
    load,
    long,
    loop,
    spread,
    step,
    store,
)
from speechattn.attention.kernels.primitives import of_whole_numbers
from speechattn.attention.kernels.products import FLOAT
from speechattn.jit import INT_TABLE, INTS, compiled

SMALL = ir.VectorType(ir.IntType(8), LANES)


def _each_vector(b: IRBuilder, count, body: Callable) -> None:
    """``body(first)`` for vectors that cover ``count`` numbers, LANES or more; the last may lie
    over the one before, so that what is there is computed once more."""

    def vector(number, _):
        first, last = b.mul(number, long(LANES)), b.sub(count, long(LANES))
        body(b.select(b.icmp_signed("<", first, last), first, last))
        return ()

    vectors = b.sdiv(b.add(count, long(LANES - 1)), long(LANES))
    loop(b, vectors, [], vector)


@intrinsic
def convolve(context, out, x, x_row, taps, weight, bias, channels):
    """One row: out[c] = y / (1 + exp(-y)), y = bias[c] + sum over t < taps of x[t, c] * weight[t, c].

    The rows of weights lie next to each other; ``channels``: LANES or more.
    """

    def code(b: IRBuilder, out, x, x_row, taps, weight, bias, channels):
        weight_row = b.mul(channels, long(FLOAT))

        def vector(first):
            shift = b.mul(first, long(FLOAT))

            def tap(t, values):
                pair = ((x, x_row), (weight, weight_row))
                read = [load(b, b.add(step(b, at, t, row), shift)) for at, row in pair]
                return (call(b, "fma", *read, values[0]),)

            (y,) = loop(b, taps, [load(b, b.add(bias, shift))], tap)
            power = b.fmul(y, floats(-math.log2(math.e)))
            most = floats(126.0)
            power = b.select(b.fcmp_ordered(">", power, most), most, power)
            below = b.fadd(llvm.exp2(b, power), floats(1.0))
            store(b, b.fdiv(y, below), b.add(out, shift))

        _each_vector(b, channels, vector)

    return of_whole_numbers(7, code)


@intrinsic
def round_row(context, out, x, per_step, count, zero):
    """Bytes: the nearest whole numbers to x * per_step + zero, from 0 to 255.

    ``count``: LANES or more.
    """

    def code(b: IRBuilder, out, x, per_step, count, zero):
        shift = b.fadd(spread(b, b.sitofp(zero, llvm.FLOAT)), floats(0.5))

        def vector(first):
            read = [load(b, step(b, at, first, FLOAT)) for at in (x, per_step)]
            near = b.fadd(b.fmul(*read), shift)
            near = b.select(b.fcmp_ordered(">", near, floats(0.0)), near, floats(0.0))
            near = b.select(b.fcmp_ordered("<", near, floats(255.0)), near, floats(255.0))
            small = b.trunc(b.fptosi(near, llvm.INTS), SMALL)
            store(b, small, b.add(out, first))

        _each_vector(b, count, vector)

    return of_whole_numbers(5, code)


@intrinsic
def rotate_pairs(context, out, x, cos, sin, half):
    """out[i] = x[i] cos[i] + x[j] sin[i], and out[j] = x[j] cos[j] + x[i] sin[j], of j = i + half.

    LANES divide ``half``.
    """

    def code(b: IRBuilder, out, x, cos, sin, half):
        def vector(number, _):
            first = b.mul(number, long(BYTES))
            second = step(b, first, half, FLOAT)
            low, high = (load(b, b.add(x, shift)) for shift in (first, second))
            for shift, own, other in ((first, low, high), (second, high, low)):
                turned = b.fmul(own, load(b, b.add(cos, shift)))
                turned = call(b, "fma", other, load(b, b.add(sin, shift)), turned)
                store(b, turned, b.add(out, shift))
            return ()

        loop(b, b.sdiv(half, long(LANES)), [], vector)

    return of_whole_numbers(5, code)


@compiled("void", *["int64"] * 7, INTS, "int64", "int64")
def rotate_rows(x, x_row, out, heads, d, cos, sin, sizes, begin, end):
    """Rotate vectors of sequences ``begin`` to ``end``, laid end to end.

    Row n of each is turned by row n of the tables.
    """
    first = 0
    for sequence in range(end):
        for i in range(sizes[sequence] if sequence >= begin else 0):
            shift = FLOAT * i * d
            for head in range(heads):
                at = x + (first + i) * x_row + FLOAT * head * d
                to = out + FLOAT * d * ((first + i) * heads + head)
                rotate_pairs(to, at, cos + shift, sin + shift, d // 2)
        first += sizes[sequence]


@compiled("void", *["int64"] * 8, INT_TABLE, "int64", "int64")
def convolve_rows(x, x_row, out, weight, bias, taps, channels, before, sequences, begin, end):
    """Convolve sequences ``begin`` to ``end``; an output sees ``before`` rows before its own.

    Args:
        sequences: first row and rows of x, first row and rows of out. Beyond the rows of x there
            are zeros.
    """
    for sequence in range(begin, end):
        first, rows, first_out, count = sequences[sequence]
        for i in range(count):
            a, z = max(0, before - i), min(taps, rows + before - i)
            to = out + (first_out + i) * FLOAT * channels
            of = x + (first + i + a - before) * x_row
            convolve(to, of, x_row, z - a, weight + a * FLOAT * channels, bias, channels)


@compiled("void", *["int64"] * 8)
def round_rows(x, x_row, rows, per_step, count, zero, out, all_rows):
    """Whole numbers of rows, the last of them as often as ``all_rows`` needs; :func:`round_row`."""
    for row in range(all_rows):
        of = x + min(row, rows - 1) * x_row
        round_row(out + row * count, of, per_step, count, zero)
