"""Products of matrices of any size from the tiles of :mod:`speechattn.tiles`."""

from __future__ import annotations

from speechattn import tiles
from speechattn.compiled import part
from speechattn.simd import LANES

FLOAT = 4  # bytes
WIDE = tiles.WIDE_TILE * LANES  # numbers of a tile's row


@part
def product(out, out_row, a, across, along, x, x_row, rows, size, n, begin, begin_row):
    """out = begin + a x: ``rows`` by ``size`` numbers, LANES dividing ``size``.

    See :func:`speechattn.tiles._tile`.
    """
    column = 0
    while column < size:
        wide = size - column >= WIDE
        to, of, at = out + FLOAT * column, a, x + FLOAT * column
        start = begin + FLOAT * column if begin else 0
        left = rows
        for tall in tiles.WIDE_ROWS if wide else tiles.NARROW_ROWS:
            while left >= tall:
                if wide:
                    tiles.wide_tile(
                        to, out_row, of, across, along, at, x_row, n, start, begin_row, tall
                    )
                else:
                    tiles.narrow_tile(
                        to, out_row, of, across, along, at, x_row, n, start, begin_row, tall
                    )
                to += tall * out_row
                of += tall * across
                start += tall * begin_row if begin else 0
                left -= tall
        column += WIDE if wide else LANES
