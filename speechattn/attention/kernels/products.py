"""Products of matrices of any size from the tiles of :mod:`speechattn.attention.kernels.primitives`."""

from __future__ import annotations

from speechattn.attention.kernels import primitives
from speechattn.attention.kernels.llvm import LANES
from speechattn.jit import part

FLOAT = 4  # bytes
WIDE = primitives.WIDE_TILE * LANES  # numbers of a tile's row


@part
def product(out, out_row, a, across, along, x, x_row, rows, size, n, begin, begin_row):
    """out = begin + a x: ``rows`` by ``size`` numbers, LANES dividing ``size``.

    See :func:`speechattn.attention.kernels.primitives._tile`.
    """
    column = 0
    while column < size:
        wide = size - column >= WIDE
        to, of, at = out + FLOAT * column, a, x + FLOAT * column
        start = begin + FLOAT * column if begin else 0
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
