"""Attention in a window, as Numba compiles it for the processor at hand.

Queries go in groups of ``LANES`` (:mod:`speechattn.attention.kernels.primitives`): few compute few scores outside the
window, and what is within fits in the fastest memory. Several groups make a *stretch*, which meets
its keys ``KEYS`` at a time; a window of everything is therefore no different from a small one (the
order of Dao et al., 2022, "FlashAttention", whose running softmax this is). Nothing is kept for
gradients (:mod:`speechattn.attention.kernels.window`) but the highest score and the sum of each query.

All sums are in 32 bits. Queries, keys and values in bfloat16 are widened a stretch at a time.

Gradients of attention in a window; see :mod:`speechattn.attention.kernels.window`, which goes before.

Weights are computed again from what it kept, the highest score and the sum of each query, a stretch
of queries at a time, as there.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import types

from speechattn.attention.kernels import primitives
from speechattn.attention.kernels.llvm import BYTES, LANES
from speechattn.attention.kernels.matmul import FLOAT_BYTES, matmul
from speechattn.jit import I64_MATRIX, jit, jit_inline

GROUPS = 8  # of a stretch
STRETCH = GROUPS * LANES
KEYS = 512
HALF = 2  # bytes
LOG2_E = math.log2(math.e)


class WindowJob(NamedTuple):
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


WINDOW_JOB = types.NamedUniTuple(types.int64, len(WindowJob._fields), WindowJob)


@jit_inline
def head_rows(start, row, first, count, head, dim, half, wide):
    """Address and row of ``count`` rows of a head, from ``first`` on; if ``half``, widened."""
    if not half:
        return start + first * row + FLOAT_BYTES * head * dim, row
    at = start + first * row + HALF * head * dim
    for i in range(count):
        primitives.widen(wide + i * FLOAT_BYTES * dim, at + i * row, dim)
    return wide, FLOAT_BYTES * dim


@jit_inline
def bias_place(task, table, query, key):
    """Bytes to the number of a bias for a query and a key."""
    width = task.left + 1 + task.right + 2 * LANES
    return FLOAT_BYTES * (table * width + LANES + query + task.right - key)


@jit_inline
def scores_of(task, head, query, a, z, k, k_row, turned, scores):
    """Scores of a group, the first of which is ``query``, with keys ``a`` to ``z``."""
    matmul(scores, BYTES, k, k_row, FLOAT_BYTES, turned, BYTES, z - a, LANES, task.dim, 0, 0)
    if task.bias:
        at = task.bias + bias_place(task, head, query, a)
        primitives.add_along(scores, BYTES, at, -FLOAT_BYTES, z - a)


@jit_inline
def _forward(task, scale, sequences, sequence, head, first, room):
    """One head of the stretch that begins with query ``first``."""
    q_first, queries, k_first, keys = sequences[sequence]
    dim = task.dim
    row = FLOAT_BYTES * dim
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
        top = task.sums + FLOAT_BYTES * ((sequence * task.heads + head) * task.padded + first)
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
                    factor = primitives.number_at(change + FLOAT_BYTES * i)
                    primitives.scale_row(to + i * row, to + i * row, dim, 0, factor)
            values = v + (a - start) * v_row
            begin = to if again else 0
            matmul(
                to, row, scores, FLOAT_BYTES, BYTES, values, v_row, LANES, dim, z - a, begin, row
            )

    size = HALF if task.half else FLOAT_BYTES
    for group in range(groups):
        primitives.invert(over + group * BYTES, min(LANES, count - group * LANES))
    for i in range(count):
        to = task.out + (q_first + first + i) * task.out_row + size * head * dim
        factor = primitives.number_at(over + FLOAT_BYTES * i)
        primitives.scale_row(to, result + i * row, dim, task.half, factor)


@jit("void", WINDOW_JOB, "float64", I64_MATRIX, "int64", "int64")
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


@jit_inline
def _backward(task, scale, sequences, sequence, head, first, room):
    """Add what the stretch that begins with query ``first`` gives to the gradients of a head."""
    q_first, queries, k_first, keys = sequences[sequence]
    dim = task.dim
    row = FLOAT_BYTES * dim
    count = min(STRETCH, queries - first)
    groups = (count + LANES - 1) // LANES

    turned = room
    turned_gradient = turned + STRETCH * row
    result = turned_gradient + STRETCH * row
    scores = result + STRETCH * row
    gradient = scores + KEYS * BYTES
    mean = gradient + KEYS * BYTES
    wide = mean + GROUPS * BYTES
    top = task.sums + FLOAT_BYTES * ((sequence * task.heads + head) * task.padded + first)
    over = top + task.sums_size

    place = q_first + first
    q, q_row = head_rows(task.q, task.q_row, place, count, head, dim, task.half, wide)
    wide += STRETCH * row
    g, g_row = head_rows(task.of_out, task.of_out_row, place, count, head, dim, task.half, wide)
    wide += STRETCH * row
    out, out_row = head_rows(task.out, task.out_row, place, count, head, dim, task.half, wide)
    wide += STRETCH * row
    primitives.fill(mean, groups, np.float32(0))
    for i in range(count):
        primitives.dot(mean + FLOAT_BYTES * i, out + i * out_row, g + i * g_row, dim)
    for group in range(groups):
        here = min(LANES, count - group * LANES)
        to = group * LANES * row
        factor = np.float32(scale * LOG2_E)
        primitives.turn(turned + to, q + group * LANES * q_row, q_row, here, dim, factor)
        at = g + group * LANES * g_row
        primitives.turn(turned_gradient + to, at, g_row, here, dim, np.float32(1))

    low = max(0, first + task.offset - task.left)
    high = min(keys, first + count + task.offset + task.right)
    sums_row = task.heads * row
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
            n = z - a
            of_group = group * LANES * row
            at = k + (a - start) * k_row
            scores_of(task, head, query, a, z, at, k_row, turned + of_group, scores)
            limits = max(query - task.left - a, -LANES), min(query + task.right - a, KEYS)
            lanes = group * BYTES
            primitives.weigh_again(scores, n, limits[0], limits[1], top + lanes, over + lanes)
            values = v + (a - start) * v_row
            turn = turned_gradient + of_group
            matmul(gradient, BYTES, values, v_row, FLOAT_BYTES, turn, BYTES, n, LANES, dim, 0, 0)
            primitives.gradient_of_scores(scores, gradient, n, mean + lanes, np.float32(scale))
            if task.of_bias:
                number = sequence * task.heads + head
                to = task.of_bias + bias_place(task, number, query, a)
                primitives.add_along(to, -FLOAT_BYTES, gradient, BYTES, n)
            to = result + of_group
            begin = to if a > max(0, query - task.left) else 0  # keys before have been summed
            matmul(to, row, gradient, FLOAT_BYTES, BYTES, at, k_row, LANES, dim, n, begin, row)
            place = (k_first + a) * sums_row + head * row
            to, at = task.of_v + place, g + group * LANES * g_row
            matmul(to, sums_row, scores, BYTES, FLOAT_BYTES, at, g_row, n, dim, here, to, sums_row)
            to, at = task.of_k + place, q + group * LANES * q_row
            matmul(
                to, sums_row, gradient, BYTES, FLOAT_BYTES, at, q_row, n, dim, here, to, sums_row
            )

    size = HALF if task.half else FLOAT_BYTES
    for i in range(count):
        to = task.of_q + size * ((q_first + first + i) * task.heads + head) * dim
        primitives.scale_row(to, result + i * row, dim, task.half, np.float32(1))


@jit("void", WINDOW_JOB, "float64", I64_MATRIX, "int64", "int64")
def backward(task, scale, sequences, begin, end):
    """Compute gradients, after :func:`speechattn.attention.kernels.window.forward`; ``begin``, ``end``: of heads over all sequences."""
    vectors = task.dim * 3 * STRETCH // LANES + 2 * KEYS + GROUPS
    vectors += task.half * task.dim * (3 * STRETCH + 2 * KEYS) // LANES
    memory = np.empty((vectors + 1) * LANES, np.float32)
    room = (memory.ctypes.data + BYTES - 1) // BYTES * BYTES
    for number in range(begin, end):
        sequence, head = number // task.heads, number % task.heads
        for first in range(0, sequences[sequence, 1], STRETCH):
            _backward(task, scale, sequences, sequence, head, first, room)
    memory[0] = 0  # or Numba would let go of it where it is last named
