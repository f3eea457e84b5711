"""Rows of numbers through normalisation, one or two products in bytes, and what belongs to them.

A strip of rows goes through everything while it is in the cache: the numbers between two products
never reach memory, which would take longer than the products. Each row gives the same numbers, to
the last bit, whatever rows are computed with it, and with AMX or without.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

from speechattn.attention.kernels import amx, byte_sums
from speechattn.attention.kernels.byte_heads import PARTS, byte_row, round_row_of_heads
from speechattn.attention.kernels.byte_matrix import ByteLayer, BytePanels
from speechattn.attention.kernels.byte_products import panel_sums
from speechattn.attention.kernels.byte_sums import ROW
from speechattn.attention.kernels.byte_tiles import (
    FOUR,
    MOST_WEIGHT,
    OFFERED,
    PANEL,
    TILE,
    VECTORS,
)
from speechattn.attention.kernels.llvm import FLOAT_BYTES, LANES
from speechattn.attention.kernels.norms import Norm, norm_row
from speechattn.attention.kernels.primitives import LINE
from speechattn.attention.kernels.rows import round_row
from speechattn.attention.kernels.threads import Fixed, address, parallel_for
from speechattn.jit import I64_MATRIX, jit, jit_inline

# Rows that stay in the cache while all panels are read, multiples of those of tiles. AMX is so fast
# that rows must lie in the nearest cache, unless weights of two products are then read too often.
STRIP, AMX_STRIP = 96, 32
AHEAD = 4096  # bytes of weights after those that are multiplied, which the cache fetches

# What becomes of a product.
PLAIN, GELU, RELU, HEADS = range(4)


@jit_inline
def _round_up(size):
    return (size + LINE - 1) // LINE * LINE


@jit_inline
def _rows(
    x, x_row, width, norm_weight, norm_bias, per_step, products, added, out, begin, end, tiles
):
    """Compute the rows ``begin`` to ``end``, a strip at a time; see :func:`layer_rows`."""
    last = len(products) - 1
    most = STRIP
    if tiles is not None:
        most = STRIP if last else AMX_STRIP
    strip_rows = min(most, end - begin)
    row_out = row_numbers = FLOAT_BYTES * products[last, 5]
    heads = products[last, 7] if products[last, 6] == HEADS else 0
    if heads:
        row_out = _round_up(products[last, 5] + PARTS * FLOAT_BYTES * heads)
    # Rows of bytes before and between products. Neighbours lie in other parts of a cache.
    outer_row, inner_row = _round_up(width) + LINE, _round_up(products[0, 5]) + LINE
    sizes = strip_rows * (ROW + outer_row + (inner_row if last else 0)) + FLOAT_BYTES * width
    sizes += strip_rows * row_numbers if heads else 0
    memory = np.empty(sizes + LINE, np.uint8)
    sums = _round_up(memory.ctypes.data)
    outer = sums + strip_rows * ROW
    inner = outer + strip_rows * outer_row
    normal = inner + (strip_rows * inner_row if last else 0)  # one row
    of_heads = normal + FLOAT_BYTES * width
    if tiles is not None:
        amx.set_up_tiles(tiles)
    for strip in range(begin, end, most):
        rows = min(most, end - strip)
        for i in range(rows):
            at = x + (strip + i) * x_row
            if norm_weight:
                norm_row(normal, at, norm_weight, norm_bias, width)
                at = normal
            round_row(outer + i * outer_row, at, per_step, width, products[0, 8])
        for stage in range(last + 1):
            weight, zeros, step, bias, inputs, outputs, finish, next_step, _ = products[stage]
            of, of_row = (inner, inner_row) if stage else (outer, outer_row)
            for column in range(0, outputs, PANEL):
                panel_sums(
                    rows, of, of_row, weight + column * inputs, inputs, AHEAD, sums, ROW, tiles
                )
                vectors = min(VECTORS, (outputs - column) // LANES)
                n = FLOAT_BYTES * column
                to = n + (of_heads if heads else out + strip * row_out)
                if finish == GELU:
                    byte_sums.gelu_bytes(
                        inner + column, inner_row, next_step + n, products[stage + 1, 8],
                        sums, rows, vectors, zeros + n, step + n, bias + n,
                    )  # fmt: skip
                elif finish == RELU:
                    byte_sums.relu_bytes(
                        inner + column, inner_row,
                        sums, rows, vectors, zeros + n, step + n, bias + n,
                    )  # fmt: skip
                elif added:
                    byte_sums.added_numbers(
                        to, added + strip * row_out + n, row_out,
                        sums, rows, vectors, zeros + n, step + n, bias + n,
                    )  # fmt: skip
                else:
                    byte_sums.numbers(
                        to, row_numbers, sums, rows, vectors, zeros + n, step + n, bias + n
                    )
        for i in range(rows if heads else 0):
            to, at = out + (strip + i) * row_out, of_heads + i * row_numbers
            round_row_of_heads(to, at, products[last, 5] // PARTS, heads)
    if tiles is not None:
        amx.release_tiles(0)
    memory[0] = 0  # otherwise Numba frees it after its last use by name


@jit("void", *["int64"] * 6, I64_MATRIX, *["int64"] * 4)
def layer_rows(x, x_row, width, norm_weight, norm_bias, per_step, products, added, out, begin, end):
    """Compute the rows ``begin`` to ``end`` of :class:`RowLayer`.

    Args:
        x, x_row: float32, rows of ``width`` numbers, and the bytes from one to the next.
        norm_weight, norm_bias: of the normalisation; 0 for none.
        per_step: of the bytes that the first product takes.
        products: of each: panels of weights, zeros, step, bias, inputs, outputs, what becomes of
            it, steps of the bytes that become of it or the number of heads, and the zero of the
            bytes that it takes.
        added: what is added to the last product, like ``out``; 0 for nothing.
        out: float32, rows of as many numbers as the last product has outputs; or byte rows.
        begin, end: numbers of rows.
    """
    _rows(x, x_row, width, norm_weight, norm_bias, per_step, products, added, out, begin, end, None)


@jit("void", *["int64"] * 6, I64_MATRIX, *["int64"] * 5)
def layer_rows_amx(
    x, x_row, width, norm_weight, norm_bias, per_step, products, added, out, tiles, begin, end
):
    """Do the same with AMX; ``tiles`` is the address of :func:`amx.settings`."""
    _rows(
        x, x_row, width, norm_weight, norm_bias, per_step, products, added, out, begin, end, tiles
    )


class Product(NamedTuple):
    """A product in bytes, and what becomes of it.

    Attributes:
        layer: weights, bias and zero; LANES divides its inputs and outputs.
        zero: whole number that stands for 0 in the bytes that it takes.
        finish: GELU or RELU; for the last product PLAIN, or HEADS for byte rows of the queries,
            keys and values of heads.
        per_step: inverse steps of the bytes that become of it; None for the last one.
        heads: their number; 0 if the product gives none.
    """

    layer: ByteLayer
    zero: int
    finish: int = PLAIN
    per_step: Fixed | None = None
    heads: int = 0


class RowLayer:
    """Normalisation of rows, rounding to bytes, and one or two products.

    Args:
        norm: None for none.
        per_step: of the bytes that the first product takes, float32, one for each input.
        products: each takes what the one before gives.
    """

    def __init__(self, norm: Norm | None, per_step: Fixed, *products: Product) -> None:
        self._norm, self._per_step, self._products = norm, per_step, products
        self.inputs = products[0].layer.panels.inputs
        self.outputs = products[-1].layer.panels.outputs
        self._work = sum(each.layer.panels.size for each in products) // FOUR

    @functools.cached_property
    def _table(self) -> np.ndarray:
        table = [
            (*layer.addresses, finish, heads if per_step is None else per_step.address, zero)
            for layer, zero, finish, per_step, heads in self._products
        ]
        return np.array(table, np.int64)

    def __getstate__(self) -> dict:
        """For copies, whose arrays lie elsewhere."""
        return {name: value for name, value in vars(self).items() if name != "_table"}

    def __call__(self, x: np.ndarray, added: np.ndarray | None = None) -> np.ndarray:
        """Return the last product, and what is to be added to it.

        Args:
            x: float32, shape (rows, inputs); rows may lie at any distance, and overlap.
            added: float32, shape (rows, outputs), contiguous; None for nothing.

        Returns:
            float32, shape (rows, outputs); or byte rows, uint8.
        """
        return self._computed(x, added, uses_amx())

    def _computed(self, x: np.ndarray, added: np.ndarray | None, with_amx: bool) -> np.ndarray:
        heads = self._products[-1].heads
        if heads:
            out = np.empty((len(x), byte_row(self.outputs // PARTS, heads)), np.uint8)
        else:
            out = np.empty((len(x), self.outputs), np.float32)
        weight, bias = (0, 0) if self._norm is None else self._norm.addresses
        function, last = (layer_rows_amx, (TILES.address,)) if with_amx else (layer_rows, ())
        run = functools.partial(
            function, address(x), x.strides[0], self.inputs, weight, bias, self._per_step.address,
            self._table, 0 if added is None else address(added), address(out), *last,
        )  # fmt: skip
        parallel_for(run, len(x), len(x) * self._work, (x, added, out, self))
        return out


TILES = Fixed(amx.settings())


@functools.cache
def uses_amx() -> bool:
    """Return whether products are computed with AMX: this process may, and they are exact."""
    return amx.allowed() and _are_exact(with_amx=True)


@functools.cache
def works() -> bool:
    """Return whether layers are exact on this processor, tried with numbers of all sizes.

    What LLVM compiles for may be less than what the processor has, as with ``NUMBA_CPU_NAME``.
    """
    return OFFERED and (uses_amx() or _are_exact(with_amx=False))


def _are_exact(with_amx: bool) -> bool:
    rows, columns = np.arange(2 * amx.ROWS + 1)[:, None], np.arange(2 * amx.BYTES)
    x = ((columns * 37 + rows * 91) % 256 - 128).astype(np.float32)
    whole = (columns * 29 + np.arange(PANEL + LANES)[:, None] * 53) % 255 - 127
    whole = whole.clip(-MOST_WEIGHT, MOST_WEIGHT)
    x[0], whole[0] = 127, MOST_WEIGHT
    panels = BytePanels.of(whole.astype(np.int8), np.full(len(whole), 0.25, np.float32))
    each = Fixed(np.ones(len(columns), np.float32))
    layer = RowLayer(None, each, Product(panels.layer(128, None), 128))
    try:
        return all(
            np.array_equal(layer._computed(x[:rows], None, with_amx), x[:rows] @ whole.T / 4)
            for rows in (len(x), TILE + 1)
        )
    except (RuntimeError, TypeError, ValueError, NotImplementedError):
        return False
