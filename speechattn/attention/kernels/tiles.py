"""Products of small matrices in tiles, with the sums in registers, as functions for compiled code.

The left matrix consists of *elements* of four bytes. One element is a float32, or, on processors
that multiply them, a pair of bfloat16 that follow each other along the sum. The matrix on the right
has a vector of such elements for LANES columns. The last argument of a function, ``half``, says
which: None for float32, 0 for pairs. Sums are float32.

What belongs to a group of LANES queries, such as its scores, has the queries in the lanes of a
vector and a vector for each key. Query i of the group sees the keys from ``low + i`` to
``high + i``.
"""

from __future__ import annotations

from collections.abc import Callable

from llvmlite.ir import IRBuilder
from numba import types
from numba.extending import intrinsic

from speechattn.attention.kernels import llvm
from speechattn.attention.kernels.llvm import (
    FLOAT_BYTES,
    LANES,
    VECTOR_BYTES,
    WIDE,
    broadcast,
    element,
    f32,
    i64,
    load,
    loop,
    store,
)
from speechattn.attention.kernels.primitives import void_intrinsic
from speechattn.jit import jit_inline

WIDE_TILE = 2  # vectors in a row of a wide tile
# Rows of a tile. With the most, its sums and two more vectors still fit into the registers.
WIDE_ROWS = (12, 8, 4, 2, 1) if WIDE else (6, 4, 2, 1)
NARROW_ROWS = (16, 8, 4, 2, 1) if WIDE else (8, 4, 2, 1)  # of a tile of one vector
# Of the tiles of sums over keys or queries: the fewer rows, the less is computed that lies outside
# the window.
SUM_ROWS = 4
WIDEST = 4 if WIDE else 2  # vectors


def numbers_in(half: types.Type) -> int:
    """Return how many numbers an element has, by the type of ``half``."""
    return 1 if isinstance(half, types.NoneType) else 2


def _product(half: types.Type) -> Callable:
    """Return what multiplies elements and adds."""
    return llvm.multiply_add if numbers_in(half) == 1 else llvm.multiply_add_pairs


def _sums(b: IRBuilder, product: Callable, rows, along, x, x_row, n, cells, start) -> list:
    """Emit a loop over n elements of the rows of the left matrix and n rows of x; return sums."""
    vectors = 1 + max(c for _, c in cells)

    def more(t, values):
        column = element(b, x, t, x_row)
        columns = [load(b, b.add(column, i64(c * VECTOR_BYTES))) for c in range(vectors)]
        shift = element(b, i64(0), t, along)
        ones = [broadcast(b, load(b, b.add(row, shift), llvm.F32)) for row in rows]
        return [product(b, ones[r], columns[c], value) for (r, c), value in zip(cells, values)]

    return loop(b, n, start, more)


def _cells(rows: int, vectors: int) -> list[tuple[int, int]]:
    return [(r, c) for r in range(rows) for c in range(vectors)]


def _cell(b: IRBuilder, start, r: int, row, c: int):
    return b.add(element(b, start, r, row), i64(c * VECTOR_BYTES))


def _tile(vectors: int, heights: tuple[int, ...]) -> Callable:
    """Return an intrinsic that computes a tile of a product, with its sums in registers.

    The tile has ``rows`` rows, one of ``heights``, of ``vectors`` vectors:

        out[r, c] = begin[r, c] + sum over t < n of a[r, t] * x[t, c]

    Elements of a lie ``across`` bytes apart from row to row and ``along`` bytes from t to t.
    ``begin`` is the address of start values, which may be ``out`` itself, or 0 for zeros.
    """

    @intrinsic
    def tile(context, out, out_row, a, across, along, x, x_row, n, begin, begin_row, rows, half):
        product = _product(half)

        def code(
            b: IRBuilder, out, out_row, a, across, along, x, x_row, n, begin, begin_row, rows, _
        ):  # fmt: skip
            for number in heights:
                with b.if_then(b.icmp_signed("==", rows, i64(number))):
                    cells = _cells(number, vectors)
                    before = b.block
                    with b.if_then(b.icmp_signed("!=", begin, i64(0))):
                        initial = [load(b, _cell(b, begin, r, begin_row, c)) for r, c in cells]
                        loaded = b.block
                    start = []
                    for value in initial:
                        phi = b.phi(llvm.F32_VECTOR)
                        phi.add_incoming(f32(0.0), before)
                        phi.add_incoming(value, loaded)
                        start.append(phi)
                    of = [element(b, a, r, across) for r in range(number)]
                    sums = _sums(b, product, of, along, x, x_row, n, cells, start)
                    for (r, c), value in zip(cells, sums):
                        store(b, value, _cell(b, out, r, out_row, c))

        return void_intrinsic(11, code, half)

    return tile


def _group_tile(vectors: int) -> Callable:
    """Return an intrinsic that adds to a tile what the queries of several groups give.

        out[r, c] += sum over queries i from ``first`` to ``last`` of a[r, i] * x[i, c]

    The tile has ``rows`` rows, SUM_ROWS or 1, one for each key, of ``vectors`` vectors. The lanes
    of a belong to the queries of a group. ``table`` has the address of a of each group, to which
    ``shift`` is added; its rows lie ``across`` bytes apart. Query 0 is the first of group 0. Rows
    of x have an element for each query, or for each pair of queries.
    """

    @intrinsic
    def tile(context, out, out_row, table, shift, across, x, x_row, first, last, rows, half):
        product, per = _product(half), numbers_in(half)

        def code(b: IRBuilder, out, out_row, table, shift, across, x, x_row, first, last, rows, _):
            for number in (SUM_ROWS, 1):
                with b.if_then(b.icmp_signed("==", rows, i64(number))):
                    cells = _cells(number, vectors)
                    group = b.sdiv(first, i64(LANES))

                    def of_group(n, sums, number=number, cells=cells, group=group):
                        g = b.add(group, n)
                        a = b.add(load(b, element(b, table, g, 8), llvm.I64), shift)
                        query = b.mul(g, i64(LANES))
                        low, high = b.sub(first, query), b.sub(last, query)
                        low = b.select(b.icmp_signed("<", low, i64(0)), i64(0), low)
                        high = b.select(b.icmp_signed(">", high, i64(LANES)), i64(LANES), high)
                        low = b.sdiv(low, i64(per))
                        high = b.sdiv(b.add(high, i64(per - 1)), i64(per))
                        a = element(b, a, low, FLOAT_BYTES)
                        of = [element(b, a, r, across) for r in range(number)]
                        at = b.add(b.sdiv(query, i64(per)), low)
                        return _sums(
                            b, product, of, i64(FLOAT_BYTES), element(b, x, at, x_row), x_row,
                            b.sub(high, low), cells, sums,
                        )  # fmt: skip

                    start = [load(b, _cell(b, out, r, out_row, c)) for r, c in cells]
                    end = b.sdiv(b.add(last, i64(LANES - 1)), i64(LANES))
                    sums = loop(b, b.sub(end, group), start, of_group)
                    for (r, c), value in zip(cells, sums):
                        store(b, value, _cell(b, out, r, out_row, c))

        return void_intrinsic(10, code, half)

    return tile


wide_tile = _tile(WIDE_TILE, WIDE_ROWS)
narrow_tile = _tile(1, NARROW_ROWS)
_sum_tile_1, _sum_tile_2, _sum_tile_widest = (_tile(n, (SUM_ROWS,)) for n in (1, 2, WIDEST))
_group_tile_1, _group_tile_2, _group_tile_widest = (_group_tile(n) for n in (1, 2, WIDEST))


@jit_inline
def matmul(out, out_row, a, across, along, x, x_row, rows, size, n, begin, begin_row, half):
    """Compute out = begin + a x, ``rows`` by ``size`` numbers, where LANES divides ``size``.

    See :func:`_tile` for the arguments.
    """
    column = 0
    while column < size:
        wide = size - column >= WIDE_TILE * LANES
        to, of, at = out + FLOAT_BYTES * column, a, x + FLOAT_BYTES * column
        start = begin + FLOAT_BYTES * column if begin else 0
        left = rows
        for tall in WIDE_ROWS if wide else NARROW_ROWS:
            while left >= tall:
                if wide:
                    wide_tile(
                        to, out_row, of, across, along, at, x_row, n, start, begin_row, tall, half
                    )
                else:
                    narrow_tile(
                        to, out_row, of, across, along, at, x_row, n, start, begin_row, tall, half
                    )
                to += tall * out_row
                of += tall * across
                start += tall * begin_row if begin else 0
                left -= tall
        column += WIDE_TILE * LANES if wide else LANES


@jit_inline
def keys_times_queries(out, keys, key_row, queries, count, steps, half):
    """Compute the products of ``count`` keys with the turned queries of a group.

    Args:
        out: a vector for each key.
        keys, key_row: rows of ``steps`` elements.
        queries: ``steps`` vectors.
    """
    left = count
    for tall in NARROW_ROWS:
        while left >= tall:
            narrow_tile(
                out, VECTOR_BYTES, keys, key_row, FLOAT_BYTES, queries, VECTOR_BYTES, steps, 0, 0,
                tall, half,
            )  # fmt: skip
            out += tall * VECTOR_BYTES
            keys += tall * key_row
            left -= tall


@jit_inline
def sum_over_keys(out, out_row, weights, x, x_row, size, keys, low, high, add, half):
    """Set, or add to, a row for each query of a group: the sum of weights * x over its keys.

    Args:
        out: rows of ``size`` numbers, float32.
        weights: a vector for each element along the keys.
        x, x_row: a row for each element along the keys.
        keys: number of keys.
        low, high: see the module.
        add: whether to add.
    """
    per = 1 if half is None else 2
    for row in range(0, LANES, SUM_ROWS):
        a = max(0, low + row) // per
        n = (min(keys, high + row + SUM_ROWS) + per - 1) // per - a
        of, at = weights + a * VECTOR_BYTES + row * FLOAT_BYTES, x + a * x_row
        column = 0
        while column < size:
            to = out + row * out_row + FLOAT_BYTES * column
            begin = to if add else 0
            vectors = (size - column) // LANES
            if vectors >= WIDEST:
                vectors = WIDEST
                _sum_tile_widest(
                    to, out_row, of, FLOAT_BYTES, VECTOR_BYTES, at, x_row, n, begin, out_row,
                    SUM_ROWS, half,
                )  # fmt: skip
            elif vectors >= 2:
                vectors = 2
                _sum_tile_2(
                    to, out_row, of, FLOAT_BYTES, VECTOR_BYTES, at, x_row, n, begin, out_row,
                    SUM_ROWS, half,
                )  # fmt: skip
            else:
                _sum_tile_1(
                    to, out_row, of, FLOAT_BYTES, VECTOR_BYTES, at, x_row, n, begin, out_row,
                    SUM_ROWS, half,
                )  # fmt: skip
            column += vectors * LANES
            at += vectors * VECTOR_BYTES


@jit_inline
def sum_over_queries(
    out, out_row, table, across, x, x_row, size, keys, first, past, count, half
):  # fmt: skip
    """Add to a row for each key: the sum of weights * x over the queries of a stretch that see it.

    Args:
        out: rows of ``size`` numbers, float32.
        table: for each group, the address of a row of weights for key 0, one element for each query
            or pair of queries of the group.
        across: bytes from the row of a key to that of the next.
        x, x_row: a row for each query, or pair, of the stretch.
        keys: number of keys.
        first, past: key j is seen by the queries from ``first + j`` to ``past + j`` (exclusive).
        count: number of queries.
    """
    key = 0
    while key < keys:
        rows = SUM_ROWS if keys - key >= SUM_ROWS else 1
        a, z = max(0, first + key), min(count, past + key + rows - 1)
        column = 0
        while column < size and a < z:
            to, at = out + key * out_row + FLOAT_BYTES * column, x + FLOAT_BYTES * column
            vectors = (size - column) // LANES
            if vectors >= WIDEST:
                vectors = WIDEST
                _group_tile_widest(
                    to, out_row, table, key * across, across, at, x_row, a, z, rows, half
                )
            elif vectors >= 2:
                vectors = 2
                _group_tile_2(to, out_row, table, key * across, across, at, x_row, a, z, rows, half)
            else:
                _group_tile_1(to, out_row, table, key * across, across, at, x_row, a, z, rows, half)
            column += vectors * LANES
        key += rows
