"""Products of rows of bytes with a matrix of bytes, for the processor of this machine.

oneDNN takes as long for the ten rows of a tenth of a second of speech as for dozens. Here each
vector of weights is read once for several rows, whose sums stay in registers. Sums are whole
numbers of 32 bits, so that they are exact, and no row depends on others.

Weights lie in panels of ``PANEL`` outputs. Of each output, four inputs lie side by side, as the
instructions want them. VNNI adds their four products to a sum. AVX2 adds them in pairs, in 16 bits,
which must not overflow: weights then have 7 bits (:data:`MOST_WEIGHT`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from llvmlite import ir
from llvmlite.ir import IRBuilder, Value
from numba.extending import intrinsic
from torch import Tensor

from speechattn.attention.kernels import llvm
from speechattn.attention.kernels.llvm import (
    F32_VECTOR,
    FLOAT_BYTES,
    I32,
    I32_VECTOR,
    LANES,
    VECTOR_BYTES,
    WIDE,
    broadcast,
    call_full,
    element,
    i64,
    load,
    loop,
    store,
)
from speechattn.attention.kernels.primitives import void_intrinsic
from speechattn.attention.kernels.runtime import parallel_for
from speechattn.jit import jit, jit_inline

FOUR = 4  # bytes of a lane
VECTORS = 2  # of sums for each row of a tile
PANEL = VECTORS * LANES  # outputs
TILE = 6  # rows whose sums stay in registers
STRIP = 96  # rows that stay in the cache while all panels are read
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
    def tile(context, x, x_row, weight, count, zeros, step, bias, out, out_row):
        """Compute one panel of outputs.

        Args:
            x, x_row: bytes of the rows.
            weight: the panel.
            count: inputs / 4.
            zeros: what to add to the sums for the zero of x, int32, PANEL of them.
            step, bias: of the outputs, float32, PANEL each.
            out, out_row: float32.
        """

        def code(b: IRBuilder, x, x_row, weight, count, zeros, step, bias, out, out_row):
            begins = [element(b, x, r, x_row) for r in range(rows)]
            start = [
                load(b, b.add(zeros, i64(v * VECTOR_BYTES)), I32_VECTOR) for v in range(VECTORS)
            ] * rows

            def inputs(number, sums):
                at = element(b, weight, number, VECTORS * VECTOR_BYTES)
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
                    shift = i64(v * VECTOR_BYTES)
                    y = b.sitofp(sums[r * VECTORS + v], F32_VECTOR)
                    y = b.fmul(y, load(b, b.add(step, shift)))
                    y = b.fadd(y, load(b, b.add(bias, shift)))
                    store(b, y, b.add(to, shift))

        return void_intrinsic(9, code)

    return tile


_one, _two, _three, _four, _five, _six = (_tile(rows) for rows in range(1, TILE + 1))


@jit_inline
def _some_rows(rows, x, x_row, weight, count, zeros, step, bias, out, out_row):
    """Compute one panel of outputs of 1 to TILE rows."""
    if rows == 6:
        _six(x, x_row, weight, count, zeros, step, bias, out, out_row)
    elif rows == 5:
        _five(x, x_row, weight, count, zeros, step, bias, out, out_row)
    elif rows == 4:
        _four(x, x_row, weight, count, zeros, step, bias, out, out_row)
    elif rows == 3:
        _three(x, x_row, weight, count, zeros, step, bias, out, out_row)
    elif rows == 2:
        _two(x, x_row, weight, count, zeros, step, bias, out, out_row)
    else:
        _one(x, x_row, weight, count, zeros, step, bias, out, out_row)


@jit("void", *["int64"] * 10)
def byte_rows(x, inputs, weight, zeros, step, bias, out, panels, begin, end):
    """Compute all outputs of the rows ``begin`` to ``end``."""
    out_row = FLOAT_BYTES * PANEL * panels
    for strip in range(begin, end, STRIP):
        for panel in range(panels):
            of_panel = FLOAT_BYTES * PANEL * panel
            for first in range(strip, min(strip + STRIP, end), TILE):
                _some_rows(
                    min(TILE, strip + STRIP - first, end - first), x + first * inputs, inputs,
                    weight + panel * PANEL * inputs, inputs // FOUR, zeros + of_panel,
                    step + of_panel, bias + of_panel, out + first * out_row + of_panel, out_row,
                )  # fmt: skip


class BytePanels:
    """A matrix of bytes, laid out.

    Args:
        whole: int8, shape (outputs, inputs), none larger than :data:`MOST_WEIGHT`; inputs are a
            multiple of ``FOUR``.
        step: what 1 stands for in each row, float32, shape (outputs,).
    """

    def __init__(self, whole: Tensor, step: Tensor) -> None:
        self.outputs, self.inputs = whole.shape
        self._extra = -self.outputs % PANEL
        self._panels = (self.outputs + self._extra) // PANEL
        self._weight = (
            F.pad(whole, (0, 0, 0, self._extra))
            .view(self._panels, VECTORS * LANES, self.inputs // FOUR, FOUR)
            .transpose(1, 2)
            .contiguous()
        )
        self._sums = F.pad(whole.sum(1, dtype=torch.int32), (0, self._extra))
        self._step = self._padded(step)
        self._no_bias = torch.zeros_like(self._step)
        self._zeros: dict[int, Tensor] = {}  # what each zero of x adds to the sums

    def product(self, x: Tensor, zero: int, bias: Tensor | None) -> Tensor:
        """Return ``step * sum over inputs of (x - zero) * whole + bias``, without gradients.

        Args:
            x: uint8, shape (rows, inputs), contiguous.
            zero: whole number that stands for 0 in x.
            bias: float32, shape (outputs,), or None.

        Returns:
            float32, shape (rows, outputs).
        """
        rows = len(x)
        if zero not in self._zeros:
            self._zeros[zero] = self._sums * -zero
        zeros = self._zeros[zero]
        bias = self._no_bias if bias is None else self._padded(bias)
        out = torch.empty(rows, self._panels * PANEL, dtype=torch.float32, device="cpu")
        arguments = x.data_ptr(), self.inputs, self._weight.data_ptr(), zeros.data_ptr()
        arguments += self._step.data_ptr(), bias.data_ptr(), out.data_ptr(), self._panels
        run = functools.partial(byte_rows, *arguments)
        # Several of these products take a thread as long as one of float32.
        work = rows * self.outputs * self.inputs // FOUR
        parallel_for(run, rows, work, (x, out, bias, zeros, self))
        return out if not self._extra else out[:, : self.outputs].contiguous()

    def _padded(self, values: Tensor) -> Tensor:
        return F.pad(values, (0, self._extra)) if self._extra else values.contiguous()
