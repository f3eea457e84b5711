"""Queries, keys and values in 8 bits, and panels of them, as functions that compiled code calls.

A *byte row* holds a vector's queries, keys and values of all heads: bytes, those of queries with
128 added, and then what 1 stands for in the queries, keys and values of each head, float32. Each
head of each row has a step of its own, by its largest number, so that a row gives the same bytes
whatever rows are beside it.

A product needs keys in panels as :mod:`speechattn.attention.kernels.byte_tiles` wants weights:
keys are its outputs when queries meet them, and its inputs when values are summed.
"""

from __future__ import annotations

from llvmlite import ir
from llvmlite.ir import IRBuilder, Value
from numba.extending import intrinsic

from speechattn.attention.kernels import llvm
from speechattn.attention.kernels.byte_tiles import FOUR, VECTORS
from speechattn.attention.kernels.llvm import (
    FLOAT_BYTES,
    I32,
    I32_VECTOR,
    LANES,
    VECTOR_BYTES,
    broadcast,
    call,
    element,
    f32,
    i32,
    i64,
    load,
    loop,
    store,
)
from speechattn.attention.kernels.primitives import (
    LINE,
    transpose_rows_to_every_second,
    void_intrinsic,
)
from speechattn.jit import jit_inline

MOST = 127  # of a signed byte
HALF = 128  # added to the bytes of queries, which must not be negative
LEAST = 1e-30  # of a head's numbers, so that one of zeros can be divided
PARTS = 3  # queries, keys and values
LANE_BYTES = ir.VectorType(ir.IntType(8), LANES)


def byte_row(width: int, heads: int) -> int:
    """Return the bytes of a byte row."""
    size = PARTS * (width + FLOAT_BYTES * heads)
    return (size + LINE - 1) // LINE * LINE


def larger(b: IRBuilder, x: Value, y: Value) -> Value:
    """Return the larger of two vectors' numbers, none of which is NaN."""
    return b.select(b.fcmp_ordered(">", x, y), x, y)


def highest(b: IRBuilder, x: Value) -> Value:
    """Return a vector of the highest number of a vector."""
    half = LANES // 2
    while half:
        order = i32([(lane + half) % LANES for lane in range(LANES)])
        x = larger(b, x, b.shuffle_vector(x, x, order))
        half //= 2
    return x


@intrinsic
def round_head(context, out, step, x, count, zero):
    """Round x / step + zero to bytes, where the largest number becomes MOST, and store the step.

    ``count`` is a multiple of LANES.
    """

    def code(b: IRBuilder, out, step, x, count, zero):
        vectors = b.sdiv(count, i64(LANES))

        def at(number):
            return load(b, element(b, x, number, VECTOR_BYTES))

        def most(number, values):
            return (larger(b, values[0], call(b, "fabs", at(number))),)

        (largest,) = loop(b, vectors, [f32(LEAST)], most)
        largest = highest(b, largest)
        inverse = b.fdiv(f32(MOST), largest)
        shift = broadcast(b, b.trunc(zero, I32))

        def vector(number, _):
            whole = b.fptosi(call(b, "rint", b.fmul(at(number), inverse)), I32_VECTOR)
            whole = b.trunc(b.add(whole, shift), LANE_BYTES)
            store(b, whole, element(b, out, number, LANES))
            return ()

        loop(b, vectors, [], vector)
        each = b.fmul(largest, f32(1 / MOST))
        store(b, b.extract_element(each, I32(0)), step)

    return void_intrinsic(5, code)


@jit_inline
def round_row_of_heads(out, x, width, heads):
    """Turn a row of queries, keys and values, float32, into a byte row."""
    dim = width // heads
    steps = out + PARTS * width
    for part in range(PARTS):
        for head in range(heads):
            first = part * width + head * dim
            step = steps + FLOAT_BYTES * (part * heads + head)
            zero = HALF if part == 0 else 0
            round_head(out + first, step, x + FLOAT_BYTES * first, dim, zero)


@intrinsic
def _keys_as_inputs(context, out, values, row, count, groups):
    """Lay out LANES numbers of the values of many keys, FOUR keys after FOUR keys.

    Keys from ``count`` on, which is at least 1, are not there, and zeros.
    """

    def code(b: IRBuilder, out, values, row, count, groups):
        def group(number, _):
            lanes = i32(0)
            for k in range(FOUR):
                key = b.add(b.mul(number, i64(FOUR)), i64(k))
                there = b.icmp_signed("<", key, count)
                at = b.select(there, element(b, values, key, row), values)
                each = b.zext(load(b, at, LANE_BYTES), I32_VECTOR)
                each = b.select(broadcast(b, there), each, i32(0))
                lanes = b.or_(lanes, b.shl(each, i32(8 * k)))
            store(b, lanes, element(b, out, number, VECTORS * VECTOR_BYTES))
            return ()

        loop(b, groups, [], group)

    return void_intrinsic(5, code)


@intrinsic
def negate(context, whole, count):
    """Set whole numbers, int32, to their negatives; ``count`` is a multiple of LANES."""

    def code(b: IRBuilder, whole, count):
        def vector(number, _):
            at = element(b, whole, number, VECTOR_BYTES)
            store(b, b.sub(i32(0), load(b, at, I32_VECTOR)), at)
            return ()

        loop(b, b.sdiv(count, i64(LANES)), [], vector)

    return void_intrinsic(2, code)


@intrinsic
def gather(context, out, numbers, row, count, room):
    """Put numbers of rows side by side; those from ``count`` to ``room`` are zeros. All float32."""

    def code(b: IRBuilder, out, numbers, row, count, room):
        def number(n, _):
            there = b.icmp_signed("<", n, count)
            value = load(b, b.select(there, element(b, numbers, n, row), numbers), llvm.F32)
            value = b.select(there, value, ir.Constant(llvm.F32, 0.0))
            store(b, value, element(b, out, n, FLOAT_BYTES))
            return ()

        loop(b, room, [], number)

    return void_intrinsic(5, code)


@jit_inline
def lay_out_keys(out, keys, row, count, room, dim):
    """Lay out the keys of a head as outputs of products, in panels; PANEL divides ``room``.

    A panel has VECTORS vectors, which are two, for each four inputs.
    """
    for first in range(0, room, LANES):
        panel, vector = first // (VECTORS * LANES), first // LANES % VECTORS
        there = max(1, min(LANES, count - first))
        transpose_rows_to_every_second(
            out + panel * VECTORS * LANES * dim + vector * VECTOR_BYTES,
            keys + min(first, count - 1) * row, row, there, dim // FOUR,
        )  # fmt: skip


@jit_inline
def lay_out_values(out, values, row, count, room, dim):
    """Lay out the values of a head, whose keys are inputs of products; FOUR divides ``room``."""
    for first in range(0, dim, LANES):
        panel, vector = first // (VECTORS * LANES), first // LANES % VECTORS
        _keys_as_inputs(
            out + panel * VECTORS * LANES * room + vector * VECTOR_BYTES,
            values + first, row, count, room // FOUR,
        )  # fmt: skip
