"""Products of bytes on the tiles of AMX, the unit for matrices of newer server processors by Intel.

A tile holds up to 16 rows of 64 bytes. One instruction multiplies 16 rows of 64 unsigned bytes with
16 columns of 64 signed ones and adds the products to 16 x 16 sums of 32 bits. Here two tiles of
rows meet two of columns, so that each is loaded once for two products. Sums are exact, whatever the
order, so the results are those of :mod:`speechattn.attention.kernels.byte_matrix` to the last bit,
whose layout of weights is the one that tiles want.

A process must ask its operating system before it may use tiles (:func:`allowed`).
"""

from __future__ import annotations

import ctypes
import functools
import sys

import numpy as np
from llvmlite import ir
from llvmlite.ir import IRBuilder, Value
from numba.extending import intrinsic

from speechattn.attention.kernels.llvm import (
    WIDE,
    call_full,
    element,
    has,
    i64,
    loop,
    prefetch,
)
from speechattn.attention.kernels.primitives import LINE as CACHE_LINE
from speechattn.attention.kernels.primitives import void_intrinsic
from speechattn.jit import jit_inline

OFFERED = WIDE and all(map(has, ("amx-tile", "amx-int8", "avx512vnni")))
ROWS = 16  # of a tile
BYTES = 64  # in a row of a tile
LINE = 2 * BYTES  # bytes of a panel of weights for four inputs

# Linux: number of the system call, what it is to do, and which state of the processor is meant.
_ARCH_PRCTL, _REQUEST_PERMISSION, _TILE_DATA = 158, 0x1023, 18

_OF_ROWS, _COLUMNS = (4, 5), (6, 7)  # tiles; the sums of each two of them are in 0 to 3


@functools.cache
def allowed() -> bool:
    """Return whether this process may use tiles; the first call asks the operating system.

    Processes that it starts by ``fork`` may then, too.
    """
    if not OFFERED or sys.platform != "linux":
        return False
    try:
        call = ctypes.CDLL(None).syscall
    except (OSError, AttributeError):
        return False
    call.restype, call.argtypes = ctypes.c_long, [ctypes.c_long] * 3
    return call(_ARCH_PRCTL, _REQUEST_PERMISSION, _TILE_DATA) == 0


def settings() -> np.ndarray:
    """Return what tiles are set up with (:func:`set_up_tiles`): all of the largest size."""
    values = np.zeros(64, np.uint8)
    values[0] = 1  # palette
    values[16:32:2] = BYTES  # bytes of a row, two bytes a tile
    values[48:56] = ROWS
    return values


def _number(tile: int) -> Value:
    return ir.Constant(ir.IntType(8), tile)


def _pointer(b: IRBuilder, address: Value) -> Value:
    return b.inttoptr(address, ir.IntType(8).as_pointer())


def _load_tile(b: IRBuilder, tile: int, address: Value, stride: Value) -> None:
    name = "llvm.x86.tileloadd64"
    call_full(b, name, ir.VoidType(), _number(tile), _pointer(b, address), stride)


@intrinsic
def set_up_tiles(context, address):
    """Set up the tiles of this thread with the settings at an address."""

    def code(b: IRBuilder, address):
        call_full(b, "llvm.x86.ldtilecfg", ir.VoidType(), _pointer(b, address))

    return void_intrinsic(1, code)


@intrinsic
def release_tiles(context, unused):
    """Say that this thread no longer needs its tiles, which the system then does not save."""
    return void_intrinsic(1, lambda b, _: call_full(b, "llvm.x86.tilerelease", ir.VoidType()))


def _block(row_tiles: int):
    """Make the function for one or two tiles of rows and one panel."""

    @intrinsic
    def block(context, x, x_row, weight, steps, ahead, out, out_row):
        """Compute the sums of one panel of outputs.

        Args:
            x, x_row: bytes of the rows.
            weight: the panel.
            steps: inputs / BYTES.
            ahead: bytes from the weights that are multiplied to those that the cache fetches;
                0 for none.
            out, out_row: int32.
        """

        def code(b: IRBuilder, x, x_row, weight, steps, ahead, out, out_row):
            pairs = [(r, c, _number(2 * r + c)) for r in range(row_tiles) for c in range(2)]
            for _, _, sums in pairs:
                call_full(b, "llvm.x86.tilezero", ir.VoidType(), sums)
            tile_of_rows = b.mul(x_row, i64(ROWS))

            def inputs(number, _):
                at = element(b, weight, number, LINE * ROWS)
                with b.if_then(b.icmp_signed("!=", ahead, i64(0))):
                    for n in range(LINE * ROWS // CACHE_LINE):
                        prefetch(b, b.add(b.add(at, ahead), i64(n * CACHE_LINE)), write=False)
                begin = element(b, x, number, BYTES)
                for c, tile in enumerate(_COLUMNS):
                    _load_tile(b, tile, b.add(at, i64(c * BYTES)), i64(LINE))
                for r in range(row_tiles):
                    _load_tile(b, _OF_ROWS[r], element(b, begin, r, tile_of_rows), x_row)
                for r, c, sums in pairs:
                    tiles = sums, _number(_OF_ROWS[r]), _number(_COLUMNS[c])
                    call_full(b, "llvm.x86.tdpbusd", ir.VoidType(), *tiles)
                return ()

            loop(b, steps, [], inputs)
            for r, c, sums in pairs:
                to = b.add(element(b, out, r * ROWS, out_row), i64(c * BYTES))
                name = "llvm.x86.tilestored64"
                call_full(b, name, ir.VoidType(), sums, _pointer(b, to), out_row)

        return void_intrinsic(7, code)

    return block


_one_tile, _two_tiles = _block(1), _block(2)


@jit_inline
def many_rows(rows, x, x_row, weight, steps, ahead, out, out_row):
    """Compute the sums of one panel of outputs of ROWS rows or more.

    The last rows may be computed twice. ``steps`` is the number of inputs / BYTES; for the other
    arguments see :func:`speechattn.attention.kernels.byte_tiles.few_rows`.
    """
    if rows < 2 * ROWS:
        for number in range(0, rows, ROWS):
            first = min(number, rows - ROWS)
            to = out + first * out_row
            _one_tile(x + first * x_row, x_row, weight, steps, ahead, to, out_row)
    else:
        for number in range(0, rows, 2 * ROWS):
            first = min(number, rows - 2 * ROWS)
            to, fetched = out + first * out_row, ahead if number == 0 else 0
            _two_tiles(x + first * x_row, x_row, weight, steps, fetched, to, out_row)
