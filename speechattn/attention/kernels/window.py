"""Attention in a window, forward and backward, compiled by Numba for the processor of this machine.

Queries are processed in *groups* of ``LANES`` (:mod:`speechattn.attention.kernels.primitives`):
small groups compute few scores outside the window, and their scores fit into the fastest memory.
Several groups make a *stretch*, which meets its keys ``KEYS`` at a time. So a window without limits
is no special case. (This is the order of Dao et al., 2022, "FlashAttention", whose running softmax
is used.) For gradients, only the highest score and the sum of each query are stored; the backward
pass computes the weights again, a stretch at a time.

All sums are in float32. Queries, keys and values in bfloat16 are converted a stretch at a time, or
multiplied in pairs where the processor can: ``half`` is then 0, otherwise None (see ``tiles.py``).
While a group is computed, the cache fetches a part of what is read next, which would otherwise have
to be waited for.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import types

from speechattn.attention.kernels import primitives
from speechattn.attention.kernels.llvm import BF16_BYTES, FLOAT_BYTES, LANES, VECTOR_BYTES
from speechattn.attention.kernels.softmax import invert, softmax_step
from speechattn.attention.kernels.tiles import keys_times_queries, sum_over_keys
from speechattn.jit import I64_MATRIX, jit, jit_inline

GROUPS = 8  # in a stretch
STRETCH = GROUPS * LANES  # queries
KEYS = 512  # that a stretch meets at a time
LOG2_E = math.log2(math.e)


class WindowJob(NamedTuple):
    """Where the tensors lie and how large they are: addresses, and bytes from row to row.

    The vector of a head lies ``head * dim`` numbers into a row; ``dim`` is a multiple of LANES.

    Attributes:
        q, k, v, out: addresses of the rows of queries, keys, values and results; bfloat16 if
            ``is_bf16`` is 1, otherwise float32.
        q_stride, k_stride, v_stride, out_stride: bytes from row to row.
        heads: number of heads.
        dim: numbers of a head.
        left, right, offset: see :func:`speechattn.attention.functional.truncated_attention`.
        row_max: address of the highest scores, float32, shape (sequences, heads,
        ``row_max_width``),
            where LANES divides ``row_max_width``; 0 not to store them.
        inverse_sum_shift: bytes from the highest scores to the inverse sums of the weights, which
            have the same shape.
        bias: address of the bias over the scale, float32, shape (heads, LANES + left + 1 + right +
            LANES). Number LANES + n is for keys ``right - n`` positions after the query. 0 for
            none.
        grad_out: address of the gradient of the results, in their type.
        grad_out_stride: bytes from row to row.
        grad_q: address of the gradient of the queries, in their type, in rows of ``heads * dim``
            numbers.
        grad_k, grad_v: addresses of the same for keys and values, in float32, zeros at the start.
        grad_bias: address of the gradient of the bias, in float32, one table of zeros for each
            sequence; 0 for none.
    """

    q: int
    q_stride: int
    k: int
    k_stride: int
    v: int
    v_stride: int
    out: int
    out_stride: int
    heads: int
    dim: int
    is_bf16: int
    left: int
    right: int
    offset: int
    row_max: int = 0
    row_max_width: int = 0
    inverse_sum_shift: int = 0
    bias: int = 0
    grad_out: int = 0
    grad_out_stride: int = 0
    grad_q: int = 0
    grad_k: int = 0
    grad_v: int = 0
    grad_bias: int = 0


WINDOW_JOB = types.NamedUniTuple(types.int64, len(WindowJob._fields), WindowJob)


@jit_inline
def head_rows(address, stride, first, count, head, dim, is_bf16, half, buffer):
    """Return address and stride of ``count`` rows of a head from ``first`` on.

    They are float32 if ``half`` is None, and bfloat16 if it is 0; what has to be converted is
    converted into the buffer.
    """
    if is_bf16 and half is None:
        src = address + first * stride + BF16_BYTES * head * dim
        for i in range(count):
            primitives.widen_bf16(buffer + i * FLOAT_BYTES * dim, src + i * stride, dim)
        return buffer, FLOAT_BYTES * dim
    size = FLOAT_BYTES if half is None else BF16_BYTES
    return address + first * stride + size * head * dim, stride


@jit_inline
def element_rows(rows, stride, count, dim, half, buffer):
    """Return address and stride of rows of elements, over which is summed: see ``tiles.py``.

    Rows that are bfloat16 are put together, two by two, in the buffer.
    """
    if half is None:
        return rows, stride
    for i in range(0, count, 2):
        other = rows + (i + 1) * stride if i + 1 < count else 0
        primitives.pair_rows(buffer + i // 2 * FLOAT_BYTES * dim, rows + i * stride, other, dim)
    return buffer, FLOAT_BYTES * dim


@jit_inline
def turn_rows(rows, stride, count, dim, half, out):
    """Transpose rows, group by group."""
    per = 1 if half is None else 2
    for i in range(0, count, LANES):
        to = out + i * FLOAT_BYTES * dim // per
        primitives.transpose_rows(to, rows + i * stride, stride, min(LANES, count - i), dim // per)


@jit_inline
def fetch(address, stride, first, part, parts, count, head, dim, is_bf16, write):
    """Have the cache fetch one of the parts of ``count`` rows of a head from ``first`` on."""
    size = (BF16_BYTES if is_bf16 else FLOAT_BYTES) * dim
    rows = (count + parts - 1) // parts
    at = address + (first + part * rows) * stride + size * head
    primitives.fetch_rows(at, stride, rows, size, write)


@jit_inline
def group_keys(job, start, stop, first, count, group, half):
    """Return what a group does with the keys ``start`` to ``stop``.

    Returns:
        Its number of queries; its first query as a position among the keys; first and last key of
        its windows (exclusive) among these; and the limits of the first query's window, counted
        from the first of them, as ``softmax.py`` needs them. If keys are met in pairs, a key
        before the windows may be the first.
    """
    per = 1 if half is None else 2
    rows = min(LANES, count - group * LANES)
    query = first + group * LANES + job.offset
    begin, end = max(start, query - job.left), min(stop, query + rows + job.right)
    begin -= (begin - start) % per
    low, high = max(query - job.left - begin, -LANES), min(query + job.right - begin, KEYS)
    return rows, query, begin, end, low, high


@jit_inline
def bias_shift(job, table, query, key):
    """Return the bytes from the start of the biases to that of a query and a key."""
    width = job.left + 1 + job.right + 2 * LANES
    return FLOAT_BYTES * (table * width + LANES + query + job.right - key)


@jit_inline
def group_scores(job, head, query, begin, end, k, k_row, queries, scores, half):
    """Compute the scores of a group with first query ``query``, for keys ``begin`` to ``end``.

    They are still to be multiplied by the scale.
    """
    per = 1 if half is None else 2
    keys_times_queries(scores, k, k_row, queries, end - begin, job.dim // per, half)
    if job.bias:
        src = job.bias + bias_shift(job, head, query, begin)
        primitives.add_rows(scores, VECTOR_BYTES, src, -FLOAT_BYTES, end - begin)


@jit_inline
def _forward(job, scale, sequences, sequence, head, first, room, half):
    """Compute one head of the stretch that begins with query ``first``."""
    q_first, queries, k_first, keys = sequences[sequence]
    dim = job.dim
    bf16 = job.is_bf16
    per = 1 if half is None else 2
    row, along = FLOAT_BYTES * dim // per, FLOAT_BYTES * dim
    count = min(STRETCH, queries - first)
    groups = (count + LANES - 1) // LANES

    turned = room
    result = turned + STRETCH * row
    scores = result + STRETCH * along
    change = scores + KEYS * VECTOR_BYTES
    top = change + GROUPS * VECTOR_BYTES
    total = top + GROUPS * VECTOR_BYTES
    k_buffer = total + GROUPS * VECTOR_BYTES
    v_buffer = k_buffer + KEYS * along
    if job.row_max:
        number = sequence * job.heads + head
        top = job.row_max + FLOAT_BYTES * (number * job.row_max_width + first)
        total = top + job.inverse_sum_shift

    begin = q_first + first
    q, q_stride = head_rows(job.q, job.q_stride, begin, count, head, dim, bf16, half, result)
    turn_rows(q, q_stride, count, dim, half, turned)
    primitives.fill(top, groups, np.float32(-np.inf))
    primitives.fill(total, groups, np.float32(0))

    factor = np.float32(scale * LOG2_E)
    low = max(0, first + job.offset - job.left)
    high = min(keys, first + count + job.offset + job.right)
    last = head + 1 == job.heads
    next_head, ahead = (0, STRETCH) if last else (head + 1, 0)  # what is computed next
    for start in range(low, high, KEYS):
        stop = min(high, start + KEYS)
        key, size = k_first + start, stop - start
        k, k_stride = head_rows(job.k, job.k_stride, key, size, head, dim, bf16, half, k_buffer)
        v, v_stride = head_rows(job.v, job.v_stride, key, size, head, dim, bf16, half, v_buffer)
        v, v_stride = element_rows(v, v_stride, size, dim, half, v_buffer)
        for group in range(groups):
            rows, query, a, z, lo, hi = group_keys(job, start, stop, first, count, group, half)
            if a >= z:
                continue
            fetch(job.k, job.k_stride, key + ahead, group, groups, size, next_head, dim, bf16, None)
            group_k, group_q = k + (a - start) * k_stride, turned + group * LANES * row
            group_scores(job, head, query, a, z, group_k, k_stride, group_q, scores, half)
            fetch(
                job.q, job.q_stride, begin + ahead, group, groups, count, next_head, dim, bf16,
                None,
            )  # fmt: skip
            lanes = group * VECTOR_BYTES
            softmax_step(scores, z - a, lo, hi, top + lanes, total + lanes, change, factor, half)
            fetch(job.v, job.v_stride, key + ahead, group, groups, size, next_head, dim, bf16, None)
            again = start > max(0, query - job.left)  # results of earlier keys are already summed
            dst = result + group * LANES * along
            if again:
                for i in range(rows):
                    ratio = primitives.load_f32(change + FLOAT_BYTES * i)
                    primitives.scale_row(dst + i * along, dst + i * along, dim, 0, ratio)
            group_v = v + (a - start) // per * v_stride
            sum_over_keys(dst, along, scores, group_v, v_stride, dim, z - a, lo, hi, again, half)
            fetch(job.out, job.out_stride, begin, group, groups, count, head, dim, bf16, 0)

    size = BF16_BYTES if bf16 else FLOAT_BYTES
    for group in range(groups):
        invert(total + group * VECTOR_BYTES, min(LANES, count - group * LANES))
    for i in range(count):
        dst = job.out + (begin + i) * job.out_stride + size * head * dim
        ratio = primitives.load_f32(total + FLOAT_BYTES * i)
        primitives.scale_row(dst, result + i * along, dim, bf16, ratio)


@jit_inline
def _stretches(job, scale, sequences, begin, end, half):
    vectors = 2 * job.dim * STRETCH // LANES + KEYS + 3 * GROUPS
    vectors += 2 * job.is_bf16 * job.dim * KEYS // LANES
    memory = np.empty((vectors + 1) * LANES, np.float32)
    room = (memory.ctypes.data + VECTOR_BYTES - 1) // VECTOR_BYTES * VECTOR_BYTES
    number = 0
    for sequence in range(len(sequences)):
        for first in range(0, sequences[sequence, 1], STRETCH):
            if begin <= number < end:
                for head in range(job.heads):
                    _forward(job, scale, sequences, sequence, head, first, room, half)
            number += 1
    memory[0] = 0  # otherwise Numba frees it after its last use by name


@jit("void", WINDOW_JOB, "float64", I64_MATRIX, "int64", "int64")
def forward(job, scale, sequences, begin, end):
    """Compute the results of stretches ``begin`` to ``end``, counted over all sequences.

    Args:
        job: a :class:`WindowJob`.
        scale: factor of the scores.
        sequences: first query row, queries, first key row and keys of each sequence.
        begin, end: numbers of stretches.
    """
    _stretches(job, scale, sequences, begin, end, None)


@jit("void", WINDOW_JOB, "float64", I64_MATRIX, "int64", "int64")
def forward_bf16(job, scale, sequences, begin, end):
    """Do the same with products of bfloat16, where the processor has them (``llvm.DOT_BF16``).

    Tensors are bfloat16, and 2 LANES divides ``dim``. Weights are rounded to bfloat16 as well.
    """
    _stretches(job, scale, sequences, begin, end, 0)
