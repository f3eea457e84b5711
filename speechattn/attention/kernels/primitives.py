"""Parts of attention as functions for code that Numba compiles: rows in and out, sums of vectors.

:mod:`speechattn.attention.kernels.window` combines them with products of matrices
(:mod:`speechattn.attention.kernels.tiles`). Every argument is a whole number of 64 bits unless
stated otherwise. Matrices are given by their address and the bytes from one row to the next.
A *group* is ``LANES`` queries. What belongs to a group, such as its scores, has the queries side by
side in one vector and one vector for each key, so that a softmax runs down the vectors and never
across their lanes.
"""

from __future__ import annotations

from collections.abc import Callable

from llvmlite.ir import IRBuilder
from numba import types
from numba.extending import intrinsic

from speechattn.attention.kernels import llvm
from speechattn.attention.kernels.llvm import (
    LANES,
    VECTOR_BYTES,
    broadcast,
    element,
    f32,
    i32,
    i64,
    load,
    loop,
    store,
)

LINE = 64  # bytes that a cache fetches at a time


def void_intrinsic(count: int, code: Callable, *more: types.Type):
    """Return signature and code generator of an intrinsic without a result.

    Args:
        count: number of arguments that are whole numbers of 64 bits; they come first.
        code: emits the instructions, given the builder and the arguments.
        more: types of the other arguments.
    """

    def generate(context, builder, signature, arguments):
        code(builder, *arguments)
        return context.get_dummy_value()

    return types.void(*[types.int64] * count, *more), generate


# --- rows in and out ------------------------------------------------------------------------------


def _transposing(apart: int) -> Callable:
    """Make the function that transposes rows to vectors that lie so many vectors apart."""

    @intrinsic
    def transposed(context, out, a, row, rows, size):
        """Set out[t, i] = a[i, t] for the rows i of a group.

        Each row has ``size`` numbers of four bytes, a multiple of LANES. If there are fewer than
        LANES rows, the other lanes repeat the first.
        """

        def code(b: IRBuilder, out, a, row, rows, size):
            begins = [
                b.select(b.icmp_signed("<", i64(r), rows), element(b, a, r, row), a)
                for r in range(LANES)
            ]

            def square(number, _):
                shift = b.mul(number, i64(VECTOR_BYTES))
                read = [load(b, b.add(begin, shift)) for begin in begins]
                to = element(b, out, number, LANES * apart * VECTOR_BYTES)
                for i, column in enumerate(llvm.transpose(b, read)):
                    store(b, column, b.add(to, i64(i * apart * VECTOR_BYTES)))
                return ()

            loop(b, b.sdiv(size, i64(LANES)), [], square)

        return void_intrinsic(5, code)

    return transposed


transpose_rows, transpose_rows_to_every_second = (_transposing(apart) for apart in (1, 2))


@intrinsic
def pair_rows(context, out, a, other, count):
    """Put the numbers of two rows of bfloat16 side by side; zeros if the other's address is 0.

    ``count`` is a multiple of LANES.
    """

    def code(b: IRBuilder, out, a, other, count):
        given = b.icmp_signed("!=", other, i64(0))
        other = b.select(given, other, a)
        upper = b.select(broadcast(b, given), i32(-1), i32(0))

        def vector(number, _):
            shift = element(b, i64(0), number, VECTOR_BYTES // 2)
            first, second = (
                b.zext(load(b, b.add(at, shift), llvm.BF16_VECTOR), llvm.I32_VECTOR)
                for at in (a, other)
            )
            pair = b.or_(first, b.and_(b.shl(second, i32(16)), upper))
            store(b, pair, element(b, out, number, VECTOR_BYTES))
            return ()

        loop(b, b.sdiv(count, i64(LANES)), [], vector)

    return void_intrinsic(4, code)


@intrinsic
def widen_bf16(context, out, a, count):
    """Convert ``count`` numbers, a multiple of LANES, from bfloat16 to float32."""

    def code(b: IRBuilder, out, a, count):
        def vector(number, _):
            half = load(b, element(b, a, number, VECTOR_BYTES // 2), llvm.BF16_VECTOR)
            store(b, llvm.bf16_to_f32(b, half), element(b, out, number, VECTOR_BYTES))
            return ()

        loop(b, b.sdiv(count, i64(LANES)), [], vector)

    return void_intrinsic(3, code)


@intrinsic
def scale_row(context, out, a, count, is_bf16, factor):
    """Set out = factor * a, for ``count`` numbers, a multiple of LANES.

    ``out`` is bfloat16 if ``is_bf16`` is not 0. ``factor`` is a float32.
    """

    def code(b: IRBuilder, out, a, count, is_bf16, factor):
        factor = broadcast(b, factor)
        vectors = b.sdiv(count, i64(LANES))

        def scaled(number):
            return b.fmul(load(b, element(b, a, number, VECTOR_BYTES)), factor)

        def as_bf16(number, _):
            store(
                b, llvm.f32_to_bf16(b, scaled(number)), element(b, out, number, VECTOR_BYTES // 2)
            )
            return ()

        def as_f32(number, _):
            store(b, scaled(number), element(b, out, number, VECTOR_BYTES))
            return ()

        with b.if_else(b.icmp_signed("!=", is_bf16, i64(0))) as (then, otherwise):
            with then:
                loop(b, vectors, [], as_bf16)
            with otherwise:
                loop(b, vectors, [], as_f32)

    return void_intrinsic(4, code, types.float32)


@intrinsic
def fetch_rows(context, a, row, rows, size, write):
    """Have the cache fetch rows of ``size`` bytes, to be read if ``write`` is None, else written.

    The addresses need not be valid.
    """
    written = not isinstance(write, types.NoneType)

    def code(b: IRBuilder, a, row, rows, size, _):
        def each(number, _):
            start = element(b, a, number, row)

            def line(n, _):
                llvm.prefetch(b, element(b, start, n, LINE), written)
                return ()

            loop(b, b.sdiv(size, i64(LINE)), [], line)
            return ()

        loop(b, rows, [], each)

    return void_intrinsic(4, code, write)


@intrinsic
def load_f32(context, address):
    """Return the float32 at an address."""

    def generate(context, b, signature, arguments):
        return load(b, arguments[0], llvm.F32)

    return types.float32(types.int64), generate


@intrinsic
def load_i32(context, address):
    """Return the whole number of 32 bits at an address, as one of 64."""

    def generate(context, b, signature, arguments):
        return b.sext(load(b, arguments[0], llvm.I32), llvm.I64)

    return types.int64(types.int64), generate


@intrinsic
def store_f32(context, address, value):
    """Store a float32."""
    return void_intrinsic(1, lambda b, address, value: store(b, value, address), types.float32)


@intrinsic
def store_i64(context, address, value):
    """Store a whole number of 64 bits."""
    return void_intrinsic(2, lambda b, address, value: store(b, value, address))


@intrinsic
def dot(context, out, a, x, count):
    """Set out[0] to the sum of a * x over ``count`` numbers, a multiple of LANES."""

    def code(b: IRBuilder, out, a, x, count):
        def vector(number, values):
            pair = (load(b, element(b, start, number, VECTOR_BYTES)) for start in (a, x))
            return (llvm.call(b, "fma", *pair, values[0]),)

        (total,) = loop(b, b.sdiv(count, i64(LANES)), [f32(0.0)], vector)
        width = LANES
        while width > 1:  # halves of the vector, added until one number is left
            width //= 2
            other = [(n + width) % LANES for n in range(LANES)]
            total = b.fadd(total, b.shuffle_vector(total, total, i32(other)))
        store(b, b.extract_element(total, llvm.I32(0)), out)

    return void_intrinsic(4, code)


# --- vectors --------------------------------------------------------------------------------------


@intrinsic
def add_rows(context, to, to_row, a, a_row, rows):
    """Add vectors, to[r] += a[r], that lie ``to_row`` and ``a_row`` bytes apart."""

    def code(b: IRBuilder, to, to_row, a, a_row, rows):
        def vector(number, _):
            at = element(b, to, number, to_row)
            store(b, b.fadd(load(b, at), load(b, element(b, a, number, a_row))), at)
            return ()

        loop(b, rows, [], vector)

    return void_intrinsic(5, code)


@intrinsic
def clamp_min(context, out, vectors, value):
    """Replace numbers below ``value``, a float32, by it; NaN stays NaN."""

    def code(b: IRBuilder, out, vectors, value):
        value = broadcast(b, value)

        def vector(number, _):
            at = element(b, out, number, VECTOR_BYTES)
            x = load(b, at)
            store(b, b.select(b.fcmp_ordered("<", x, value), value, x), at)
            return ()

        loop(b, vectors, [], vector)

    return void_intrinsic(2, code, types.float32)


@intrinsic
def fill(context, out, vectors, value):
    """Fill vectors with one number, a float32."""

    def code(b: IRBuilder, out, vectors, value):
        def vector(number, _):
            store(b, broadcast(b, value), element(b, out, number, VECTOR_BYTES))
            return ()

        loop(b, vectors, [], vector)

    return void_intrinsic(2, code, types.float32)
