"""Rows times a matrix, for inference in float32, compiled for the processor at hand.

The matrix lies in *panels* as wide as a tile of :mod:`speechattn.attention.kernels.primitives`, which are read from end to
end. Ten rows, a tenth of a second of speech, take less than half the time of oneDNN's product of the
sixteen that it makes of them; and a row comes out the same, to the last bit, whatever rows stand
beside it.

Products of matrices of any size from the tiles of :mod:`speechattn.attention.kernels.primitives`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from speechattn.attention.kernels import primitives
from speechattn.attention.kernels.llvm import LANES
from speechattn.attention.kernels.runtime import is_plain_cpu_tensor, parallel_for
from speechattn.jit import jit, jit_inline

STRIP = 96  # rows that stay in the cache, and what is made of them, while all panels go by


FLOAT_BYTES = 4  # bytes
WIDE = primitives.WIDE_TILE * LANES  # numbers of a tile's row


@jit_inline
def matmul(out, out_row, a, across, along, x, x_row, rows, size, n, begin, begin_row):
    """out = begin + a x: ``rows`` by ``size`` numbers, LANES dividing ``size``.

    See :func:`speechattn.attention.kernels.primitives._tile`.
    """
    column = 0
    while column < size:
        wide = size - column >= WIDE
        to, of, at = out + FLOAT_BYTES * column, a, x + FLOAT_BYTES * column
        start = begin + FLOAT_BYTES * column if begin else 0
        left = rows
        for tall in primitives.WIDE_ROWS if wide else primitives.NARROW_ROWS:
            while left >= tall:
                if wide:
                    primitives.wide_tile(
                        to, out_row, of, across, along, at, x_row, n, start, begin_row, tall
                    )
                else:
                    primitives.narrow_tile(
                        to, out_row, of, across, along, at, x_row, n, start, begin_row, tall
                    )
                to += tall * out_row
                of += tall * across
                start += tall * begin_row if begin else 0
                left -= tall
        column += WIDE if wide else LANES


@jit_inline
def _times(x, x_row, rows, panels, bias, inputs, outputs, relu, out, out_row):
    """out = x W + bias, none of it below 0 if ``relu``; panels divide ``outputs``."""
    for column in range(0, outputs, WIDE):
        at, start = panels + FLOAT_BYTES * column * inputs, bias + FLOAT_BYTES * column
        to = out + FLOAT_BYTES * column
        matmul(
            to, out_row, x, x_row, FLOAT_BYTES, at, FLOAT_BYTES * WIDE, rows, WIDE, inputs, start, 0
        )
    if relu:
        for row in range(rows):
            primitives.at_least(out + row * out_row, outputs // LANES, np.float32(0))


@jit("void", *["int64"] * 9)
def _layer(x, x_row, out, out_row, panels, bias, inputs, begin, end):
    """Rows ``begin`` to ``end`` of a product."""
    for first in range(begin, end, STRIP):
        rows, of, to = min(STRIP, end - first), x + first * x_row, out + first * out_row
        _times(of, x_row, rows, panels, bias, inputs, out_row // FLOAT_BYTES, 0, to, out_row)


@jit("void", *["int64"] * 13)
def _two_layers(
    x, x_row, out, out_row, panels, bias, inputs, wide, panels_2, bias_2, inner, begin, end
):
    """Rows ``begin`` to ``end`` of a product, a ReLU and another product."""
    room = np.empty(STRIP * wide, np.float32)
    middle, row = room.ctypes.data, FLOAT_BYTES * wide
    for first in range(begin, end, STRIP):
        rows, of, to = min(STRIP, end - first), x + first * x_row, out + first * out_row
        _times(of, x_row, rows, panels, bias, inputs, wide, 1, middle, row)
        _times(middle, row, rows, panels_2, bias_2, inner, out_row // FLOAT_BYTES, 0, to, out_row)
    room[0] = 0  # or Numba would let go of it where it is last named


class Panels:
    """A matrix and what is added to the product with it.

    Args:
        weight: shape (outputs, inputs), float32; copied.
        bias: shape (outputs,), or None.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None):
        self.outputs, self.inputs = weight.shape
        extra = -self.outputs % WIDE
        self.width = self.outputs + extra
        weight = weight.detach().float()
        panels = F.pad(weight, (0, 0, 0, extra)).unflatten(0, (-1, WIDE))
        self._panels = panels.mT.clone(memory_format=torch.contiguous_format)
        bias = weight.new_zeros(self.outputs) if bias is None else bias.detach().float()
        self._bias = F.pad(bias, (0, extra)).clone()

    def product(self, x: Tensor) -> Tensor:
        """x: float32, shape (..., inputs); returns (..., outputs), without gradients.

        Raises:
            ValueError: for another shape or type.
        """
        self._check(x)
        if not is_plain_cpu_tensor(x):
            return F.linear(x, *self._laid_back())
        return self._computed(_layer, x, self._place, self.inputs, self)

    def after_relu(self, x: Tensor, first: Panels) -> Tensor:
        """The product of what ``first`` makes of x, but nothing below 0; raises as it does."""
        first._check(x)
        if not is_plain_cpu_tensor(x):
            return F.linear(F.linear(x, *first._laid_back()).relu(), *self._laid_back())
        place = *first._place, first.width, *self._place
        return self._computed(_two_layers, x, place, first.inputs + self.inputs, (first, self))

    def _check(self, x: Tensor) -> None:
        if x.shape[-1] != self.inputs or x.dtype != torch.float32:
            raise ValueError(
                f"x: {x.dtype} of shape {tuple(x.shape)}; float32 of shape (..., {self.inputs})"
            )

    def _laid_back(self) -> tuple[Tensor, Tensor]:
        """The matrix and what is added, as they were."""
        return self._panels.mT.flatten(0, 1)[: self.outputs], self._bias[: self.outputs]

    @property
    def _place(self) -> tuple[int, int, int]:
        return self._panels.data_ptr(), self._bias.data_ptr(), self.inputs

    def _computed(self, code: Callable, x: Tensor, place: tuple, a_number: int, held) -> Tensor:
        """What the code makes of rows; ``a_number``: products of numbers for each that comes out."""
        *before, inputs = x.shape
        rows = x.reshape(-1, inputs)
        if rows.stride(1) != 1:
            rows = rows.contiguous()
        count = rows.shape[0]
        out = torch.empty(count, self.width, dtype=torch.float32, device="cpu")
        place = (
            rows.data_ptr(),
            FLOAT_BYTES * rows.stride(0),
            out.data_ptr(),
            FLOAT_BYTES * self.width,
            *place,
        )
        work = count * self.width * a_number
        parallel_for(functools.partial(code, *place), count, work, (rows, out, held))
        if self.width != self.outputs:
            out = out[:, : self.outputs].contiguous()
        return out.view(*before, self.outputs)
