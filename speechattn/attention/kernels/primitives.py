"""What attention is made of: small products, softmax, rows in and out, on vectors of the processor.

Functions for code that Numba compiles; :mod:`speechattn.attention.kernels.window` strings them together. Every
argument is a whole number of 64 bits unless said otherwise; matrices are told by their address and
the bytes from one row to the next. A *group* is ``LANES`` queries: what belongs to one, such as its
scores, lies with the queries side by side in one vector and the keys one below the other, so that a
softmax goes down the vectors and never across them.
"""

from __future__ import annotations

from collections.abc import Callable

from llvmlite.ir import IRBuilder
from numba import types
from numba.extending import intrinsic

from speechattn.attention.kernels import llvm
from speechattn.attention.kernels.llvm import (
    BYTES,
    LANES,
    WIDE,
    floats,
    ints,
    load,
    long,
    loop,
    spread,
    step,
    store,
)

WIDE_TILE = 2  # vectors of a tile
# Rows that a tile may have: so many that its sums and two vectors more are in registers, and fewer.
WIDE_ROWS = (12, 8, 4, 2, 1) if WIDE else (6, 4, 2, 1)
NARROW_ROWS = (16, 8, 4, 2, 1) if WIDE else (8, 4, 2, 1)  # if it is one vector wide
NOTHING = float("-inf")


def of_whole_numbers(count: int, code: Callable, *more: types.Type):
    """Types and code of an intrinsic with ``count`` whole numbers and ``more`` that gives nothing."""

    def generate(context, builder, signature, arguments):
        code(builder, *arguments)
        return context.get_dummy_value()

    return types.void(*[types.int64] * count, *more), generate


# --- products -------------------------------------------------------------------------------------


def _tile(vectors: int, heights: tuple[int, ...]) -> Callable:
    """Tiles of a product, ``rows`` of ``heights`` by ``vectors`` vectors, their sums in registers.

    out[r, c] = begin[r, c] + sum over t < n of a[r, t] * x[t, c]; numbers of a lie ``across`` bytes
    from row to row and ``along`` from t to t. ``begin``: 0 for zeros; it may be ``out`` itself.
    """

    def code(b: IRBuilder, out, out_row, a, across, along, x, x_row, n, begin, begin_row, rows):
        for number in heights:
            with b.if_then(b.icmp_signed("==", rows, long(number))):
                _tile_of(number, b, out, out_row, a, across, along, x, x_row, n, begin, begin_row)

    def _tile_of(rows, b, out, out_row, a, across, along, x, x_row, n, begin, begin_row):
        places = [(r, c) for r in range(rows) for c in range(vectors)]

        def at(start, r, row, c):
            return b.add(step(b, start, r, row), long(c * BYTES))

        before = b.block
        with b.if_then(b.icmp_signed("!=", begin, long(0))):
            there = [load(b, at(begin, r, begin_row, c)) for r, c in places]
            loaded = b.block
        sums = []
        for value in there:
            start = b.phi(llvm.FLOATS)
            start.add_incoming(floats(0.0), before)
            start.add_incoming(value, loaded)
            sums.append(start)
        rows_of_a = [step(b, a, r, across) for r in range(rows)]

        def more(t, values):
            column = step(b, x, t, x_row)
            columns = [load(b, b.add(column, long(c * BYTES))) for c in range(vectors)]
            shift = b.mul(t, along)
            ones = [spread(b, load(b, b.add(row, shift), llvm.F32)) for row in rows_of_a]
            return [
                llvm.call(b, "fma", ones[r], columns[c], value)
                for (r, c), value in zip(places, values)
            ]

        for (r, c), value in zip(places, loop(b, n, sums, more)):
            store(b, value, at(out, r, out_row, c))

    @intrinsic
    def tile(context, out, out_row, a, across, along, x, x_row, n, begin, begin_row, rows):
        return of_whole_numbers(11, code)

    return tile


wide_tile = _tile(WIDE_TILE, WIDE_ROWS)
narrow_tile = _tile(1, NARROW_ROWS)


# --- rows in and out ------------------------------------------------------------------------------


@intrinsic
def turn(context, out, a, row, rows, size, factor):
    """out[t, i] = factor * a[i, t] for a group: ``size`` numbers, a multiple of LANES, of each row.

    Of ``rows`` < LANES rows, lanes without one get numbers of the first. ``factor``: float32.
    """

    def code(b: IRBuilder, out, a, row, rows, size, factor):
        factor = spread(b, factor)
        begins = [
            b.select(b.icmp_signed("<", long(r), rows), step(b, a, r, row), a) for r in range(LANES)
        ]

        def square(number, _):
            shift = b.mul(number, long(BYTES))
            read = [b.fmul(load(b, b.add(begin, shift)), factor) for begin in begins]
            to = step(b, out, number, LANES * BYTES)
            for i, column in enumerate(llvm.transpose(b, read)):
                store(b, column, b.add(to, long(i * BYTES)))
            return ()

        loop(b, b.sdiv(size, long(LANES)), [], square)

    return of_whole_numbers(5, code, types.float32)


@intrinsic
def widen(context, out, a, count):
    """``count`` floats, a multiple of LANES, from bfloat16."""

    def code(b: IRBuilder, out, a, count):
        def vector(number, _):
            half = load(b, step(b, a, number, BYTES // 2), llvm.HALVES)
            store(b, llvm.from_half(b, half), step(b, out, number, BYTES))
            return ()

        loop(b, b.sdiv(count, long(LANES)), [], vector)

    return of_whole_numbers(3, code)


@intrinsic
def scale_row(context, out, a, count, half, factor):
    """out = factor * a, of ``count`` floats, a multiple of LANES; as bfloat16 if ``half``.

    ``factor``: float32.
    """

    def code(b: IRBuilder, out, a, count, half, factor):
        factor = spread(b, factor)
        vectors = b.sdiv(count, long(LANES))

        def scaled(number):
            return b.fmul(load(b, step(b, a, number, BYTES)), factor)

        def as_half(number, _):
            store(b, llvm.to_half(b, scaled(number)), step(b, out, number, BYTES // 2))
            return ()

        def as_float(number, _):
            store(b, scaled(number), step(b, out, number, BYTES))
            return ()

        with b.if_else(b.icmp_signed("!=", half, long(0))) as (then, otherwise):
            with then:
                loop(b, vectors, [], as_half)
            with otherwise:
                loop(b, vectors, [], as_float)

    return of_whole_numbers(4, code, types.float32)


@intrinsic
def number_at(context, address):
    """The float at an address."""

    def generate(context, b, signature, arguments):
        return load(b, arguments[0], llvm.F32)

    return types.float32(types.int64), generate


@intrinsic
def dot(context, out, a, x, count):
    """out[0] = sum of a * x, over ``count`` floats, a multiple of LANES."""

    def code(b: IRBuilder, out, a, x, count):
        def vector(number, values):
            pair = (load(b, step(b, start, number, BYTES)) for start in (a, x))
            return (llvm.call(b, "fma", *pair, values[0]),)

        (total,) = loop(b, b.sdiv(count, long(LANES)), [floats(0.0)], vector)
        width = LANES
        while width > 1:  # halves of the vector, added until one number is left
            width //= 2
            other = [(n + width) % LANES for n in range(LANES)]
            total = b.fadd(total, b.shuffle_vector(total, total, ints(other)))
        store(b, b.extract_element(total, llvm.I32(0)), out)

    return of_whole_numbers(4, code)


# --- softmax --------------------------------------------------------------------------------------


def _seen(b: IRBuilder, key, low, high):
    """Which queries of a group see a key: query i sees those from low + i to high + i."""
    lane = ints(range(LANES))
    key, low, high = (spread(b, b.trunc(x, llvm.I32)) for x in (key, low, high))
    after = b.icmp_signed(">=", key, b.add(low, lane))
    return b.and_(after, b.icmp_signed("<=", key, b.add(high, lane)))


@intrinsic
def weigh(context, scores, keys, low, high, top, total, change):
    """Scores of a group with so many keys, to the base 2, become 2^(score - top), unseen ones 0.

    ``top`` and ``total``, vectors of the group, hold the highest score and the sum of such weights
    over keys before, and go on; by ``change`` must be multiplied what was summed with them before.
    """

    def code(b: IRBuilder, scores, keys, low, high, top, total, change):
        first = load(b, top)

        def hide(key, values):
            at = step(b, scores, key, BYTES)
            score = b.select(_seen(b, key, low, high), load(b, at), floats(NOTHING))
            store(b, score, at)
            return (b.select(b.fcmp_ordered(">", score, values[0]), score, values[0]),)

        (highest,) = loop(b, keys, [first], hide)

        def power(score):
            hidden = b.fcmp_ordered("==", score, floats(NOTHING))
            return b.select(hidden, floats(0.0), llvm.exp2(b, b.fsub(score, highest)))

        factor = power(first)

        def weight(key, values):
            at = step(b, scores, key, BYTES)
            value = power(load(b, at))
            store(b, value, at)
            return (b.fadd(values[0], value),)

        (sums,) = loop(b, keys, [b.fmul(load(b, total), factor)], weight)
        store(b, highest, top)
        store(b, sums, total)
        store(b, factor, change)

    return of_whole_numbers(7, code)


@intrinsic
def invert(context, vector, rows):
    """1 / x for every number of a group of ``rows`` queries; 0 for lanes without one."""

    def code(b: IRBuilder, vector, rows):
        there = b.icmp_signed("<", ints(range(LANES)), spread(b, b.trunc(rows, llvm.I32)))
        over = b.fdiv(floats(1.0), load(b, vector))
        store(b, b.select(there, over, floats(0.0)), vector)

    return of_whole_numbers(2, code)


@intrinsic
def weigh_again(context, scores, keys, low, high, top, over):
    """Scores become the weights of a softmax whose highest score and whose 1 / sum are known."""

    def code(b: IRBuilder, scores, keys, low, high, top, over):
        top, over = load(b, top), load(b, over)

        def weight(key, _):
            at = step(b, scores, key, BYTES)
            value = b.fmul(llvm.exp2(b, b.fsub(load(b, at), top)), over)
            store(b, b.select(_seen(b, key, low, high), value, floats(0.0)), at)
            return ()

        loop(b, keys, [], weight)

    return of_whole_numbers(6, code)


@intrinsic
def gradient_of_scores(context, weights, gradient, keys, mean, scale):
    """The gradient of a softmax's scores: scale * weight * (gradient of the weight - their mean).

    ``scale``: float32.
    """

    def code(b: IRBuilder, weights, gradient, keys, mean, scale):
        mean, scale = load(b, mean), spread(b, scale)

        def score(key, _):
            at = step(b, gradient, key, BYTES)
            weight = b.fmul(load(b, step(b, weights, key, BYTES)), scale)
            store(b, b.fmul(weight, b.fsub(load(b, at), mean)), at)
            return ()

        loop(b, keys, [], score)

    return of_whole_numbers(4, code, types.float32)


@intrinsic
def add_along(context, to, to_row, a, a_row, rows):
    """to[r] += a[r] for vectors, the next one so many bytes further on, before or after."""

    def code(b: IRBuilder, to, to_row, a, a_row, rows):
        def vector(number, _):
            at = step(b, to, number, to_row)
            store(b, b.fadd(load(b, at), load(b, step(b, a, number, a_row))), at)
            return ()

        loop(b, rows, [], vector)

    return of_whole_numbers(5, code)


@intrinsic
def at_least(context, out, vectors, value):
    """Numbers below one, float32, become it; NaN stays NaN."""

    def code(b: IRBuilder, out, vectors, value):
        value = spread(b, value)

        def vector(number, _):
            at = step(b, out, number, BYTES)
            there = load(b, at)
            store(b, b.select(b.fcmp_ordered("<", there, value), value, there), at)
            return ()

        loop(b, vectors, [], vector)

    return of_whole_numbers(2, code, types.float32)


@intrinsic
def fill(context, out, vectors, value):
    """Vectors of one number, float32."""

    def code(b: IRBuilder, out, vectors, value):
        def vector(number, _):
            store(b, spread(b, value), step(b, out, number, BYTES))
            return ()

        loop(b, vectors, [], vector)

    return of_whole_numbers(2, code, types.float32)
