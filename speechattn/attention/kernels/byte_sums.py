"""What becomes of a panel of sums of products of bytes, as intrinsics.

A number is ``(sum + zeros) * step + bias``: ``zeros`` is what the zero of the bytes adds to the
sums, and ``step`` what 1 stands for. The three lie side by side, PANEL of each.
"""

from __future__ import annotations

from collections.abc import Callable

from llvmlite.ir import IRBuilder, Value
from numba.extending import intrinsic

from speechattn.attention.kernels.byte_tiles import PANEL
from speechattn.attention.kernels.llvm import (
    F32,
    F32_VECTOR,
    FLOAT_BYTES,
    I32_VECTOR,
    LANES,
    VECTOR_BYTES,
    broadcast,
    call,
    element,
    f32,
    load,
    loop,
    store,
)
from speechattn.attention.kernels.primitives import void_intrinsic
from speechattn.attention.kernels.rows import as_bytes, gelu_of

ROW = FLOAT_BYTES * PANEL  # bytes of a row of sums


def _each_number(
    b: IRBuilder, sums, rows, vectors, zeros, step, bias, finish: Callable[[Value], Callable]
) -> None:
    """Emit ``finish(vector)(row, numbers)`` for the numbers of a panel."""

    def vector(number, _):
        zero = load(b, element(b, zeros, number, VECTOR_BYTES), I32_VECTOR)
        scale, shift = (load(b, element(b, at, number, VECTOR_BYTES)) for at in (step, bias))
        begin, finish_row = element(b, sums, number, VECTOR_BYTES), finish(number)

        def row(number, _):
            y = b.add(load(b, element(b, begin, number, ROW), I32_VECTOR), zero)
            y = b.fadd(b.fmul(b.sitofp(y, F32_VECTOR), scale), shift)
            finish_row(number, y)
            return ()

        loop(b, rows, [], row)
        return ()

    loop(b, vectors, [], vector)


@intrinsic
def numbers(context, out, out_row, sums, rows, vectors, zeros, step, bias):
    """Set rows of out to the numbers, float32; ``vectors`` of each row."""

    def code(b: IRBuilder, out, out_row, *panel):
        def finish(vector):
            begin = element(b, out, vector, VECTOR_BYTES)
            return lambda row, y: store(b, y, element(b, begin, row, out_row))

        _each_number(b, *panel, finish)

    return void_intrinsic(8, code)


@intrinsic
def added_numbers(context, out, added, row, sums, rows, vectors, zeros, step, bias):
    """Set rows of out to those of ``added`` and the numbers together."""

    def code(b: IRBuilder, out, added, out_row, *panel):
        def finish(vector):
            of, to = (element(b, at, vector, VECTOR_BYTES) for at in (added, out))

            def finish_row(row, y):
                shift = b.mul(row, out_row)
                store(b, b.fadd(load(b, b.add(of, shift)), y), b.add(to, shift))

            return finish_row

        _each_number(b, *panel, finish)

    return void_intrinsic(9, code)


@intrinsic
def gelu_bytes(
    context, out, out_row, per_step, unsigned_zero, sums, rows, vectors, zeros, step, bias
):
    """Round gelu(number) * per_step + zero to bytes, as ``round_gelu_row`` does."""

    def code(b: IRBuilder, out, out_row, per_step, zero, *panel):
        half_up = b.fadd(broadcast(b, b.sitofp(zero, F32)), f32(0.5))

        def finish(vector):
            scale = load(b, element(b, per_step, vector, VECTOR_BYTES))
            begin = element(b, out, vector, LANES)

            def finish_row(row, y):
                y = as_bytes(b, b.fadd(b.fmul(gelu_of(b, y), scale), half_up))
                store(b, y, element(b, begin, row, out_row))

            return finish_row

        _each_number(b, *panel, finish)

    return void_intrinsic(10, code)


@intrinsic
def relu_bytes(context, out, out_row, sums, rows, vectors, zeros, step, bias):
    """Round the numbers to bytes from 0 to 255, ties to even."""

    def code(b: IRBuilder, out, out_row, *panel):
        def finish(vector):
            begin = element(b, out, vector, LANES)

            def finish_row(row, y):
                store(b, as_bytes(b, call(b, "rint", y)), element(b, begin, row, out_row))

            return finish_row

        _each_number(b, *panel, finish)

    return void_intrinsic(8, code)
