"""Attention in a window, forward and backward, compiled by Numba for the processor of this machine.

Queries are processed in *groups* of ``LANES`` (:mod:`speechattn.attention.kernels.primitives`):
small groups compute few scores outside the window, and their scores fit into the fastest memory.
Several groups make a *stretch*, which meets its keys ``KEYS`` at a time. So a window without limits
is no special case. (This is the order of Dao et al., 2022, "FlashAttention", whose running softmax
is used.) For gradients, only the highest score and the sum of each query are stored; the backward
pass computes the weights again, a stretch at a time.

All sums are in float32. Queries, keys and values in bfloat16 are converted a stretch at a time.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import types

from speechattn.attention.kernels import primitives
from speechattn.attention.kernels.llvm import BF16_BYTES, FLOAT_BYTES, LANES, VECTOR_BYTES
from speechattn.attention.kernels.matmul import matmul
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
        bias: address of the bias to the base 2, float32, shape (heads, LANES + left + 1 + right +
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
    row_max: int
    row_max_width: int
    inverse_sum_shift: int
    bias: int
    grad_out: int
    grad_out_stride: int
    grad_q: int
    grad_k: int
    grad_v: int
    grad_bias: int


WINDOW_JOB = types.NamedUniTuple(types.int64, len(WindowJob._fields), WindowJob)


@jit_inline
def head_rows(address, stride, first, count, head, dim, is_bf16, buffer):
    """Return address and stride of ``count`` rows of a head from ``first`` on, in float32.

    Rows in bfloat16 are converted into the buffer.
    """
    if not is_bf16:
        return address + first * stride + FLOAT_BYTES * head * dim, stride
    src = address + first * stride + BF16_BYTES * head * dim
    for i in range(count):
        primitives.widen_bf16(buffer + i * FLOAT_BYTES * dim, src + i * stride, dim)
    return buffer, FLOAT_BYTES * dim


@jit_inline
def group_keys(job, start, stop, first, count, group):
    """Return what a group does with the keys ``start`` to ``stop``.

    Returns:
        Its number of queries; its first query as a position among the keys; first and last key of
        its windows (exclusive) among these; and the limits of the first query's window, counted
        from the first of them, as :func:`primitives.softmax_step` needs them.
    """
    rows = min(LANES, count - group * LANES)
    query = first + group * LANES + job.offset
    begin, end = max(start, query - job.left), min(stop, query + rows + job.right)
    low, high = max(query - job.left - begin, -LANES), min(query + job.right - begin, KEYS)
    return rows, query, begin, end, low, high


@jit_inline
def bias_shift(job, table, query, key):
    """Return the bytes from the start of the biases to that of a query and a key."""
    width = job.left + 1 + job.right + 2 * LANES
    return FLOAT_BYTES * (table * width + LANES + query + job.right - key)


@jit_inline
def group_scores(job, head, query, begin, end, k, k_stride, queries, scores):
    """Compute the scores of a group with first query ``query``, for keys ``begin`` to ``end``."""
    matmul(
        scores, VECTOR_BYTES, k, k_stride, FLOAT_BYTES, queries, VECTOR_BYTES, end - begin, LANES,
        job.dim, 0, 0,
    )  # fmt: skip
    if job.bias:
        src = job.bias + bias_shift(job, head, query, begin)
        primitives.add_rows(scores, VECTOR_BYTES, src, -FLOAT_BYTES, end - begin)


@jit_inline
def _forward(job, scale, sequences, sequence, head, first, room):
    """Compute one head of the stretch that begins with query ``first``."""
    q_first, queries, k_first, keys = sequences[sequence]
    dim = job.dim
    bf16 = job.is_bf16
    row = FLOAT_BYTES * dim
    count = min(STRETCH, queries - first)
    groups = (count + LANES - 1) // LANES

    transposed = room
    result = transposed + STRETCH * row
    scores = result + STRETCH * row
    change = scores + KEYS * VECTOR_BYTES
    top = change + GROUPS * VECTOR_BYTES
    total = top + GROUPS * VECTOR_BYTES
    buffer = total + GROUPS * VECTOR_BYTES
    if job.row_max:
        number = sequence * job.heads + head
        top = job.row_max + FLOAT_BYTES * (number * job.row_max_width + first)
        total = top + job.inverse_sum_shift

    q, q_stride = head_rows(job.q, job.q_stride, q_first + first, count, head, dim, bf16, buffer)
    buffer += STRETCH * row
    for group in range(groups):
        rows = min(LANES, count - group * LANES)
        src = q + group * LANES * q_stride
        factor = np.float32(scale * LOG2_E)
        dst = transposed + group * LANES * row
        primitives.transpose_rows(dst, src, q_stride, rows, dim, factor)
    primitives.fill(top, groups, np.float32(-np.inf))
    primitives.fill(total, groups, np.float32(0))

    v_buffer = buffer + KEYS * row
    low = max(0, first + job.offset - job.left)
    high = min(keys, first + count + job.offset + job.right)
    for start in range(low, high, KEYS):
        stop = min(high, start + KEYS)
        size = stop - start
        key = k_first + start
        k, k_stride = head_rows(job.k, job.k_stride, key, size, head, dim, bf16, buffer)
        v, v_stride = head_rows(job.v, job.v_stride, key, size, head, dim, bf16, v_buffer)
        for group in range(groups):
            rows, query, a, z, lo, hi = group_keys(job, start, stop, first, count, group)
            if a >= z:
                continue
            group_k = k + (a - start) * k_stride
            group_q = transposed + group * LANES * row
            group_scores(job, head, query, a, z, group_k, k_stride, group_q, scores)
            lanes = group * VECTOR_BYTES
            primitives.softmax_step(scores, z - a, lo, hi, top + lanes, total + lanes, change)
            again = a > max(0, query - job.left)  # results of earlier keys are already summed
            dst = result + group * LANES * row
            if again:
                for i in range(rows):
                    factor = primitives.load_f32(change + FLOAT_BYTES * i)
                    primitives.scale_row(dst + i * row, dst + i * row, dim, 0, factor)
            group_v = v + (a - start) * v_stride
            begin = dst if again else 0
            matmul(
                dst, row, scores, FLOAT_BYTES, VECTOR_BYTES, group_v, v_stride, LANES, dim, z - a,
                begin, row,
            )  # fmt: skip

    size = BF16_BYTES if bf16 else FLOAT_BYTES
    for group in range(groups):
        primitives.invert(total + group * VECTOR_BYTES, min(LANES, count - group * LANES))
    for i in range(count):
        dst = job.out + (q_first + first + i) * job.out_stride + size * head * dim
        factor = primitives.load_f32(total + FLOAT_BYTES * i)
        primitives.scale_row(dst, result + i * row, dim, bf16, factor)


@jit("void", WINDOW_JOB, "float64", I64_MATRIX, "int64", "int64")
def forward(job, scale, sequences, begin, end):
    """Compute the results of stretches ``begin`` to ``end``, counted over all sequences.

    Args:
        job: a :class:`WindowJob`.
        scale: factor of the scores.
        sequences: first query row, queries, first key row and keys of each sequence.
        begin, end: numbers of stretches.
    """
    vectors = job.dim * (STRETCH + STRETCH) // LANES + KEYS + 3 * GROUPS
    vectors += job.is_bf16 * job.dim * (STRETCH + 2 * KEYS) // LANES
    memory = np.empty((vectors + 1) * LANES, np.float32)
    room = (memory.ctypes.data + VECTOR_BYTES - 1) // VECTOR_BYTES * VECTOR_BYTES
    number = 0
    for sequence in range(len(sequences)):
        for first in range(0, sequences[sequence, 1], STRETCH):
            if begin <= number < end:
                for head in range(job.heads):
                    _forward(job, scale, sequences, sequence, head, first, room)
            number += 1
    memory[0] = 0  # otherwise Numba frees it after its last use by name


@jit_inline
def _backward(job, scale, sequences, sequence, head, first, room):
    """Add to the gradients of a head the part of the stretch that begins with query ``first``."""
    q_first, queries, k_first, keys = sequences[sequence]
    dim = job.dim
    bf16 = job.is_bf16
    row = FLOAT_BYTES * dim
    count = min(STRETCH, queries - first)
    groups = (count + LANES - 1) // LANES

    transposed = room
    transposed_grad = transposed + STRETCH * row
    result = transposed_grad + STRETCH * row
    scores = result + STRETCH * row
    gradient = scores + KEYS * VECTOR_BYTES
    mean = gradient + KEYS * VECTOR_BYTES
    buffer = mean + GROUPS * VECTOR_BYTES
    top = job.row_max + FLOAT_BYTES * ((sequence * job.heads + head) * job.row_max_width + first)
    inverse_sum = top + job.inverse_sum_shift

    first_row = q_first + first
    q, q_stride = head_rows(job.q, job.q_stride, first_row, count, head, dim, bf16, buffer)
    buffer += STRETCH * row
    g, g_stride = head_rows(
        job.grad_out, job.grad_out_stride, first_row, count, head, dim, bf16, buffer
    )
    buffer += STRETCH * row
    out, out_stride = head_rows(job.out, job.out_stride, first_row, count, head, dim, bf16, buffer)
    buffer += STRETCH * row
    primitives.fill(mean, groups, np.float32(0))
    for i in range(count):
        primitives.dot(mean + FLOAT_BYTES * i, out + i * out_stride, g + i * g_stride, dim)
    for group in range(groups):
        rows = min(LANES, count - group * LANES)
        shift = group * LANES * row
        factor = np.float32(scale * LOG2_E)
        src = q + group * LANES * q_stride
        primitives.transpose_rows(transposed + shift, src, q_stride, rows, dim, factor)
        src = g + group * LANES * g_stride
        primitives.transpose_rows(transposed_grad + shift, src, g_stride, rows, dim, np.float32(1))

    v_buffer = buffer + KEYS * row
    low = max(0, first + job.offset - job.left)
    high = min(keys, first + count + job.offset + job.right)
    grad_stride = job.heads * row
    for start in range(low, high, KEYS):
        stop = min(high, start + KEYS)
        size = stop - start
        key = k_first + start
        k, k_stride = head_rows(job.k, job.k_stride, key, size, head, dim, bf16, buffer)
        v, v_stride = head_rows(job.v, job.v_stride, key, size, head, dim, bf16, v_buffer)
        for group in range(groups):
            rows, query, a, z, lo, hi = group_keys(job, start, stop, first, count, group)
            if a >= z:
                continue
            n = z - a
            shift = group * LANES * row
            lanes = group * VECTOR_BYTES
            group_k = k + (a - start) * k_stride
            group_scores(job, head, query, a, z, group_k, k_stride, transposed + shift, scores)
            primitives.softmax_again(scores, n, lo, hi, top + lanes, inverse_sum + lanes)
            group_v = v + (a - start) * v_stride
            matmul(
                gradient, VECTOR_BYTES, group_v, v_stride, FLOAT_BYTES, transposed_grad + shift,
                VECTOR_BYTES, n, LANES, dim, 0, 0,
            )  # fmt: skip
            primitives.softmax_backward(scores, gradient, n, mean + lanes, np.float32(scale))
            if job.grad_bias:
                table = sequence * job.heads + head
                dst = job.grad_bias + bias_shift(job, table, query, a)
                primitives.add_rows(dst, -FLOAT_BYTES, gradient, VECTOR_BYTES, n)
            dst = result + shift
            begin = dst if a > max(0, query - job.left) else 0  # earlier keys are already summed
            matmul(
                dst, row, gradient, FLOAT_BYTES, VECTOR_BYTES, group_k, k_stride, LANES, dim, n,
                begin, row,
            )  # fmt: skip
            key_shift = (k_first + a) * grad_stride + head * row
            dst, src = job.grad_v + key_shift, g + group * LANES * g_stride
            matmul(
                dst, grad_stride, scores, VECTOR_BYTES, FLOAT_BYTES, src, g_stride, n, dim, rows,
                dst, grad_stride,
            )  # fmt: skip
            dst, src = job.grad_k + key_shift, q + group * LANES * q_stride
            matmul(
                dst, grad_stride, gradient, VECTOR_BYTES, FLOAT_BYTES, src, q_stride, n, dim, rows,
                dst, grad_stride,
            )  # fmt: skip

    size = BF16_BYTES if bf16 else FLOAT_BYTES
    for i in range(count):
        dst = job.grad_q + size * ((q_first + first + i) * job.heads + head) * dim
        primitives.scale_row(dst, result + i * row, dim, bf16, np.float32(1))


@jit("void", WINDOW_JOB, "float64", I64_MATRIX, "int64", "int64")
def backward(job, scale, sequences, begin, end):
    """Compute the gradients of heads ``begin`` to ``end``, counted over all sequences.

    It needs what :func:`forward` stored. See there for the other arguments.
    """
    vectors = job.dim * 3 * STRETCH // LANES + 2 * KEYS + GROUPS
    vectors += job.is_bf16 * job.dim * (3 * STRETCH + 2 * KEYS) // LANES
    memory = np.empty((vectors + 1) * LANES, np.float32)
    room = (memory.ctypes.data + VECTOR_BYTES - 1) // VECTOR_BYTES * VECTOR_BYTES
    for number in range(begin, end):
        sequence, head = number // job.heads, number % job.heads
        for first in range(0, sequences[sequence, 1], STRETCH):
            _backward(job, scale, sequences, sequence, head, first, room)
    memory[0] = 0  # otherwise Numba frees it after its last use by name
