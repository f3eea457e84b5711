"""Parts of attention as functions for code that Numba compiles: softmax, rows in and out.

:mod:`speechattn.attention.kernels.window` combines them with products of matrices
(:mod:`speechattn.attention.kernels.matmul`). Every argument is a whole number of 64 bits unless
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

NEG_INF = float("-inf")


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


@intrinsic
def transpose_rows(context, out, a, row, rows, size, factor):
    """Set out[t, i] = factor * a[i, t] for the rows i of a group.

    Each row has ``size`` numbers, a multiple of LANES. If there are fewer than LANES rows, the
    other lanes repeat the first. ``factor`` is a float32.
    """

    def code(b: IRBuilder, out, a, row, rows, size, factor):
        factor = broadcast(b, factor)
        begins = [
            b.select(b.icmp_signed("<", i64(r), rows), element(b, a, r, row), a)
            for r in range(LANES)
        ]

        def square(number, _):
            shift = b.mul(number, i64(VECTOR_BYTES))
            read = [b.fmul(load(b, b.add(begin, shift)), factor) for begin in begins]
            to = element(b, out, number, LANES * VECTOR_BYTES)
            for i, column in enumerate(llvm.transpose(b, read)):
                store(b, column, b.add(to, i64(i * VECTOR_BYTES)))
            return ()

        loop(b, b.sdiv(size, i64(LANES)), [], square)

    return void_intrinsic(5, code, types.float32)


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
def load_f32(context, address):
    """Return the float32 at an address."""

    def generate(context, b, signature, arguments):
        return load(b, arguments[0], llvm.F32)

    return types.float32(types.int64), generate


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


# --- softmax --------------------------------------------------------------------------------------


def _allowed(b: IRBuilder, key, low, high):
    """Return which queries i of a group may see a key: those with low + i <= key <= high + i."""
    lane = i32(range(LANES))
    key, low, high = (broadcast(b, b.trunc(x, llvm.I32)) for x in (key, low, high))
    after = b.icmp_signed(">=", key, b.add(low, lane))
    return b.and_(after, b.icmp_signed("<=", key, b.add(high, lane)))


@intrinsic
def softmax_step(context, scores, keys, low, high, top, total, change):
    """Turn the scores of a group for more keys into weights 2^(score - top): one step of a softmax.

    Scores are to the base 2; a key that a query may not see gets the weight 0. The vectors ``top``
    and ``total`` of the group hold the highest score and the sum of the weights over all keys so
    far, and are updated. What was summed with earlier weights must be multiplied by ``change``.
    """

    def code(b: IRBuilder, scores, keys, low, high, top, total, change):
        first = load(b, top)

        def mask(key, values):
            at = element(b, scores, key, VECTOR_BYTES)
            score = b.select(_allowed(b, key, low, high), load(b, at), f32(NEG_INF))
            store(b, score, at)
            return (b.select(b.fcmp_ordered(">", score, values[0]), score, values[0]),)

        (highest,) = loop(b, keys, [first], mask)

        def power(score):
            masked = b.fcmp_ordered("==", score, f32(NEG_INF))
            return b.select(masked, f32(0.0), llvm.exp2(b, b.fsub(score, highest)))

        factor = power(first)

        def weight(key, values):
            at = element(b, scores, key, VECTOR_BYTES)
            value = power(load(b, at))
            store(b, value, at)
            return (b.fadd(values[0], value),)

        (sums,) = loop(b, keys, [b.fmul(load(b, total), factor)], weight)
        store(b, highest, top)
        store(b, sums, total)
        store(b, factor, change)

    return void_intrinsic(7, code)


@intrinsic
def invert(context, vector, rows):
    """Replace the numbers of a group of ``rows`` queries by 1 / x; other lanes become 0."""

    def code(b: IRBuilder, vector, rows):
        used = b.icmp_signed("<", i32(range(LANES)), broadcast(b, b.trunc(rows, llvm.I32)))
        over = b.fdiv(f32(1.0), load(b, vector))
        store(b, b.select(used, over, f32(0.0)), vector)

    return void_intrinsic(2, code)


@intrinsic
def softmax_again(context, scores, keys, low, high, top, inverse_sum):
    """Turn scores into the weights of a softmax with known highest score and 1 / sum."""

    def code(b: IRBuilder, scores, keys, low, high, top, inverse_sum):
        top, inverse_sum = load(b, top), load(b, inverse_sum)

        def weight(key, _):
            at = element(b, scores, key, VECTOR_BYTES)
            value = b.fmul(llvm.exp2(b, b.fsub(load(b, at), top)), inverse_sum)
            store(b, b.select(_allowed(b, key, low, high), value, f32(0.0)), at)
            return ()

        loop(b, keys, [], weight)

    return void_intrinsic(6, code)


@intrinsic
def softmax_backward(context, weights, gradient, keys, mean, scale):
    """Turn the gradient of a softmax's weights into that of its scores.

    gradient = scale * weight * (gradient - mean), where ``mean`` has a number for each query.
    ``scale`` is a float32.
    """

    def code(b: IRBuilder, weights, gradient, keys, mean, scale):
        mean, scale = load(b, mean), broadcast(b, scale)

        def score(key, _):
            at = element(b, gradient, key, VECTOR_BYTES)
            weight = b.fmul(load(b, element(b, weights, key, VECTOR_BYTES)), scale)
            store(b, b.fmul(weight, b.fsub(load(b, at), mean)), at)
            return ()

        loop(b, keys, [], score)

    return void_intrinsic(4, code, types.float32)


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
