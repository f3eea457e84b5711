"""The gradients of attention in a window, compiled by Numba for the processor of this machine.

The stretches and groups are those of :mod:`speechattn.attention.kernels.window`. Weights and their
gradients are kept for all groups of a stretch, so that the gradients of keys and values are summed
over all its queries in registers.
"""

from __future__ import annotations

import numpy as np

from speechattn.attention.kernels import primitives
from speechattn.attention.kernels.llvm import BF16_BYTES, FLOAT_BYTES, LANES, VECTOR_BYTES
from speechattn.attention.kernels.softmax import softmax_backward
from speechattn.attention.kernels.tiles import (
    SUM_ROWS,
    keys_times_queries,
    sum_over_keys,
    sum_over_queries,
)
from speechattn.attention.kernels.window import (
    GROUPS,
    KEYS,
    LOG2_E,
    STRETCH,
    WINDOW_JOB,
    bias_shift,
    element_rows,
    fetch,
    group_keys,
    group_scores,
    head_rows,
    turn_rows,
)
from speechattn.jit import I64_MATRIX, jit, jit_inline

MARGIN = SUM_ROWS  # rows of zeros before and after the weights of a group


@jit_inline
def _most_keys(job):
    """Return how many keys a group has at most at a time, and one more, should they be paired."""
    return min(KEYS, job.left + job.right + LANES) + 2


@jit_inline
def _backward(job, scale, sequences, sequence, head, first, room, half):
    """Add to the gradients of a head the part of the stretch that begins with query ``first``."""
    q_first, queries, k_first, keys = sequences[sequence]
    dim = job.dim
    bf16 = job.is_bf16
    per = 1 if half is None else 2
    row, along = FLOAT_BYTES * dim // per, FLOAT_BYTES * dim
    across = VECTOR_BYTES // per  # from the weights of a key to those of the next
    count = min(STRETCH, queries - first)
    groups = (count + LANES - 1) // LANES

    k_buffer = room
    v_buffer = k_buffer + KEYS * along
    q_buffer = v_buffer + KEYS * along
    g_buffer = q_buffer + STRETCH * along
    turned_q = g_buffer + STRETCH * along
    turned_g = turned_q + STRETCH * row
    result = turned_g + STRETCH * row
    scores = result + STRETCH * along
    gradient = scores + KEYS * VECTOR_BYTES
    mean = gradient + KEYS * VECTOR_BYTES
    of_weights = mean + GROUPS * VECTOR_BYTES
    of_changes = of_weights + GROUPS * VECTOR_BYTES
    pitch = (_most_keys(job) + 2 * MARGIN) * VECTOR_BYTES
    weights = of_changes + GROUPS * VECTOR_BYTES + MARGIN * VECTOR_BYTES
    changes = weights + GROUPS * pitch
    top = job.row_max + FLOAT_BYTES * ((sequence * job.heads + head) * job.row_max_width + first)
    inverse_sum = top + job.inverse_sum_shift

    begin = q_first + first
    g, g_stride = job.grad_out, job.grad_out_stride
    q, q_stride = head_rows(job.q, job.q_stride, begin, count, head, dim, bf16, half, q_buffer)
    g, g_stride = head_rows(g, g_stride, begin, count, head, dim, bf16, half, g_buffer)
    turn_rows(q, q_stride, count, dim, half, turned_q)
    turn_rows(g, g_stride, count, dim, half, turned_g)
    primitives.fill(mean, groups, np.float32(0))
    size = BF16_BYTES if bf16 else FLOAT_BYTES
    for i in range(count):
        of_out, of_g = job.out + (begin + i) * job.out_stride + size * head * dim, g + i * g_stride
        if bf16:
            primitives.widen_bf16(result, of_out, dim)
            of_out = result
        if half is not None:
            primitives.widen_bf16(result + along, of_g, dim)
            of_g = result + along
        primitives.dot(mean + FLOAT_BYTES * i, of_out, of_g, dim)
    q, q_stride = element_rows(q, q_stride, count, dim, half, q_buffer)
    g, g_stride = element_rows(g, g_stride, count, dim, half, g_buffer)

    factor = np.float32(scale * LOG2_E)
    low = max(0, first + job.offset - job.left)
    high = min(keys, first + count + job.offset + job.right)
    grad_row = job.heads * along
    for start in range(low, high, KEYS):
        stop = min(high, start + KEYS)
        key, size = k_first + start, stop - start
        k, k_stride = head_rows(job.k, job.k_stride, key, size, head, dim, bf16, half, k_buffer)
        v, v_stride = head_rows(job.v, job.v_stride, key, size, head, dim, bf16, half, v_buffer)
        along_k, along_stride = element_rows(k, k_stride, size, dim, half, k_buffer)
        for group in range(groups):
            _, query, a, z, lo, hi = group_keys(job, start, stop, first, count, group, half)
            if a >= z:
                continue
            n, shift, lanes = z - a, group * LANES * row, group * VECTOR_BYTES
            group_weights, group_changes = weights + group * pitch, changes + group * pitch
            if half is None:
                scores, gradient = group_weights, group_changes
            group_k, group_q = k + (a - start) * k_stride, turned_q + shift
            group_scores(job, head, query, a, z, group_k, k_stride, group_q, scores, half)
            fetch(job.k, job.k_stride, key + STRETCH, group, groups, size, head, dim, bf16, None)
            group_v, group_g = v + (a - start) * v_stride, turned_g + shift
            keys_times_queries(gradient, group_v, v_stride, group_g, n, dim // per, half)
            fetch(job.v, job.v_stride, key + STRETCH, group, groups, size, head, dim, bf16, None)
            softmax_backward(
                scores, gradient, n, lo, hi, top + lanes, inverse_sum + lanes, mean + lanes,
                group_weights, group_changes, factor, np.float32(scale), half,
            )  # fmt: skip
            for at in (group_weights, group_changes):
                primitives.fill(at - MARGIN * VECTOR_BYTES, MARGIN, np.float32(0))
                past = at + (n + per - 1) // per * VECTOR_BYTES
                primitives.fill(past, MARGIN, np.float32(0))
            primitives.store_i64(of_weights + 8 * group, group_weights - (a - start) * across)
            primitives.store_i64(of_changes + 8 * group, group_changes - (a - start) * across)
            if job.grad_bias:
                table = sequence * job.heads + head
                dst = job.grad_bias + bias_shift(job, table, query, a)
                primitives.add_rows(dst, -FLOAT_BYTES, gradient, VECTOR_BYTES, n)
            again = start > max(0, query - job.left)  # earlier keys are already summed
            dst, group_k = (
                result + group * LANES * along,
                along_k + (a - start) // per * along_stride,
            )
            changed = group_changes if half is None else scores
            sum_over_keys(dst, along, changed, group_k, along_stride, dim, n, lo, hi, again, half)
            of = begin + STRETCH
            fetch(job.q, job.q_stride, of, group, groups, count, head, dim, bf16, None)
            fetch(
                job.grad_out, job.grad_out_stride, of, group, groups, count, head, dim, bf16, None
            )
            fetch(job.out, job.out_stride, of, group, groups, count, head, dim, bf16, None)
        shift = key * grad_row + head * along
        # The first query of the stretch sees keys from job.left before it.
        early = start - (first + job.offset) - job.right
        past = start - (first + job.offset) + job.left + 1
        sum_over_queries(
            job.grad_v + shift, grad_row, of_weights, across, g, g_stride, dim, size, early,
            past, count, half,
        )  # fmt: skip
        sum_over_queries(
            job.grad_k + shift, grad_row, of_changes, across, q, q_stride, dim, size, early,
            past, count, half,
        )  # fmt: skip

    size = BF16_BYTES if bf16 else FLOAT_BYTES
    for i in range(count):
        dst = job.grad_q + size * ((begin + i) * job.heads + head) * dim
        primitives.scale_row(dst, result + i * along, dim, bf16, np.float32(1))


@jit_inline
def _heads(job, scale, sequences, begin, end, half):
    pitch = _most_keys(job) + 2 * MARGIN
    vectors = job.dim * (2 * KEYS + 5 * STRETCH) // LANES + 2 * KEYS + GROUPS * (3 + 2 * pitch)
    memory = np.empty((vectors + MARGIN + 1) * LANES, np.float32)
    room = (memory.ctypes.data + VECTOR_BYTES - 1) // VECTOR_BYTES * VECTOR_BYTES
    for number in range(begin, end):
        sequence, head = number // job.heads, number % job.heads
        for first in range(0, sequences[sequence, 1], STRETCH):
            _backward(job, scale, sequences, sequence, head, first, room, half)
    memory[0] = 0  # otherwise Numba frees it after its last use by name


@jit("void", WINDOW_JOB, "float64", I64_MATRIX, "int64", "int64")
def backward(job, scale, sequences, begin, end):
    """Compute the gradients of heads ``begin`` to ``end``, counted over all sequences.

    It needs what the forward pass stored. See :func:`forward` there for the other arguments.
    """
    _heads(job, scale, sequences, begin, end, None)


@jit("void", WINDOW_JOB, "float64", I64_MATRIX, "int64", "int64")
def backward_bf16(job, scale, sequences, begin, end):
    """Do the same with products of bfloat16, for what :func:`forward_bf16` computed."""
    _heads(job, scale, sequences, begin, end, 0)
