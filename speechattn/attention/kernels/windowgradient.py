"""Gradients of attention in a window; see :mod:`speechattn.attention.kernels.window`, which goes before.

Weights are computed again from what it kept, the highest score and the sum of each query, a stretch
of queries at a time, as there.
"""

from __future__ import annotations

import numpy as np

from speechattn.attention.kernels import primitives
from speechattn.attention.kernels.llvm import BYTES, LANES
from speechattn.attention.kernels.products import FLOAT, product
from speechattn.attention.kernels.window import (
    GROUPS,
    HALF,
    KEYS,
    LOG2_E,
    STRETCH,
    TASK,
    bias_place,
    head_rows,
    scores_of,
)
from speechattn.jit import INT_TABLE, compiled, part


@part
def _backward(task, scale, sequences, sequence, head, first, room):
    """Add what the stretch that begins with query ``first`` gives to the gradients of a head."""
    q_first, queries, k_first, keys = sequences[sequence]
    dim = task.dim
    row = FLOAT * dim
    count = min(STRETCH, queries - first)
    groups = (count + LANES - 1) // LANES

    turned = room
    turned_gradient = turned + STRETCH * row
    result = turned_gradient + STRETCH * row
    scores = result + STRETCH * row
    gradient = scores + KEYS * BYTES
    mean = gradient + KEYS * BYTES
    wide = mean + GROUPS * BYTES
    top = task.sums + FLOAT * ((sequence * task.heads + head) * task.padded + first)
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
        primitives.dot(mean + FLOAT * i, out + i * out_row, g + i * g_row, dim)
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
            product(gradient, BYTES, values, v_row, FLOAT, turn, BYTES, n, LANES, dim, 0, 0)
            primitives.gradient_of_scores(scores, gradient, n, mean + lanes, np.float32(scale))
            if task.of_bias:
                number = sequence * task.heads + head
                to = task.of_bias + bias_place(task, number, query, a)
                primitives.add_along(to, -FLOAT, gradient, BYTES, n)
            to = result + of_group
            begin = to if a > max(0, query - task.left) else 0  # keys before have been summed
            product(to, row, gradient, FLOAT, BYTES, at, k_row, LANES, dim, n, begin, row)
            place = (k_first + a) * sums_row + head * row
            to, at = task.of_v + place, g + group * LANES * g_row
            product(to, sums_row, scores, BYTES, FLOAT, at, g_row, n, dim, here, to, sums_row)
            to, at = task.of_k + place, q + group * LANES * q_row
            product(to, sums_row, gradient, BYTES, FLOAT, at, q_row, n, dim, here, to, sums_row)

    size = HALF if task.half else FLOAT
    for i in range(count):
        to = task.of_q + size * ((q_first + first + i) * task.heads + head) * dim
        primitives.scale_row(to, result + i * row, dim, task.half, np.float32(1))


@compiled("void", TASK, "float64", INT_TABLE, "int64", "int64")
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
