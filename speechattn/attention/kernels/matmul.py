"""Products of rows with a matrix, in float32, for the processor of this machine.

:func:`matmul` computes products of any size from tiles. :class:`Panels` holds the matrix of a layer
in *panels* as wide as a tile, which are read from end to end. Ten rows, a tenth of a second of
speech, take less than half the time of oneDNN, which pads them to sixteen. A row gives the same
result, to the last bit, whatever rows are computed with it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from llvmlite.ir import IRBuilder
from numba.extending import intrinsic
from torch import Tensor

from speechattn.attention.kernels import llvm, primitives
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
from speechattn.attention.kernels.runtime import is_plain_cpu_tensor, parallel_for
from speechattn.jit import jit, jit_inline

WIDE_TILE = 2  # vectors in a row of a wide tile
# Rows of a tile. With the most, its sums and two more vectors still fit into the registers.
WIDE_ROWS = (12, 8, 4, 2, 1) if WIDE else (6, 4, 2, 1)
NARROW_ROWS = (16, 8, 4, 2, 1) if WIDE else (8, 4, 2, 1)  # of a tile of one vector
STRIP = 96  # rows that stay in the cache, with their results, while all panels are read
PANEL = WIDE_TILE * LANES  # numbers in a row of a panel


def _tile(vectors: int, heights: tuple[int, ...]) -> Callable:
    """Return an intrinsic that computes a tile of a product, with its sums in registers.

    The tile has ``rows`` rows, one of ``heights``, of ``vectors`` vectors:

        out[r, c] = begin[r, c] + sum over t < n of a[r, t] * x[t, c]

    Numbers of a lie ``across`` bytes apart from row to row and ``along`` bytes from t to t.
    ``begin`` is the address of start values, which may be ``out`` itself, or 0 for zeros.
    """

    def code(b: IRBuilder, out, out_row, a, across, along, x, x_row, n, begin, begin_row, rows):
        for number in heights:
            with b.if_then(b.icmp_signed("==", rows, i64(number))):
                _tile_of(number, b, out, out_row, a, across, along, x, x_row, n, begin, begin_row)

    def _tile_of(rows, b, out, out_row, a, across, along, x, x_row, n, begin, begin_row):
        cells = [(r, c) for r in range(rows) for c in range(vectors)]

        def at(start, r, row, c):
            return b.add(element(b, start, r, row), i64(c * VECTOR_BYTES))

        before = b.block
        with b.if_then(b.icmp_signed("!=", begin, i64(0))):
            initial = [load(b, at(begin, r, begin_row, c)) for r, c in cells]
            loaded = b.block
        sums = []
        for value in initial:
            start = b.phi(llvm.F32_VECTOR)
            start.add_incoming(f32(0.0), before)
            start.add_incoming(value, loaded)
            sums.append(start)
        rows_of_a = [element(b, a, r, across) for r in range(rows)]

        def more(t, values):
            column = element(b, x, t, x_row)
            columns = [load(b, b.add(column, i64(c * VECTOR_BYTES))) for c in range(vectors)]
            shift = b.mul(t, along)
            ones = [broadcast(b, load(b, b.add(row, shift), llvm.F32)) for row in rows_of_a]
            return [
                llvm.call(b, "fma", ones[r], columns[c], value)
                for (r, c), value in zip(cells, values)
            ]

        for (r, c), value in zip(cells, loop(b, n, sums, more)):
            store(b, value, at(out, r, out_row, c))

    @intrinsic
    def tile(context, out, out_row, a, across, along, x, x_row, n, begin, begin_row, rows):
        return void_intrinsic(11, code)

    return tile


wide_tile = _tile(WIDE_TILE, WIDE_ROWS)
narrow_tile = _tile(1, NARROW_ROWS)


@jit_inline
def matmul(out, out_row, a, across, along, x, x_row, rows, size, n, begin, begin_row):
    """Compute out = begin + a x, ``rows`` by ``size`` numbers, where LANES divides ``size``.

    See :func:`_tile` for the arguments.
    """
    column = 0
    while column < size:
        wide = size - column >= PANEL
        to, of, at = out + FLOAT_BYTES * column, a, x + FLOAT_BYTES * column
        start = begin + FLOAT_BYTES * column if begin else 0
        left = rows
        for tall in WIDE_ROWS if wide else NARROW_ROWS:
            while left >= tall:
                if wide:
                    wide_tile(to, out_row, of, across, along, at, x_row, n, start, begin_row, tall)
                else:
                    narrow_tile(
                        to, out_row, of, across, along, at, x_row, n, start, begin_row, tall
                    )
                to += tall * out_row
                of += tall * across
                start += tall * begin_row if begin else 0
                left -= tall
        column += PANEL if wide else LANES


@jit_inline
def _linear(x, x_row, rows, panels, bias, inputs, outputs, relu, out, out_row):
    """Compute out = x W + bias, with a ReLU if ``relu``; PANEL divides ``outputs``."""
    for column in range(0, outputs, PANEL):
        at, start = panels + FLOAT_BYTES * column * inputs, bias + FLOAT_BYTES * column
        to = out + FLOAT_BYTES * column
        matmul(
            to,
            out_row,
            x,
            x_row,
            FLOAT_BYTES,
            at,
            FLOAT_BYTES * PANEL,
            rows,
            PANEL,
            inputs,
            start,
            0,
        )
    if relu:
        for row in range(rows):
            primitives.clamp_min(out + row * out_row, outputs // LANES, np.float32(0))


@jit("void", *["int64"] * 9)
def _layer(x, x_row, out, out_row, panels, bias, inputs, begin, end):
    """Compute rows ``begin`` to ``end`` of a product."""
    for first in range(begin, end, STRIP):
        rows, of, to = min(STRIP, end - first), x + first * x_row, out + first * out_row
        _linear(of, x_row, rows, panels, bias, inputs, out_row // FLOAT_BYTES, 0, to, out_row)


@jit("void", *["int64"] * 13)
def _two_layers(
    x, x_row, out, out_row, panels, bias, inputs, wide, panels_2, bias_2, inner, begin, end
):
    """Compute rows ``begin`` to ``end`` of a product, a ReLU and another product."""
    room = np.empty(STRIP * wide, np.float32)
    middle, row = room.ctypes.data, FLOAT_BYTES * wide
    for first in range(begin, end, STRIP):
        rows, of, to = min(STRIP, end - first), x + first * x_row, out + first * out_row
        _linear(of, x_row, rows, panels, bias, inputs, wide, 1, middle, row)
        _linear(middle, row, rows, panels_2, bias_2, inner, out_row // FLOAT_BYTES, 0, to, out_row)
    room[0] = 0  # otherwise Numba frees it after its last use by name


class Panels:
    """The matrix and the bias of a linear layer, laid out for products with few or many rows.

    Args:
        weight: shape (outputs, inputs), float32; copied.
        bias: shape (outputs,), or None; copied.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None):
        self.outputs, self.inputs = weight.shape
        extra = -self.outputs % PANEL
        self.width = self.outputs + extra
        weight = weight.detach().float()
        panels = F.pad(weight, (0, 0, 0, extra)).unflatten(0, (-1, PANEL))
        self._panels = panels.mT.clone(memory_format=torch.contiguous_format)
        bias = weight.new_zeros(self.outputs) if bias is None else bias.detach().float()
        self._bias = F.pad(bias, (0, extra)).clone()

    def product(self, x: Tensor) -> Tensor:
        """Return x Wᵀ + bias, without gradients.

        Args:
            x: float32, shape (..., inputs).

        Returns:
            Shape (..., outputs).

        Raises:
            ValueError: for another shape or type.
        """
        self._check(x)
        if not is_plain_cpu_tensor(x):
            return F.linear(x, *self._plain())
        return self._run(_layer, x, self._addresses, self.inputs, self)

    def after_relu(self, x: Tensor, first: Panels) -> Tensor:
        """Return the product with ``relu(first.product(x))``; see :meth:`product`."""
        first._check(x)
        if not is_plain_cpu_tensor(x):
            return F.linear(F.linear(x, *first._plain()).relu(), *self._plain())
        addresses = *first._addresses, first.width, *self._addresses
        return self._run(_two_layers, x, addresses, first.inputs + self.inputs, (first, self))

    def _check(self, x: Tensor) -> None:
        if x.shape[-1] != self.inputs or x.dtype != torch.float32:
            raise ValueError(
                f"x: {x.dtype} of shape {tuple(x.shape)}; float32 of shape (..., {self.inputs})"
            )

    def _plain(self) -> tuple[Tensor, Tensor]:
        """Return weight and bias as they were given."""
        return self._panels.mT.flatten(0, 1)[: self.outputs], self._bias[: self.outputs]

    @property
    def _addresses(self) -> tuple[int, int, int]:
        return self._panels.data_ptr(), self._bias.data_ptr(), self.inputs

    def _run(
        self, code: Callable, x: Tensor, addresses: tuple, work: int, keep_alive: object
    ) -> Tensor:
        """Run compiled code on the rows of x; ``work`` is the multiplications for each output."""
        *before, inputs = x.shape
        rows = x.reshape(-1, inputs)
        if rows.stride(1) != 1:
            rows = rows.contiguous()
        count = rows.shape[0]
        out = torch.empty(count, self.width, dtype=torch.float32, device="cpu")
        arguments = (
            rows.data_ptr(),
            FLOAT_BYTES * rows.stride(0),
            out.data_ptr(),
            FLOAT_BYTES * self.width,
            *addresses,
        )
        run = functools.partial(code, *arguments)
        parallel_for(run, count, count * self.width * work, (rows, out, keep_alive))
        if self.width != self.outputs:
            out = out[:, : self.outputs].contiguous()
        return out.view(*before, self.outputs)
