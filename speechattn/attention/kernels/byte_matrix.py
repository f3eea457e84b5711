"""Products of rows of bytes with a matrix of bytes, for the processor of this machine.

oneDNN takes as long for the ten rows of a tenth of a second of speech as for dozens; here they take
their share (:mod:`speechattn.attention.kernels.byte_tiles`).
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

from speechattn.attention.kernels.byte_products import panel_sums
from speechattn.attention.kernels.byte_sums import ROW, numbers
from speechattn.attention.kernels.byte_tiles import (
    FOUR,
    MOST_WEIGHT,
    OFFERED,
    PANEL,
    TILE,
    VECTORS,
)
from speechattn.attention.kernels.threads import Fixed, address, parallel_for
from speechattn.jit import jit

AHEAD = 2048  # bytes of weights after those that are multiplied, which the cache fetches
STRIP = 96  # rows that stay in the cache while all panels are read


@jit("void", *["int64"] * 10)
def byte_rows(x, inputs, weight, zeros, step, bias, out, panels, begin, end):
    """Compute all outputs of the rows ``begin`` to ``end``."""
    out_row = ROW * panels
    memory = np.empty(STRIP * PANEL, np.int32)
    sums = memory.ctypes.data
    for strip in range(begin, end, STRIP):
        rows = min(STRIP, end - strip)
        for panel in range(panels):
            panel_sums(
                rows, x + strip * inputs, inputs, weight + panel * PANEL * inputs, inputs, AHEAD,
                sums, ROW, None,
            )  # fmt: skip
            n = panel * ROW
            numbers(
                out + strip * out_row + n, out_row, sums, rows, VECTORS, zeros + n, step + n,
                bias + n,
            )  # fmt: skip
    memory[0] = 0  # otherwise Numba frees it after its last use by name


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
        self.size = self.outputs * self.inputs
        self._zeros: dict[int, Fixed] = {}  # what each zero of x adds to the sums

    @property
    def addresses(self) -> tuple[int, int]:
        """Where weights and steps lie."""
        return self._weight.address, self._step.address

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
        work = rows * self.size // FOUR
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

    @property
    def addresses(self) -> tuple[int, int, int, int, int, int]:
        """Where weights, zeros, step and bias lie, and the numbers of inputs and outputs."""
        panels = self.panels
        weight, step = panels.addresses
        return (
            *(weight, self.zeros.address, step, self.bias.address),
            *(panels.inputs, panels.outputs),
        )

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
