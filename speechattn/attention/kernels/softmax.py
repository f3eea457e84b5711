"""The softmax of a group's scores, forward and backward, as functions for code that Numba compiles.

The scores of a group have the queries in the lanes of a vector and a vector for each key, so that a
softmax runs down the vectors and never across their lanes. Query i of a group sees the keys from
``low + i`` to ``high + i``. Arguments are whole numbers of 64 bits unless stated otherwise.
``half`` says what becomes of the weights: they stay float32 if it is None, and are rounded to
bfloat16, in pairs, if it is 0 (:mod:`speechattn.attention.kernels.tiles`).
"""

from __future__ import annotations

from collections.abc import Callable

from llvmlite.ir import IRBuilder, Value
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
from speechattn.attention.kernels.primitives import void_intrinsic
from speechattn.attention.kernels.tiles import numbers_in

NEG_INF = float("-inf")
LOWEST = -1e30  # stands for a highest score of -inf, of which nothing can be subtracted


def _allowed(b: IRBuilder, key: Value, low: Value, high: Value) -> Value:
    """Return which queries i of a group may see a key: those with low + i <= key <= high + i."""
    lane = i32(range(LANES))
    key, low, high = (broadcast(b, b.trunc(x, llvm.I32)) for x in (key, low, high))
    after = b.icmp_signed(">=", key, b.add(low, lane))
    return b.and_(after, b.icmp_signed("<=", key, b.add(high, lane)))


def _clamp(b: IRBuilder, x: Value, low: Value, high: Value) -> Value:
    x = b.select(b.icmp_signed("<", x, low), low, x)
    return b.select(b.icmp_signed(">", x, high), high, x)


def _each_key(
    b: IRBuilder, steps: Value, per: int, low: Value, high: Value, start: list, body: Callable
) -> list:
    """Emit ``body(number, values, masked)`` for all steps of ``per`` keys; return the last values.

    Only the first and the last ones are masked: those between are seen by all queries.
    """
    before = b.add(low, i64(LANES - 1))  # keys from here to high are seen by all
    first = b.sdiv(b.add(_clamp(b, before, i64(0), b.mul(steps, i64(per))), i64(per - 1)), i64(per))
    last = b.sdiv(b.add(high, i64(1)), i64(per))
    last = _clamp(b, last, first, steps)
    values = loop(b, first, start, lambda n, values: body(n, values, True))
    values = loop(
        b, b.sub(last, first), values, lambda n, values: body(b.add(first, n), values, False)
    )
    return loop(b, b.sub(steps, last), values, lambda n, values: body(b.add(last, n), values, True))


@intrinsic
def softmax_step(context, scores, keys, low, high, top, total, change, factor, half):
    """Turn the scores of a group for more keys into weights 2^(factor * (score - top)).

    This is one step of a softmax: the vectors ``top`` and ``total`` of the group hold the highest
    score and the sum of the weights over all keys so far, and are updated. A key
    that a query may not see gets the weight 0. What was summed with earlier weights must be
    multiplied by ``change``. ``factor`` is a float32 above 0.
    """
    per = numbers_in(half)

    def code(b: IRBuilder, scores, keys, low, high, top, total, change, factor, _):
        factor = broadcast(b, factor)

        def highest(key, values, masked):
            at = element(b, scores, key, VECTOR_BYTES)
            score = load(b, at)
            if masked:
                score = b.select(_allowed(b, key, low, high), score, f32(NEG_INF))
                store(b, score, at)
            return (b.select(b.fcmp_ordered(">", score, values[0]), score, values[0]),)

        (most,) = _each_key(b, keys, 1, low, high, [f32(NEG_INF)], highest)
        first = load(b, top)
        most = b.select(b.fcmp_ordered(">", most, first), most, first)
        base = b.select(b.fcmp_ordered(">", most, f32(LOWEST)), most, f32(LOWEST))
        again = llvm.exp2(b, b.fmul(b.fsub(first, base), factor))

        def power(key):
            score = load(b, element(b, scores, key, VECTOR_BYTES))
            return llvm.exp2(b, b.fmul(b.fsub(score, base), factor))

        def weight(key, values):
            value = power(key)
            store(b, value, element(b, scores, key, VECTOR_BYTES))
            return (b.fadd(values[0], value),)

        def pair(number, values):
            key = b.mul(number, i64(2))
            first, second = power(key), power(b.add(key, i64(1)))
            rounded = llvm.pair_up(b, llvm.to_bf16_rows(b, first, second))
            store(b, rounded, element(b, scores, number, VECTOR_BYTES))
            return (b.fadd(values[0], b.fadd(first, second)),)

        start = [b.fmul(load(b, total), again)]
        if per == 1:
            (sums,) = loop(b, keys, start, weight)
        else:
            store(b, f32(NEG_INF), element(b, scores, keys, VECTOR_BYTES))  # should it be odd
            (sums,) = loop(b, b.sdiv(b.add(keys, i64(1)), i64(2)), start, pair)
        store(b, most, top)
        store(b, sums, total)
        store(b, again, change)

    return void_intrinsic(7, code, types.float32, half)


@intrinsic
def invert(context, vector, rows):
    """Replace the numbers of a group of ``rows`` queries by 1 / x; other lanes become 0."""

    def code(b: IRBuilder, vector, rows):
        used = b.icmp_signed("<", i32(range(LANES)), broadcast(b, b.trunc(rows, llvm.I32)))
        over = b.fdiv(f32(1.0), load(b, vector))
        store(b, b.select(used, over, f32(0.0)), vector)

    return void_intrinsic(2, code)


@intrinsic
def softmax_backward(
    context, scores, gradient, keys, low, high, top, inverse_sum, mean, weights, changes, factor,
    scale, half,
):  # fmt: skip
    """Compute weights again and, from their gradients, those of the scores.

    weight = 2^(factor * (score - top)) / sum    gradient = scale * weight * (gradient - mean)

    ``gradient`` is updated. If weights are rounded, rows of them are stored at ``weights`` and rows
    of their gradients at ``changes``, with pairs of queries; pairs of keys of the gradients replace
    the scores. Otherwise weights replace the scores, and the other two are not used. ``factor`` and
    ``scale`` are float32.
    """
    per = numbers_in(half)

    def code(
        b: IRBuilder, scores, gradient, keys, low, high, top, inverse_sum, mean, weights, changes,
        factor, scale, _,
    ):  # fmt: skip
        factor, scale = broadcast(b, factor), broadcast(b, scale)
        top, over, mean = load(b, top), load(b, inverse_sum), load(b, mean)

        def one(key, masked):
            at = element(b, scores, key, VECTOR_BYTES)
            to = element(b, gradient, key, VECTOR_BYTES)
            value = b.fmul(llvm.exp2(b, b.fmul(b.fsub(load(b, at), top), factor)), over)
            change = b.fmul(b.fmul(value, scale), b.fsub(load(b, to), mean))
            if masked:
                seen = _allowed(b, key, low, high)
                seen = b.and_(seen, broadcast(b, b.icmp_signed("<", key, keys)))
                value, change = (b.select(seen, x, f32(0.0)) for x in (value, change))
            store(b, change, to)
            return value, change

        def body(number, _, masked):
            if per == 1:
                value, _ = one(number, masked)
                store(b, value, element(b, scores, number, VECTOR_BYTES))
                return ()
            key = b.mul(number, i64(2))
            pairs = zip(one(key, masked), one(b.add(key, i64(1)), masked))
            of_weights, of_changes = (llvm.to_bf16_rows(b, *pair) for pair in pairs)
            store(b, of_weights, element(b, weights, number, VECTOR_BYTES))
            store(b, of_changes, element(b, changes, number, VECTOR_BYTES))
            store(b, llvm.pair_up(b, of_changes), element(b, scores, number, VECTOR_BYTES))
            return ()

        steps = b.sdiv(b.add(keys, i64(per - 1)), i64(per))
        last = b.sub(keys, i64(1))  # what lies beyond the keys is never seen by all
        high_all = b.select(b.icmp_signed("<", high, last), high, last)
        _each_key(b, steps, per, low, high_all, [], body)

    return void_intrinsic(10, code, types.float32, types.float32, half)
