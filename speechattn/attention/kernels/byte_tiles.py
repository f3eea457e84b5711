"""Products of a few rows of bytes with a panel of a matrix of bytes, as intrinsics.

Each vector of weights is read once for several rows, whose sums stay in registers. Sums are whole
numbers of 32 bits, so that they are exact, and no row depends on others.

Weights lie in panels of ``PANEL`` outputs. Of each output, four inputs lie side by side, as the
instructions want them. VNNI adds their four products to a sum. AVX2 adds them in pairs, in 16 bits,
which must not overflow: weights then have 7 bits (:data:`MOST_WEIGHT`).
"""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir
from llvmlite.ir import IRBuilder, Value
from numba.extending import intrinsic

from speechattn.attention.kernels import llvm
from speechattn.attention.kernels.llvm import (
    I32,
    I32_VECTOR,
    LANES,
    VECTOR_BYTES,
    WIDE,
    broadcast,
    call_full,
    element,
    i32,
    i64,
    load,
    loop,
    prefetch,
    store,
)
from speechattn.attention.kernels.primitives import void_intrinsic
from speechattn.jit import jit_inline

FOUR = 4  # bytes of a lane
VECTORS = 2  # of sums for each row of a tile
PANEL = VECTORS * LANES  # outputs
TILE = 6  # rows whose sums stay in registers
BYTE_VECTOR = ir.VectorType(ir.IntType(8), FOUR * LANES)
SHORT_VECTOR = ir.VectorType(ir.IntType(16), 2 * LANES)
BITS = 512 if WIDE else 256  # of a register
VNNI = llvm.has("avx512vnni" if WIDE else "avxvnni")
OFFERED = VNNI or llvm.has("avx512bw" if WIDE else "avx2")  # whether there are such products
MOST_WEIGHT = 127 if VNNI else 63  # 255 * 63 * 2 fits into 16 bits


def _dot4(b: IRBuilder, total: Value, x: Value, weight: Value) -> Value:
    """Add to each lane the products of four bytes, unsigned of x and signed of the weight."""
    if VNNI:
        name = f"llvm.x86.avx512.vpdpbusd.{BITS}"
        return call_full(b, name, I32_VECTOR, total, x, weight)
    products = "llvm.x86.avx512.pmaddubs.w.512" if WIDE else "llvm.x86.avx2.pmadd.ub.sw"
    sums = "llvm.x86.avx512.pmaddw.d.512" if WIDE else "llvm.x86.avx2.pmadd.wd"
    x, weight = b.bitcast(x, BYTE_VECTOR), b.bitcast(weight, BYTE_VECTOR)
    pairs = call_full(b, products, SHORT_VECTOR, x, weight)
    ones = ir.Constant(SHORT_VECTOR, [1] * (2 * LANES))
    return b.add(total, call_full(b, sums, I32_VECTOR, pairs, ones))


def _tile(rows: int) -> Callable:
    """Make the function for so many rows and one panel."""

    @intrinsic
    def tile(context, x, x_row, weight, count, ahead, out, out_row):
        """Compute the sums of one panel of outputs.

        Args:
            x, x_row: bytes of the rows.
            weight: the panel.
            count: inputs / 4.
            ahead: bytes from the weights that are multiplied to those that the cache fetches.
            out, out_row: int32.
        """

        def code(b: IRBuilder, x, x_row, weight, count, ahead, out, out_row):
            begins = [element(b, x, r, x_row) for r in range(rows)]
            start = [i32(0)] * (rows * VECTORS)

            def inputs(number, sums):
                at = element(b, weight, number, VECTORS * VECTOR_BYTES)
                for v in range(VECTORS):
                    later = b.add(at, i64(v * VECTOR_BYTES))
                    prefetch(b, b.add(later, ahead), write=False)
                panel = [
                    load(b, b.add(at, i64(v * VECTOR_BYTES)), I32_VECTOR) for v in range(VECTORS)
                ]
                shift = b.mul(number, i64(FOUR))
                sums = list(sums)
                for r in range(rows):
                    four = broadcast(b, load(b, b.add(begins[r], shift), I32))
                    for v in range(VECTORS):
                        n = r * VECTORS + v
                        sums[n] = _dot4(b, sums[n], four, panel[v])
                return sums

            sums = loop(b, count, start, inputs)
            for r in range(rows):
                to = element(b, out, r, out_row)
                for v in range(VECTORS):
                    store(b, sums[r * VECTORS + v], b.add(to, i64(v * VECTOR_BYTES)))

        return void_intrinsic(7, code)

    return tile


one_row, _two, _three, _four, _five, _six = (_tile(rows) for rows in range(1, TILE + 1))


@jit_inline
def few_rows(rows, x, x_row, weight, count, ahead, out, out_row):
    """Compute the sums of one panel of outputs of 1 to TILE rows."""
    if rows == 6:
        _six(x, x_row, weight, count, ahead, out, out_row)
    elif rows == 5:
        _five(x, x_row, weight, count, ahead, out, out_row)
    elif rows == 4:
        _four(x, x_row, weight, count, ahead, out, out_row)
    elif rows == 3:
        _three(x, x_row, weight, count, ahead, out, out_row)
    elif rows == 2:
        _two(x, x_row, weight, count, ahead, out, out_row)
    else:
        one_row(x, x_row, weight, count, ahead, out, out_row)
