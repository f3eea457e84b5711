"""Products of rows of bytes with a panel of a matrix of bytes, whatever the processor has for them.

With AMX or without, sums are the same to the last bit: they are whole numbers.
"""

from __future__ import annotations

from speechattn.attention.kernels import amx
from speechattn.attention.kernels.byte_tiles import FOUR, TILE, few_rows
from speechattn.jit import jit_inline


@jit_inline
def panel_sums(rows, x, x_row, weight, inputs, ahead, out, out_row, tiles):
    """Compute one panel of sums of any number of rows.

    Args:
        rows: their number.
        x, x_row: unsigned bytes, and how far rows lie apart.
        weight: the panel, of signed bytes.
        inputs: a multiple of FOUR.
        ahead: bytes from the weights that are multiplied to those that the cache fetches.
        out, out_row: int32.
        tiles: None to do without AMX; otherwise this thread's tiles are set up.
    """
    done = 0
    if tiles is not None:
        if rows >= amx.ROWS and inputs % amx.BYTES == 0:
            amx.many_rows(rows, x, x_row, weight, inputs // amx.BYTES, ahead, out, out_row)
            done = rows
    for first in range(done, rows, TILE):
        few_rows(
            min(TILE, rows - first), x + first * x_row, x_row, weight, inputs // FOUR,
            ahead if first == 0 else 0, out + first * out_row, out_row,
        )  # fmt: skip
