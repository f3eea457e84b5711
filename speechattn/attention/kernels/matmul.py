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
from torch import Tensor

from speechattn.attention.kernels import primitives
from speechattn.attention.kernels.llvm import (
    FLOAT_BYTES,
    LANES,
)
from speechattn.attention.kernels.runtime import is_plain_cpu_tensor, parallel_for
from speechattn.attention.kernels.tiles import WIDE_TILE, matmul
from speechattn.jit import jit, jit_inline

STRIP = 96  # rows that stay in the cache, with their results, while all panels are read
PANEL = WIDE_TILE * LANES  # numbers in a row of a panel


@jit_inline
def _linear(x, x_row, rows, panels, bias, inputs, outputs, relu, out, out_row):
    """Compute out = x W + bias, with a ReLU if ``relu``; PANEL divides ``outputs``."""
    for column in range(0, outputs, PANEL):
        at, start = panels + FLOAT_BYTES * column * inputs, bias + FLOAT_BYTES * column
        to = out + FLOAT_BYTES * column
        matmul(
            to, out_row, x, x_row, FLOAT_BYTES, at, FLOAT_BYTES * PANEL, rows, PANEL, inputs, start,
            0, None,
        )  # fmt: skip
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
