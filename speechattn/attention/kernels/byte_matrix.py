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
from typing import NamedTuple

import numpy as np
from llvmlite import ir
from llvmlite.ir import IRBuilder, Value
from numba.extending import intrinsic

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
    prefetch,
    store,
)
from speechattn.attention.kernels.primitives import void_intrinsic
from speechattn.attention.kernels.threads import Fixed, address, parallel_for
from speechattn.jit import jit, jit_inline

FOUR = 4  # bytes of a lane
VECTORS = 2  # of sums for each row of a tile
PANEL = VECTORS * LANES  # outputs
TILE = 6  # rows whose sums stay in registers
AHEAD = 2048  # bytes of weights after those that are multiplied, which the cache fetches
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
    def tile(context, x, x_row, weight, count, ahead, zeros, step, bias, out, out_row):
        """Compute one panel of outputs.

        Args:
            x, x_row: bytes of the rows.
            weight: the panel.
            count: inputs / 4.
            ahead: bytes from the weights that are multiplied to those that the cache fetches.
            zeros: what to add to the sums for the zero of x, int32, PANEL of them.
            step, bias: of the outputs, float32, PANEL each.
            out, out_row: float32.
        """

        def code(b: IRBuilder, x, x_row, weight, count, ahead, zeros, step, bias, out, out_row):
            begins = [element(b, x, r, x_row) for r in range(rows)]
            start = [
                load(b, b.add(zeros, i64(v * VECTOR_BYTES)), I32_VECTOR) for v in range(VECTORS)
            ] * rows

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
                    shift = i64(v * VECTOR_BYTES)
                    y = b.sitofp(sums[r * VECTORS + v], F32_VECTOR)
                    y = b.fmul(y, load(b, b.add(step, shift)))
                    y = b.fadd(y, load(b, b.add(bias, shift)))
                    store(b, y, b.add(to, shift))

        return void_intrinsic(10, code)

    return tile


_one, _two, _three, _four, _five, _six = (_tile(rows) for rows in range(1, TILE + 1))


@jit_inline
def _some_rows(rows, x, x_row, weight, count, ahead, zeros, step, bias, out, out_row):
    """Compute one panel of outputs of 1 to TILE rows."""
    if rows == 6:
        _six(x, x_row, weight, count, ahead, zeros, step, bias, out, out_row)
    elif rows == 5:
        _five(x, x_row, weight, count, ahead, zeros, step, bias, out, out_row)
    elif rows == 4:
        _four(x, x_row, weight, count, ahead, zeros, step, bias, out, out_row)
    elif rows == 3:
        _three(x, x_row, weight, count, ahead, zeros, step, bias, out, out_row)
    elif rows == 2:
        _two(x, x_row, weight, count, ahead, zeros, step, bias, out, out_row)
    else:
        _one(x, x_row, weight, count, ahead, zeros, step, bias, out, out_row)


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
                    weight + panel * PANEL * inputs, inputs // FOUR,
                    AHEAD if first == strip else 0, zeros + of_panel,
                    step + of_panel, bias + of_panel, out + first * out_row + of_panel, out_row,
                )  # fmt: skip


class BytePanels:
    """A matrix of bytes, laid out.

    Args:
        weight: from :func:`laid_out`.
        sums: of the weights of each output, int32, padded to whole panels.
        step: what 1 stands for in each row, float32, shape (outputs,).
    """

    def __init__(self, weight: np.ndarray, sums: np.ndarray, step: np.ndarray) -> None:
        self.outputs, self.inputs = len(step), weight.shape[1] * FOUR
        self._panels, self._extra = len(weight), len(sums) - len(step)
        self._weight, self._sums, self._step = Fixed(weight), sums, Fixed(self._padded(step))
        self._zeros: dict[int, Fixed] = {}  # what each zero of x adds to the sums

    @classmethod
    def of(cls, whole: np.ndarray, step: np.ndarray) -> BytePanels:
        """Lay out a matrix.

        Args:
            whole: int8, shape (outputs, inputs), none larger than :data:`MOST_WEIGHT`; inputs are a
                multiple of ``FOUR``.
            step: what 1 stands for in each row, float32, shape (outputs,).
        """
        return cls(*laid_out(whole), step)

    def product(self, x: np.ndarray, zero: int, bias: np.ndarray | None) -> np.ndarray:
        """Return ``step * sum over inputs of (x - zero) * whole + bias``.

        Args:
            x: uint8, shape (rows, inputs), contiguous.
            zero: whole number that stands for 0 in x.
            bias: float32, shape (outputs,), or None.

        Returns:
            float32, shape (rows, outputs).
        """
        return self.layer(zero, bias)(x)

    def layer(self, zero: int, bias: np.ndarray | None) -> ByteLayer:
        """Return a function from x to the product, for always the same zero and bias."""
        zeros = self._zeros.get(zero)
        if zeros is None:
            zeros = self._zeros[zero] = Fixed(self._sums * np.int32(-zero))
        bias = np.zeros(self.outputs, np.float32) if bias is None else bias
        return ByteLayer(self, zeros, Fixed(self._padded(bias)))

    def multiplied(self, x: np.ndarray, zeros: Fixed, bias: Fixed) -> np.ndarray:
        """Return the product; see :class:`ByteLayer`."""
        rows = len(x)
        out = np.empty((rows, self._panels * PANEL), np.float32)
        run = functools.partial(
            byte_rows, address(x), self.inputs, self._weight.address, zeros.address,
            self._step.address, bias.address, address(out), self._panels,
        )  # fmt: skip
        # Several of these products take a thread as long as one of float32.
        work = rows * self.outputs * self.inputs // FOUR
        parallel_for(run, rows, work, (x, out, bias, zeros, self))
        return out if not self._extra else np.ascontiguousarray(out[:, : self.outputs])

    def _padded(self, values: np.ndarray) -> np.ndarray:
        return np.pad(values, (0, self._extra)) if self._extra else values


class ByteLayer(NamedTuple):
    """A matrix, what the zero of its inputs adds to the sums, and a bias.

    Attributes:
        panels: the matrix.
        zeros: int32, one for each output, padded to whole panels.
        bias: float32, likewise.
    """

    panels: BytePanels
    zeros: Fixed
    bias: Fixed

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return the product with x: uint8, shape (rows, inputs), in one piece."""
        return self.panels.multiplied(x, self.zeros, self.bias)


def laid_out(whole: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights and the sums that :class:`BytePanels` takes.

    Args:
        whole: int8, shape (outputs, inputs), inputs a multiple of ``FOUR``.

    Returns:
        int8, shape (panels, inputs / FOUR, PANEL, FOUR), and int32, shape (panels * PANEL,).
    """
    outputs, inputs = whole.shape
    extra = -outputs % PANEL
    whole = np.pad(whole, ((0, extra), (0, 0))) if extra else whole
    panels = whole.reshape(-1, PANEL, inputs // FOUR, FOUR).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(panels), whole.sum(1, dtype=np.int32)


@functools.cache
def works() -> bool:
    """Return whether these products are exact on this processor, tried with numbers of all sizes.

    What LLVM compiles for may be less than what the processor has, as with ``NUMBA_CPU_NAME``.
    """
    if not OFFERED:
        return False
    columns = np.arange(64)
    x = (columns * 37 + np.arange(TILE + 2)[:, None] * 91) % 256
    whole = (columns * 29 + np.arange(PANEL + 16)[:, None] * 53) % 255 - 127
    whole = whole.clip(-MOST_WEIGHT, MOST_WEIGHT)
    x[0], whole[0] = 255, MOST_WEIGHT
    step = np.full(len(whole), 0.25, np.float32)
    try:
        y = BytePanels.of(whole.astype(np.int8), step).product(x.astype(np.uint8), 128, None)
    except (RuntimeError, TypeError, ValueError, NotImplementedError):
        return False
    return np.array_equal(y, ((x - 128) @ whole.T) / 4)
