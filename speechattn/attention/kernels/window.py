"""Attention in a window, as Numba compiles it for the processor at hand.

Queries go in groups of ``LANES`` (:mod:`speechattn.attention.kernels.primitives`): few compute few scores outside the
window, and what is within fits in the fastest memory. Several groups make a *stretch*, which meets
its keys ``KEYS`` at a time; a window of everything is therefore no different from a small one (the
order of Dao et al., 2022, "FlashAttention", whose running softmax this is). Nothing is kept for
gradients (:mod:`speechattn.attention.kernels.windowgradient`) but the highest score and the sum of each query.

All sums are in 32 bits. Queries, keys and values in bfloat16 are widened a stretch at a time.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import types

from speechattn.attention.kernels import primitives
from speechattn.attention.kernels.llvm import BYTES, LANES
from speechattn.attention.kernels.products import FLOAT, product
from speechattn.jit import INT_TABLE, compiled, part

GROUPS = 8  # of a stretch
STRETCH = GROUPS * LANES
KEYS = 512
HALF = 2  # bytes
LOG2_E = math.log2(math.e)


class Task(NamedTuple):
    """Where everything lies and how large it is: addresses, and bytes from row to row.

    Vectors of a head lie ``head * dim`` numbers into a row; ``dim`` is a multiple of LANES.

    Attributes:
        q, k, v, out: rows of queries, keys, values and results, of bfloat16 if ``half`` is 1.
        sums: highest scores, float32, shape (sequences, heads, ``padded``), LANES divide ``padded``;
            one over the sums, as many, ``sums_size`` bytes further on; 0 to forget them.
        bias: to the base 2, float32, shape (heads, LANES + left + 1 + right + LANES); its number
            LANES + n is for keys ``right - n`` positions after the query; 0 for none.
        left, right, offset: see :func:`speechattn.attention.functional.truncated_attention`.
        of_out: gradient of the results, in the type of ``out``.
        of_q, of_k, of_v: gradients in rows of ``heads * dim`` numbers, q in its type, the others in
            float32, zeros at the beginning.
        of_bias: those of the bias, float32, a table of zeros for every sequence.
    """

    q: int
    q_row: int
    k: int
    k_row: int
    v: int
    v_row: int
    out: int
    out_row: int
    heads: int
    dim: int
    half: int
    left: int
    right: int
    offset: int
    sums: int
    sums_size: int
    padded: int
    bias: int
    of_out: int
    of_out_row: int
    of_q: int
    of_k: int
    of_v: int
    of_bias: int


TASK = types.NamedUniTuple(types.int64, len(Task._fields), Task)


@part
def head_rows(start, row, first, count, head, dim, half, wide):
    """Address and row of ``count`` rows of a head, from ``first`` on; if ``half``, widened."""
    if not half:
        return start + first * row + FLOAT * head * dim, row
    at = start + first * row + HALF * head * dim
    for i in range(count):
        primitives.widen(wide + i * FLOAT * dim, at + i * row, dim)
    return wide, FLOAT * dim


@part
def bias_place(task, table, query, key):
    """Bytes to the number of a bias for a query and a key."""
    width = task.left + 1 + task.right + 2 * LANES
    return FLOAT * (table * width + LANES + query + task.right - key)


@part
def scores_of(task, head, query, a, z, k, k_row, turned, scores):
    """Scores of a group, the first of which is ``query``, with keys ``a`` to ``z``."""
    product(scores, BYTES, k, k_row, FLOAT, turned, BYTES, z - a, LANES, task.dim, 0, 0)
    if task.bias:
        at = task.bias + bias_place(task, head, query, a)
        primitives.add_along(scores, BYTES, at, -FLOAT, z - a)


@part
def _forward(task, scale, sequences, sequence, head, first, room):
    """One head of the stretch that begins with query ``first``."""
    q_first, queries, k_first, keys = sequences[sequence]
    dim = task.dim
    row = FLOAT * dim
    count = min(STRETCH, queries - first)
    groups = (count + LANES - 1) // LANES

    turned = room
    result = turned + STRETCH * row
    scores = result + STRETCH * row
    change = scores + KEYS * BYTES
    top = change + GROUPS * BYTES
    over = top + GROUPS * BYTES
    wide = over + GROUPS * BYTES
    if task.sums:
        top = task.sums + FLOAT * ((sequence * task.heads + head) * task.padded + first)
        over = top + task.sums_size

    q, q_row = head_rows(task.q, task.q_row, q_first + first, count, head, dim, task.half, wide)
    wide += STRETCH * row
    for group in range(groups):
        here = min(LANES, count - group * LANES)
        at = q + group * LANES * q_row
        factor = np.float32(scale * LOG2_E)
        primitives.turn(turned + group * LANES * row, at, q_row, here, dim, factor)
    primitives.fill(top, groups, np.float32(-np.inf))
    primitives.fill(over, groups, np.float32(0))

    low = max(0, first + task.offset - task.left)
    high = min(keys, first + count + task.offset + task.right)
    for start in range(low, high, KEYS):
        stop = min(high, start + KEYS)
        size = stop - start
        k, k_row = head_rows(task.k, task.k_row, k_first + start, size, head, dim, task.half, wide)
        more = wide + KEYS * row
        v, v_row = head_rows(task.v, task.v_row, k_first + start, size, head, dim, task.half, more)
        for group in range(groups):
            here = min(LANES, count - group * LANES)
            query = first + group * LANES + task.offset  # among the keys
            a, z = max(start, query - task.left), min(stop, query + here + task.right)
            if a >= z:
                continue
            of_group = turned + group * LANES * row
            scores_of(task, head, query, a, z, k + (a - start) * k_row, k_row, of_group, scores)
            limits = max(query - task.left - a, -LANES), min(query + task.right - a, KEYS)
            place = group * BYTES
            primitives.weigh(scores, z - a, limits[0], limits[1], top + place, over + place, change)
            again = a > max(0, query - task.left)  # keys before have been summed
            to = result + group * LANES * row
            if again:
                for i in range(here):
                    factor = primitives.number_at(change + FLOAT * i)
                    primitives.scale_row(to + i * row, to + i * row, dim, 0, factor)
            values = v + (a - start) * v_row
            begin = to if again else 0
            product(to, row, scores, FLOAT, BYTES, values, v_row, LANES, dim, z - a, begin, row)

    size = HALF if task.half else FLOAT
    for group in range(groups):
        primitives.invert(over + group * BYTES, min(LANES, count - group * LANES))
    for i in range(count):
        to = task.out + (q_first + first + i) * task.out_row + size * head * dim
        factor = primitives.number_at(over + FLOAT * i)
        primitives.scale_row(to, result + i * row, dim, task.half, factor)


@compiled("void", TASK, "float64", INT_TABLE, "int64", "int64")
def forward(task, scale, sequences, begin, end):
    """Compute the results of stretches ``begin`` to ``end``, counted over all sequences.

    Args:
        task: what to do.
        scale: that scores are multiplied by.
        sequences: first query row, queries, first key row and keys of each.
        begin, end: numbers of stretches.
    """
    vectors = task.dim * (STRETCH + STRETCH) // LANES + KEYS + 3 * GROUPS
    vectors += task.half * task.dim * (STRETCH + 2 * KEYS) // LANES
    memory = np.empty((vectors + 1) * LANES, np.float32)
    room = (memory.ctypes.data + BYTES - 1) // BYTES * BYTES
    number = 0
    for sequence in range(len(sequences)):
        for first in range(0, sequences[sequence, 1], STRETCH):
            if begin <= number < end:
                for head in range(task.heads):
                    _forward(task, scale, sequences, sequence, head, first, room)
            number += 1
    memory[0] = 0  # or Numba would let go of it where it is last named
