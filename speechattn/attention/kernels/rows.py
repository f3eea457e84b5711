"""What layers do to rows beside products, on vectors: convolution, rotation, whole numbers.

Functions for code that Numba compiles, as in :mod:`speechattn.attention.kernels.primitives`, and that code. Each row is
computed the same, to the last bit, whatever rows stand beside it.

Steps between products, row by row, for inference in float32 on a CPU.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from llvmlite import ir
from llvmlite.ir import IRBuilder
from numba.extending import intrinsic
from torch import Tensor

from speechattn.attention.kernels import llvm
from speechattn.attention.kernels.llvm import (
    BYTES,
    LANES,
    call,
    floats,
    load,
    long,
    loop,
    spread,
    step,
    store,
)
from speechattn.attention.kernels.matmul import FLOAT_BYTES
from speechattn.attention.kernels.primitives import of_whole_numbers
from speechattn.attention.kernels.runtime import is_plain_cpu_tensor, parallel_for
from speechattn.jit import I64_ARRAY, I64_MATRIX, jit

SMALL = ir.VectorType(ir.IntType(8), LANES)


def _each_vector(b: IRBuilder, count, body: Callable) -> None:
    """``body(first)`` for vectors that cover ``count`` numbers, LANES or more; the last may lie
    over the one before, so that what is there is computed once more."""

    def vector(number, _):
        first, last = b.mul(number, long(LANES)), b.sub(count, long(LANES))
        body(b.select(b.icmp_signed("<", first, last), first, last))
        return ()

    vectors = b.sdiv(b.add(count, long(LANES - 1)), long(LANES))
    loop(b, vectors, [], vector)


@intrinsic
def convolve(context, out, x, x_row, taps, weight, bias, channels):
    """One row: out[c] = y / (1 + exp(-y)), y = bias[c] + sum over t < taps of x[t, c] * weight[t, c].

    The rows of weights lie next to each other; ``channels``: LANES or more.
    """

    def code(b: IRBuilder, out, x, x_row, taps, weight, bias, channels):
        weight_row = b.mul(channels, long(FLOAT_BYTES))

        def vector(first):
            shift = b.mul(first, long(FLOAT_BYTES))

            def tap(t, values):
                pair = ((x, x_row), (weight, weight_row))
                read = [load(b, b.add(step(b, at, t, row), shift)) for at, row in pair]
                return (call(b, "fma", *read, values[0]),)

            (y,) = loop(b, taps, [load(b, b.add(bias, shift))], tap)
            power = b.fmul(y, floats(-math.log2(math.e)))
            most = floats(126.0)
            power = b.select(b.fcmp_ordered(">", power, most), most, power)
            below = b.fadd(llvm.exp2(b, power), floats(1.0))
            store(b, b.fdiv(y, below), b.add(out, shift))

        _each_vector(b, channels, vector)

    return of_whole_numbers(7, code)


@intrinsic
def round_row(context, out, x, per_step, count, zero):
    """Bytes: the nearest whole numbers to x * per_step + zero, from 0 to 255.

    ``count``: LANES or more.
    """

    def code(b: IRBuilder, out, x, per_step, count, zero):
        shift = b.fadd(spread(b, b.sitofp(zero, llvm.F32)), floats(0.5))

        def vector(first):
            read = [load(b, step(b, at, first, FLOAT_BYTES)) for at in (x, per_step)]
            near = b.fadd(b.fmul(*read), shift)
            near = b.select(b.fcmp_ordered(">", near, floats(0.0)), near, floats(0.0))
            near = b.select(b.fcmp_ordered("<", near, floats(255.0)), near, floats(255.0))
            small = b.trunc(b.fptosi(near, llvm.INTS), SMALL)
            store(b, small, b.add(out, first))

        _each_vector(b, count, vector)

    return of_whole_numbers(5, code)


@intrinsic
def rotate_pairs(context, out, x, cos, sin, half):
    """out[i] = x[i] cos[i] + x[j] sin[i], and out[j] = x[j] cos[j] + x[i] sin[j], of j = i + half.

    LANES divide ``half``.
    """

    def code(b: IRBuilder, out, x, cos, sin, half):
        def vector(number, _):
            first = b.mul(number, long(BYTES))
            second = step(b, first, half, FLOAT_BYTES)
            low, high = (load(b, b.add(x, shift)) for shift in (first, second))
            for shift, own, other in ((first, low, high), (second, high, low)):
                turned = b.fmul(own, load(b, b.add(cos, shift)))
                turned = call(b, "fma", other, load(b, b.add(sin, shift)), turned)
                store(b, turned, b.add(out, shift))
            return ()

        loop(b, b.sdiv(half, long(LANES)), [], vector)

    return of_whole_numbers(5, code)


@jit("void", *["int64"] * 7, I64_ARRAY, "int64", "int64")
def rotate_rows(x, x_row, out, heads, d, cos, sin, sizes, begin, end):
    """Rotate vectors of sequences ``begin`` to ``end``, laid end to end.

    Row n of each is turned by row n of the tables.
    """
    first = 0
    for sequence in range(end):
        for i in range(sizes[sequence] if sequence >= begin else 0):
            shift = FLOAT_BYTES * i * d
            for head in range(heads):
                at = x + (first + i) * x_row + FLOAT_BYTES * head * d
                to = out + FLOAT_BYTES * d * ((first + i) * heads + head)
                rotate_pairs(to, at, cos + shift, sin + shift, d // 2)
        first += sizes[sequence]


@jit("void", *["int64"] * 8, I64_MATRIX, "int64", "int64")
def convolve_rows(x, x_row, out, weight, bias, taps, channels, before, sequences, begin, end):
    """Convolve sequences ``begin`` to ``end``; an output sees ``before`` rows before its own.

    Args:
        sequences: first row and rows of x, first row and rows of out. Beyond the rows of x there
            are zeros.
    """
    for sequence in range(begin, end):
        first, rows, first_out, count = sequences[sequence]
        for i in range(count):
            a, z = max(0, before - i), min(taps, rows + before - i)
            to = out + (first_out + i) * FLOAT_BYTES * channels
            of = x + (first + i + a - before) * x_row
            convolve(to, of, x_row, z - a, weight + a * FLOAT_BYTES * channels, bias, channels)


@jit("void", *["int64"] * 8)
def round_rows(x, x_row, rows, per_step, count, zero, out, all_rows):
    """Whole numbers of rows, the last of them as often as ``all_rows`` needs; :func:`round_row`."""
    for row in range(all_rows):
        of = x + min(row, rows - 1) * x_row
        round_row(out + row * count, of, per_step, count, zero)


def end_to_end(sizes: Sequence[int]) -> np.ndarray:
    """First row and rows of each sequence, and the same of what comes out, int64, shape (n, 4)."""
    size = np.array(sizes, np.int64)
    first = size.cumsum() - size
    return np.stack([first, size, first, size], 1)


def is_offered(x: Tensor, *others: Tensor) -> bool:
    """Whether rows like these, shape (..., numbers), are computed here, with other tensors."""
    if torch.is_grad_enabled() or x.shape[-1] < LANES:
        return False
    return all(y.dtype == torch.float32 for y in (x, *others)) and is_plain_cpu_tensor(x, *others)


def can_rotate(x: Tensor, cos: Tensor, sin: Tensor) -> bool:
    """Whether :func:`rotated` can do it."""
    return is_offered(x, cos, sin) and x.shape[-1] % (2 * LANES) == 0


def rotated(x: Tensor, cos: Tensor, sin: Tensor, sizes: Sequence[int]) -> Tensor:
    """What :func:`speechattn.attention.positions.rotate` gives for every sequence.

    Args:
        x: shape (1, rows, heads, d), of sequences laid end to end.
        cos, sin: shape (rows of the longest or more, 1, d).
        sizes: rows of each sequence.
    """
    heads, d = x.shape[2:]
    if x.stride()[2:] != (d, 1):
        x = x.clone(memory_format=torch.contiguous_format)
    cos, sin = cos.contiguous(), sin.contiguous()
    out = torch.empty(x.shape, dtype=torch.float32, device="cpu")
    table = np.array(sizes, np.int64)
    place = x.data_ptr(), FLOAT_BYTES * x.stride(1), out.data_ptr(), heads, d
    code = functools.partial(rotate_rows, *place, cos.data_ptr(), sin.data_ptr(), table)
    parallel_for(code, len(sizes), x.numel(), (x, out, cos, sin))
    return out


def convolved(
    x: Tensor, weight: Tensor, bias: Tensor, before: int, sequences: np.ndarray
) -> Tensor:
    """silu(bias + sum over t of x[i - before + t] * weight[t]) for rows i of sequences.

    Args:
        x: shape (rows, channels).
        weight: shape (taps, channels).
        bias: shape (channels,).
        before: rows before its own that an output sees.
        sequences: first row and rows of x, first row and rows of what comes out, int64, shape
            (sequences, 4); all rows that come out lie in one of them. Beyond its rows of x a
            sequence has zeros.

    Returns:
        Shape (rows, channels).

    Raises:
        ValueError: if the rows have another width than the weights.
    """
    taps, channels = weight.shape
    if x.shape[-1] != channels:
        raise ValueError(f"x: shape {tuple(x.shape)}; {channels} channels have weights")
    x, weight, bias = x.contiguous(), weight.contiguous(), bias.contiguous()
    rows = int(sequences[:, 3].sum())
    out = torch.empty(rows, channels, dtype=torch.float32, device="cpu")
    place = x.data_ptr(), FLOAT_BYTES * channels, out.data_ptr(), weight.data_ptr(), bias.data_ptr()
    code = functools.partial(convolve_rows, *place, taps, channels, before, sequences)
    parallel_for(code, len(sequences), rows * channels * taps, (x, out, weight, bias))
    return out
