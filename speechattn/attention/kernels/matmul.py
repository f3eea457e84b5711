"""Products of rows with a matrix, in float32, for the processor of this machine.

:func:`matmul` computes products of any size from tiles. :class:`ArrayPanels` (for arrays) and
:class:`Panels` (for tensors) hold the matrix of a layer
in *panels* as wide as a tile, which are read from end to end. Ten rows, a tenth of a second of
speech, take less than half the time of oneDNN, which pads them to sixteen. A row gives the same
result, to the last bit, whatever rows are computed with it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from speechattn.attention.kernels import primitives
from speechattn.attention.kernels.llvm import FLOAT_BYTES, LANES
from speechattn.attention.kernels.threads import Fixed, address, parallel_for
from speechattn.attention.kernels.tiles import WIDE_TILE, matmul
from speechattn.jit import jit, jit_inline

if TYPE_CHECKING:
    from torch import Tensor

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


class ArrayPanels:
    """The matrix and the bias of a linear layer, laid out for products with few or many rows.

    Args:
        weight: shape (outputs, inputs), float32; copied.
        bias: shape (outputs,), or None; copied.
    """

    def __init__(self, weight: np.ndarray, bias: np.ndarray | None) -> None:
        self.outputs, self.inputs = weight.shape
        extra = -self.outputs % PANEL
        self.width = self.outputs + extra
        padded = np.pad(weight, ((0, extra), (0, 0)))
        panels = padded.reshape(-1, PANEL, self.inputs).transpose(0, 2, 1)
        self._panels = Fixed(panels.astype(np.float32))
        bias = np.zeros(self.outputs) if bias is None else bias
        self._bias = Fixed(np.pad(bias, (0, extra)).astype(np.float32))

    @property
    def _addresses(self) -> tuple[int, int, int]:
        return self._panels.address, self._bias.address, self.inputs

    def product(self, x: np.ndarray) -> np.ndarray:
        """Return x Wᵀ + bias.

        Args:
            x: float32, shape (rows, inputs).

        Returns:
            float32, shape (rows, outputs).
        """
        return self._run(_layer, x, self._addresses, self.inputs, self)

    def after_relu(self, x: np.ndarray, first: ArrayPanels) -> np.ndarray:
        """Return the product with ``relu(first.product(x))``."""
        addresses = *first._addresses, first.width, *self._addresses
        return self._run(_two_layers, x, addresses, first.inputs + self.inputs, (first, self))

    def plain(self) -> tuple[np.ndarray, np.ndarray]:
        """Return weight and bias as they were given."""
        weight = self._panels.array.transpose(0, 2, 1).reshape(-1, self.inputs)
        return weight[: self.outputs], self._bias.array[: self.outputs]

    def _run(
        self, code: Callable, x: np.ndarray, addresses: tuple, work: int, keep_alive: object
    ) -> np.ndarray:
        """Run compiled code on the rows of x; ``work`` is the multiplications for each output."""
        if x.strides[1] != FLOAT_BYTES:
            x = np.ascontiguousarray(x)
        count = len(x)
        out = np.empty((count, self.width), np.float32)
        arguments = address(x), x.strides[0], address(out), FLOAT_BYTES * self.width, *addresses
        run = functools.partial(code, *arguments)
        parallel_for(run, count, count * self.width * work, (x, out, keep_alive))
        return out if self.width == self.outputs else np.ascontiguousarray(out[:, : self.outputs])


class Panels:
    """The same for tensors.

    Args:
        weight: shape (outputs, inputs), float32; copied.
        bias: shape (outputs,), or None; copied.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        arrays = (None if given is None else given.detach().float() for given in (weight, bias))
        self._arrays = ArrayPanels(*(None if each is None else each.numpy() for each in arrays))
        self.outputs, self.inputs = weight.shape

    def product(self, x: Tensor) -> Tensor:
        """Return x Wᵀ + bias, without gradients.

        Args:
            x: float32, shape (..., inputs).

        Returns:
            Shape (..., outputs).

        Raises:
            ValueError: for another shape or type.
        """
        import torch.nn.functional as F

        self._check(x)
        if not _is_plain(x):
            return F.linear(x, *self._plain())
        return self._shaped(x, self._arrays.product(self._rows(x)))

    def after_relu(self, x: Tensor, first: Panels) -> Tensor:
        """Return the product with ``relu(first.product(x))``; see :meth:`product`."""
        import torch.nn.functional as F

        first._check(x)
        if not _is_plain(x):
            return F.linear(F.linear(x, *first._plain()).relu(), *self._plain())
        return self._shaped(x, self._arrays.after_relu(first._rows(x), first._arrays))

    def _check(self, x: Tensor) -> None:
        import torch

        if x.shape[-1] != self.inputs or x.dtype != torch.float32:
            raise ValueError(
                f"x: {x.dtype} of shape {tuple(x.shape)}; float32 of shape (..., {self.inputs})"
            )

    def _rows(self, x: Tensor) -> np.ndarray:
        return x.detach().reshape(-1, self.inputs).numpy()

    def _shaped(self, x: Tensor, out: np.ndarray) -> Tensor:
        import torch

        return torch.from_numpy(out).view(*x.shape[:-1], self.outputs)

    def _plain(self) -> tuple[Tensor, Tensor]:
        """Return weight and bias as they were given."""
        import torch

        weight, bias = self._arrays.plain()
        return torch.from_numpy(weight), torch.from_numpy(bias)


def _is_plain(x: Tensor) -> bool:
    from speechattn.attention.kernels.runtime import is_plain_cpu_tensor

    return is_plain_cpu_tensor(x)
