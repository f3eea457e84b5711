"""The softmax of one query's scores in whole numbers, as functions for code that Numba compiles.

Scores lie side by side, one for each key. What is summed over keys is rounded to whole numbers
first: their sum does not depend on the order, so a query gives the same result, to the last bit,
wherever its keys lie. Counts are of vectors; all arguments are whole numbers of 64 bits unless
stated otherwise.
"""

from __future__ import annotations

from llvmlite import ir
from llvmlite.ir import IRBuilder
from numba import types
from numba.extending import intrinsic

from speechattn.attention.kernels import llvm
from speechattn.attention.kernels.byte_heads import highest, larger
from speechattn.attention.kernels.llvm import (
    F32_VECTOR,
    I32,
    I32_VECTOR,
    LANES,
    VECTOR_BYTES,
    broadcast,
    call,
    element,
    f32,
    i32,
    load,
    loop,
    store,
)
from speechattn.attention.kernels.primitives import void_intrinsic
from speechattn.attention.kernels.rows import as_bytes

ONE = 1 << 15  # whole number of the weight of the key with the highest score
NEG_INF = float("-inf")


@intrinsic
def score_keys(context, scores, vectors, zeros, steps, bias, low, high, factor):
    """Turn sums of products into scores, (sum + zero) * step * factor + bias; return the highest.

    Keys before ``low`` and from ``high`` on get -infinity. ``factor`` is a float32.
    """

    def generate(context, b: IRBuilder, signature, arguments):
        scores, vectors, zeros, steps, bias, low, high, factor = arguments
        factor = broadcast(b, factor)
        low, high = (broadcast(b, b.trunc(x, I32)) for x in (low, high))

        def vector(number, values):
            at, zero, step, plus = (
                element(b, x, number, VECTOR_BYTES) for x in (scores, zeros, steps, bias)
            )
            y = b.add(load(b, at, I32_VECTOR), load(b, zero, I32_VECTOR))
            y = b.fmul(b.fmul(b.sitofp(y, F32_VECTOR), load(b, step)), factor)
            y = b.fadd(y, load(b, plus))
            key = b.add(
                broadcast(b, b.trunc(b.mul(number, llvm.i64(LANES)), I32)), i32(range(LANES))
            )
            inside = b.icmp_signed(">=", key, low)
            inside = b.and_(inside, b.icmp_signed("<", key, high))
            y = b.select(inside, y, f32(NEG_INF))
            store(b, y, at)
            return (larger(b, values[0], y),)

        (top,) = loop(b, vectors, [f32(NEG_INF)], vector)
        return b.extract_element(highest(b, top), I32(0))

    return types.float32(*[types.int64] * 7, types.float32), generate


@intrinsic
def weigh_keys(context, scores, vectors, steps, total, top):
    """Turn scores into weights, 2^(score - top) * step; return the highest of them.

    The sum of the weights without their steps, in whole numbers of which ONE is 1, is stored as
    int32 at ``total``. ``top`` is a float32.
    """

    def generate(context, b: IRBuilder, signature, arguments):
        scores, vectors, steps, total, top = arguments
        top = broadcast(b, top)

        def vector(number, values):
            at = element(b, scores, number, VECTOR_BYTES)
            power = llvm.exp2(b, b.fsub(load(b, at), top))
            whole = b.fptosi(call(b, "rint", b.fmul(power, f32(float(ONE)))), I32_VECTOR)
            weight = b.fmul(power, load(b, element(b, steps, number, VECTOR_BYTES)))
            store(b, weight, at)
            return b.add(values[0], whole), larger(b, values[1], weight)

        sums, most = loop(b, vectors, [i32(0), f32(0.0)], vector)
        half = LANES // 2
        while half:
            order = i32([(lane + half) % LANES for lane in range(LANES)])
            sums = b.add(sums, b.shuffle_vector(sums, sums, order))
            half //= 2
        store(b, b.extract_element(sums, I32(0)), total)
        return b.extract_element(highest(b, most), I32(0))

    return types.float32(*[types.int64] * 4, types.float32), generate


@intrinsic
def round_weights(context, out, weights, vectors, factor):
    """Round weights times a factor, a float32, to bytes."""

    def code(b: IRBuilder, out, weights, vectors, factor):
        factor = broadcast(b, factor)

        def vector(number, _):
            near = b.fmul(load(b, element(b, weights, number, VECTOR_BYTES)), factor)
            near = as_bytes(b, b.fadd(near, f32(0.5)))
            store(b, near, element(b, out, number, LANES))
            return ()

        loop(b, vectors, [], vector)

    return void_intrinsic(3, code, types.float32)


@intrinsic
def scale_sums(context, out, sums, vectors, factor):
    """Set out to sums, int32, times a factor, a float32."""

    def code(b: IRBuilder, out, sums, vectors, factor):
        factor = broadcast(b, factor)

        def vector(number, _):
            whole = load(b, element(b, sums, number, VECTOR_BYTES), I32_VECTOR)
            value = b.fmul(b.sitofp(whole, F32_VECTOR), factor)
            store(b, value, element(b, out, number, VECTOR_BYTES))
            return ()

        loop(b, vectors, [], vector)

    return void_intrinsic(3, code, types.float32)


@intrinsic
def zero_bytes(context, out, vectors):
    """Set vectors of bytes to 0."""

    def code(b: IRBuilder, out, vectors):
        nothing = ir.Constant(ir.VectorType(ir.IntType(8), LANES), [0] * LANES)

        def vector(number, _):
            store(b, nothing, element(b, out, number, LANES))
            return ()

        loop(b, vectors, [], vector)

    return void_intrinsic(2, code)
