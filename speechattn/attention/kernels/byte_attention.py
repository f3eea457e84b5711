"""Attention in a window in 8 bits for rows of NumPy arrays, without gradients.

Products are of bytes, on AMX where there is one (:mod:`speechattn.attention.kernels.amx`), and
exact. A query's weights are rounded to bytes as shares of its highest one, and summed as whole
numbers (:mod:`speechattn.attention.kernels.byte_softmax`), so a query gives the same result, to the
last bit, whatever other rows are there. Queries, keys and values come in byte rows
(:mod:`speechattn.attention.kernels.byte_heads`).
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np
from numba import types

from speechattn.attention.kernels import byte_heads, byte_softmax
from speechattn.attention.kernels.amx import (
    BYTES,
    ROWS,
    many_rows,
    release_tiles,
    set_up_tiles,
)
from speechattn.attention.kernels.byte_heads import PARTS
from speechattn.attention.kernels.byte_layers import TILES, uses_amx
from speechattn.attention.kernels.byte_products import panel_sums
from speechattn.attention.kernels.byte_tiles import (
    FOUR,
    PANEL,
    VECTORS,
    VNNI,
    one_row,
)
from speechattn.attention.kernels.llvm import FLOAT_BYTES, LANES
from speechattn.attention.kernels.primitives import LINE, load_f32, load_i32, store_f32
from speechattn.attention.kernels.threads import Fixed, address, parallel_for
from speechattn.attention.kernels.window import LOG2_E
from speechattn.jit import I64_MATRIX, jit, jit_inline

BLOCK = 32  # queries that meet the same keys
MOST_KEYS = 4096  # of a query: their weights in whole numbers have sums of 31 bits


def suits(dim: int, window: tuple[int | None, int | None]) -> bool:
    """Return whether heads of ``dim`` numbers can be computed here, in a window of so many rows.

    Keys and values need all 8 bits, which products have with VNNI only.
    """
    left, right = window
    if not VNNI or dim % (FOUR * LANES) or left is None or right is None:
        return False
    return left + right < MOST_KEYS


class ByteJob(NamedTuple):
    """Where everything lies and how large it is: addresses, and bytes from row to row.

    Attributes:
        queries, row: byte rows of queries, and how far they lie apart.
        keys, values: panels of all keys for each head.
        numbers: for each head, what 1 stands for in each key and in each value, float32, and what
            the zero of the queries adds to the sums of each key, int32.
        room: keys that there is room for, a multiple of PANEL and BYTES.
        heads, dim: number of heads, and numbers of one.
        left, right, offset: see :func:`speechattn.attention.functional.truncated_attention`.
        bias: float32, shape (heads, LANES + left + 1 + right + LANES ...); see
            :class:`ByteAttention`.
        bias_row: bytes of the biases of a head.
        out: float32, rows of ``heads * dim`` numbers.
    """

    queries: int
    row: int
    keys: int
    values: int
    numbers: int
    room: int
    heads: int
    dim: int
    left: int
    right: int
    offset: int
    bias: int
    bias_row: int
    out: int


BYTE_JOB = types.NamedUniTuple(types.int64, len(ByteJob._fields), ByteJob)


@jit("void", BYTE_JOB, *["int64"] * 5)
def lay_out(job, rows, count, halves, begin, end):
    """Lay out keys and values of the heads ``begin`` to ``end``.

    Args:
        job: a :class:`ByteJob`.
        rows: address of the byte rows of the keys.
        count: their number.
        halves: address of ``dim`` bytes, those of a query of zeros.
        begin, end: numbers of heads.
    """
    width, dim, room = job.heads * job.dim, job.dim, job.room
    for head in range(begin, end):
        keys = job.keys + head * room * dim
        steps = rows + PARTS * width
        numbers = job.numbers + 3 * FLOAT_BYTES * head * room
        for part in (1, 2):
            of_head = steps + FLOAT_BYTES * (part * job.heads + head)
            to = numbers + FLOAT_BYTES * (part - 1) * room
            byte_heads.gather(to, of_head, job.row, count, room)
        byte_heads.lay_out_keys(keys, rows + width + head * dim, job.row, count, room, dim)
        byte_heads.lay_out_values(
            job.values + head * room * dim, rows + 2 * width + head * dim, job.row, count, room, dim
        )
        zeros = numbers + 2 * FLOAT_BYTES * room
        for first in range(0, room, PANEL):
            one_row(halves, 0, keys + first * dim, dim // FOUR, 0, zeros + FLOAT_BYTES * first, 0)
        byte_heads.negate(zeros, room)


@jit_inline
def _sums(count, x, x_row, weight, inputs, out, out_row, tiles):
    """Compute one panel of sums for the rows of a block, with AMX unless ``tiles`` is None.

    With AMX, too few rows for a tile are computed one by one: there are few keys, and the code that
    reads weights once for several rows takes long to compile.
    """
    if tiles is None:
        panel_sums(count, x, x_row, weight, inputs, 0, out, out_row, None)
    else:
        if count >= ROWS:
            many_rows(count, x, x_row, weight, inputs // BYTES, 0, out, out_row)
        else:
            for i in range(count):
                to = out + i * out_row
                one_row(x + i * x_row, x_row, weight, inputs // FOUR, 0, to, out_row)


@jit_inline
def _block(job, sequences, sequence, first, head, factor, room, tiles):
    """Compute one head of the block that begins with query ``first``."""
    q_first, queries, k_first, keys = sequences[sequence]
    dim, width = job.dim, job.heads * job.dim
    count = min(BLOCK, queries - first)
    position = first + job.offset  # of the first query among the keys
    low = k_first + max(0, position - job.left)
    high = k_first + min(keys, position + count + job.right)
    start = low // PANEL * PANEL
    columns = (high - start + BYTES - 1) // BYTES * BYTES

    scores, score_row = room, FLOAT_BYTES * columns + LINE
    weights, weight_row = scores + BLOCK * score_row, columns + LINE
    sums = weights + BLOCK * weight_row
    ratios = sums + BLOCK * FLOAT_BYTES * PANEL
    total = ratios + BLOCK * FLOAT_BYTES

    row = job.queries + (q_first + first) * job.row
    panels = job.keys + head * job.room * dim
    for column in range(0, columns, PANEL):
        _sums(
            count, row + head * dim, job.row, panels + (start + column) * dim, dim,
            scores + FLOAT_BYTES * column, score_row, tiles,
        )  # fmt: skip
    numbers = job.numbers + 3 * FLOAT_BYTES * head * job.room + FLOAT_BYTES * start
    steps, value_steps = numbers, numbers + FLOAT_BYTES * job.room
    zeros = value_steps + FLOAT_BYTES * job.room
    for i in range(count):
        here = k_first + position + i
        a = max(k_first, here - job.left) - start
        z = min(k_first + keys, here + job.right + 1) - start
        skipped = a // LANES
        vectors = (z + LANES - 1) // LANES - skipped
        n = FLOAT_BYTES * LANES * skipped
        at = scores + i * score_row + n
        # Biases go from the first key of a window to its last, behind LANES others.
        key = start + skipped * LANES - (here - job.left)
        bias = job.bias + head * job.bias_row + FLOAT_BYTES * (LANES + key)
        step = load_f32(row + i * job.row + PARTS * width + FLOAT_BYTES * head)
        top = byte_softmax.score_keys(
            at, vectors, zeros + n, steps + n, bias, a - skipped * LANES, z - skipped * LANES,
            np.float32(step * factor),
        )  # fmt: skip
        most = byte_softmax.weigh_keys(at, vectors, value_steps + n, total, top)
        to = weights + i * weight_row
        byte_softmax.zero_bytes(to, skipped)
        byte_softmax.round_weights(
            to + skipped * LANES, at, vectors, np.float32(np.float32(255) / most)
        )
        done = skipped + vectors
        byte_softmax.zero_bytes(to + done * LANES, columns // LANES - done)
        whole = np.float32(load_i32(total))
        ratio = most * np.float32(byte_softmax.ONE / 255) / whole
        store_f32(ratios + FLOAT_BYTES * i, ratio)
    for number in range(0, dim, PANEL):
        panel = job.values + head * job.room * dim + number * job.room + start * PANEL
        _sums(count, weights, weight_row, panel, columns, sums, FLOAT_BYTES * PANEL, tiles)
        vectors = min(VECTORS, (dim - number) // LANES)
        for i in range(count):
            to = job.out + FLOAT_BYTES * ((q_first + first + i) * width + head * dim + number)
            ratio = load_f32(ratios + FLOAT_BYTES * i)
            byte_softmax.scale_sums(to, sums + i * FLOAT_BYTES * PANEL, vectors, ratio)


@jit_inline
def _blocks(job, factor, sequences, begin, end, tiles):
    columns = (job.left + job.right + BLOCK) // BYTES * BYTES + 2 * BYTES + PANEL
    size = BLOCK * (FLOAT_BYTES * columns + columns + 2 * LINE + FLOAT_BYTES * (PANEL + 1)) + LINE
    memory = np.empty(size + LINE, np.uint8)
    room = (memory.ctypes.data + LINE - 1) // LINE * LINE
    if tiles is not None:
        set_up_tiles(tiles)
    number = 0
    for sequence in range(len(sequences)):
        for first in range(0, sequences[sequence, 1], BLOCK):
            if begin <= number < end:
                for head in range(job.heads):
                    _block(job, sequences, sequence, first, head, factor, room, tiles)
            number += 1
    if tiles is not None:
        release_tiles(0)
    memory[0] = 0  # otherwise Numba frees it after its last use by name


@jit("void", BYTE_JOB, "float64", I64_MATRIX, "int64", "int64")
def attend(job, factor, sequences, begin, end):
    """Compute the results of blocks ``begin`` to ``end``, counted over all sequences.

    Args:
        job: a :class:`ByteJob`.
        factor: of the products, for scores whose powers of 2 are the weights.
        sequences: first query row, queries, first key row and keys of each sequence.
        begin, end: numbers of blocks.
    """
    _blocks(job, factor, sequences, begin, end, None)


@jit("void", BYTE_JOB, "float64", I64_MATRIX, "int64", "int64", "int64")
def attend_amx(job, factor, sequences, tiles, begin, end):
    """Do the same with AMX; ``tiles`` is the address of its settings."""
    _blocks(job, factor, sequences, begin, end, tiles)


class ByteAttention:
    """Dot products, softmax and a bias by distance, in a window, of byte rows.

    Args:
        heads: number of heads.
        width: numbers of a row, those of all heads; see :func:`suits` for those of one.
        left, right: limits of the window, in rows.
        bias: numbers added to the scores, float32, shape (heads, left + 1 + right), from the first
            key to the last; None for none.
    """

    def __init__(
        self, heads: int, width: int, left: int, right: int, bias: np.ndarray | None = None
    ) -> None:
        self._heads, self._dim, self._left, self._right = heads, width // heads, left, right
        self._factor = LOG2_E / math.sqrt(self._dim)
        if bias is None:
            bias = np.zeros((heads, left + 1 + right), np.float32)
        padded = np.pad(bias * np.float32(LOG2_E), ((0, 0), (LANES, LANES)))
        self._bias = Fixed(padded.astype(np.float32))
        self._halves = Fixed(np.full(self._dim, byte_heads.HALF, np.uint8))

    def __call__(
        self, queries: np.ndarray, keys: np.ndarray, offset: int, sequences: np.ndarray
    ) -> np.ndarray:
        """Compute attention.

        Args:
            queries, keys: byte rows, uint8, shape (rows, ``byte_row(width, heads)``).
            offset: number of a sequence's first query among its keys.
            sequences: of each, first query row, queries, first key row and keys, int64, shape
                (sequences, 4).

        Returns:
            float32, shape (queries, width).
        """
        return self._computed(queries, keys, offset, sequences, uses_amx())

    def _computed(
        self,
        queries: np.ndarray,
        keys: np.ndarray,
        offset: int,
        sequences: np.ndarray,
        with_amx: bool,
    ) -> np.ndarray:
        width = self._heads * self._dim
        out = np.empty((len(queries), width), np.float32)
        room = (len(keys) + 2 * BYTES) // BYTES * BYTES
        size = self._heads * room
        panels = np.empty((2, size, self._dim), np.uint8)
        numbers = np.empty((size, 3), np.int32)
        job = ByteJob(
            queries=address(queries),
            row=queries.strides[0],
            keys=address(panels),
            values=address(panels) + size * self._dim,
            numbers=address(numbers),
            room=room,
            heads=self._heads,
            dim=self._dim,
            left=self._left,
            right=self._right,
            offset=offset,
            bias=self._bias.address,
            bias_row=self._bias.array.strides[0],
            out=address(out),
        )
        alive = queries, keys, out, panels, numbers, self
        run = functools.partial(lay_out, job, address(keys), len(keys), self._halves.address)
        parallel_for(run, self._heads, size * self._dim // FOUR, alive)
        function, last = (attend_amx, (TILES.address,)) if with_amx else (attend, ())
        run = functools.partial(function, job, self._factor, sequences, *last)
        blocks = int((-(-sequences[:, 1] // BLOCK)).sum())
        work = len(queries) * width * (self._left + 1 + self._right) // FOUR
        parallel_for(run, blocks, work, alive)
        return out
