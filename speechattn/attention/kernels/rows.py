"""Operations on rows other than products: convolution, rotation, GELU, rounding to bytes.

For inference on CPUs. First come functions for code that Numba compiles, as in
:mod:`speechattn.attention.kernels.primitives`, then that code, then its faces for tensors
(:mod:`speechattn.attention.kernels.norms` has some for arrays). Each row
gives the same result, to the last bit, whatever rows are computed with it.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from llvmlite import ir
from llvmlite.ir import IRBuilder
from numba.extending import intrinsic

from speechattn.attention.kernels import llvm
from speechattn.attention.kernels.llvm import (
    FLOAT_BYTES,
    LANES,
    VECTOR_BYTES,
    broadcast,
    call,
    element,
    f32,
    i64,
    load,
    loop,
    store,
)
from speechattn.attention.kernels.primitives import void_intrinsic
from speechattn.attention.kernels.threads import parallel_for
from speechattn.jit import I64_ARRAY, I64_MATRIX, jit

if TYPE_CHECKING:
    from torch import Tensor

BYTE_VECTOR = ir.VectorType(ir.IntType(8), LANES)

# The normal distribution's share below x is 1/2 + u P(u^2), u = x / GELU_END, as far as GELU_END,
# where it is 1. This P keeps the largest error of x times it least: 0.00013.
GELU_END = 4.0
GELU = (
    *(1.5927453, -4.16408037, 9.25652974, -14.46305919),
    *(15.04496175, -9.68655725, 3.38938159, -0.46992158),
)


def _each_vector(b: IRBuilder, count, body: Callable) -> None:
    """Emit ``body(first)`` for vectors that cover ``count`` numbers, LANES or more.

    The last vector may overlap the one before; the overlap is then computed twice.
    """

    def vector(number, _):
        first, last = b.mul(number, i64(LANES)), b.sub(count, i64(LANES))
        body(b.select(b.icmp_signed("<", first, last), first, last))
        return ()

    vectors = b.sdiv(b.add(count, i64(LANES - 1)), i64(LANES))
    loop(b, vectors, [], vector)


@intrinsic
def convolve(context, out, x, x_row, taps, weight, bias, channels):
    """Compute one row of a depthwise convolution and a SiLU.

        y[c] = bias[c] + sum over t < taps of x[t, c] * weight[t, c],    out[c] = y / (1 + exp(-y))

    The rows of weights lie next to each other; ``channels`` is LANES or more.
    """

    def code(b: IRBuilder, out, x, x_row, taps, weight, bias, channels):
        weight_row = b.mul(channels, i64(FLOAT_BYTES))

        def vector(first):
            shift = b.mul(first, i64(FLOAT_BYTES))

            def tap(t, values):
                pair = ((x, x_row), (weight, weight_row))
                read = [load(b, b.add(element(b, at, t, row), shift)) for at, row in pair]
                return (call(b, "fma", *read, values[0]),)

            (y,) = loop(b, taps, [load(b, b.add(bias, shift))], tap)
            power = b.fmul(y, f32(-math.log2(math.e)))
            most = f32(126.0)
            power = b.select(b.fcmp_ordered(">", power, most), most, power)
            below = b.fadd(llvm.exp2(b, power), f32(1.0))
            store(b, b.fdiv(y, below), b.add(out, shift))

        _each_vector(b, channels, vector)

    return void_intrinsic(7, code)


def _between(b: IRBuilder, x, low: float, high: float):
    """Return x, or the limit that it is beyond."""
    x = b.select(b.fcmp_ordered(">", x, f32(low)), x, f32(low))
    return b.select(b.fcmp_ordered("<", x, f32(high)), x, f32(high))


def gelu_of(b: IRBuilder, x):
    """Return the GELU of a vector, to 0.00013."""
    x = b.select(b.fcmp_ordered(">", x, f32(-GELU_END)), x, f32(-GELU_END))
    u = b.select(b.fcmp_ordered("<", x, f32(GELU_END)), x, f32(GELU_END))
    u = b.fmul(u, f32(1 / GELU_END))
    square = b.fmul(u, u)
    value = f32(GELU[-1])
    for coefficient in reversed(GELU[:-1]):
        value = call(b, "fma", value, square, f32(coefficient))
    return b.fmul(x, call(b, "fma", value, u, f32(0.5)))


def as_bytes(b: IRBuilder, x):
    """Return the whole numbers up to those of a vector, from 0 to 255, as bytes."""
    return b.trunc(b.fptosi(_between(b, x, 0.0, 255.0), llvm.I32_VECTOR), BYTE_VECTOR)


def _rounding(activate: Callable) -> Callable:
    """Return code that rounds activated rows to bytes, see :func:`round_row`."""

    def code(b: IRBuilder, out, x, per_step, count, zero):
        shift = b.fadd(broadcast(b, b.sitofp(zero, llvm.F32)), f32(0.5))

        def vector(first):
            read, scale = (load(b, element(b, at, first, FLOAT_BYTES)) for at in (x, per_step))
            near = b.fadd(b.fmul(activate(b, read), scale), shift)
            store(b, as_bytes(b, near), b.add(out, first))

        _each_vector(b, count, vector)

    return code


@intrinsic
def round_row(context, out, x, per_step, count, zero):
    """Round x * per_step + zero to the nearest whole numbers from 0 to 255, as bytes.

    ``count`` is LANES or more.
    """
    return void_intrinsic(5, _rounding(lambda b, x: x))


@intrinsic
def round_gelu_row(context, out, x, per_step, count, zero):
    """Round gelu(x) * per_step + zero as :func:`round_row` does; the GELU is right to 0.00013."""
    return void_intrinsic(5, _rounding(gelu_of))


@intrinsic
def rotate_pairs(context, out, x, cos, sin, half):
    """Set out[i] = x[i] cos[i] + x[j] sin[i] and out[j] = x[j] cos[j] + x[i] sin[j], j = i + half.

    LANES divides ``half``.
    """

    def code(b: IRBuilder, out, x, cos, sin, half):
        def vector(number, _):
            first = b.mul(number, i64(VECTOR_BYTES))
            second = element(b, first, half, FLOAT_BYTES)
            low, high = (load(b, b.add(x, shift)) for shift in (first, second))
            for shift, own, other in ((first, low, high), (second, high, low)):
                turned = b.fmul(own, load(b, b.add(cos, shift)))
                turned = call(b, "fma", other, load(b, b.add(sin, shift)), turned)
                store(b, turned, b.add(out, shift))
            return ()

        loop(b, b.sdiv(half, i64(LANES)), [], vector)

    return void_intrinsic(5, code)


@jit("void", *["int64"] * 7, I64_ARRAY, "int64", "int64")
def rotate_rows(x, x_row, out, heads, d, cos, sin, lengths, begin, end):
    """Rotate the vectors of concatenated sequences, from sequence ``begin`` to ``end``.

    Row n of each is turned by row n of the tables.
    """
    first = 0
    for sequence in range(end):
        for i in range(lengths[sequence] if sequence >= begin else 0):
            shift = FLOAT_BYTES * i * d
            for head in range(heads):
                at = x + (first + i) * x_row + FLOAT_BYTES * head * d
                to = out + FLOAT_BYTES * d * ((first + i) * heads + head)
                rotate_pairs(to, at, cos + shift, sin + shift, d // 2)
        first += lengths[sequence]


@jit("void", *["int64"] * 8, I64_MATRIX, "int64", "int64")
def convolve_rows(x, x_row, out, weight, bias, taps, channels, before, sequences, begin, end):
    """Convolve the concatenated sequences ``begin`` to ``end``; see :func:`convolve_silu`."""
    for sequence in range(begin, end):
        first, rows, first_out, count = sequences[sequence]
        for i in range(count):
            a, z = max(0, before - i), min(taps, rows + before - i)
            to = out + (first_out + i) * FLOAT_BYTES * channels
            of = x + (first + i + a - before) * x_row
            convolve(to, of, x_row, z - a, weight + a * FLOAT_BYTES * channels, bias, channels)


@jit("void", *["int64"] * 9)
def round_rows(x, x_row, rows, per_step, count, zero, out, all_rows, gelu):
    """Round rows to bytes; repeat the last one to fill ``all_rows`` rows.

    See :func:`round_gelu_row` if ``gelu`` is not 0, otherwise :func:`round_row`.
    """
    for row in range(all_rows):
        of = x + min(row, rows - 1) * x_row
        if gelu:
            round_gelu_row(out + row * count, of, per_step, count, zero)
        else:
            round_row(out + row * count, of, per_step, count, zero)


def sequence_table(lengths: Sequence[int]) -> np.ndarray:
    """Return where concatenated sequences lie in input and output.

    Returns:
        First row and number of rows in the input, and the same in the output, int64, shape
        (sequences, 4).
    """
    length = np.array(lengths, np.int64)
    first = length.cumsum() - length
    return np.stack([first, length, first, length], 1)


def is_offered(x: Tensor, *others: Tensor) -> bool:
    """Return whether this module computes rows like x, shape (..., numbers), with other tensors."""
    import torch

    from speechattn.attention.kernels.runtime import is_plain_cpu_tensor

    if torch.is_grad_enabled() or x.shape[-1] < LANES:
        return False
    return all(y.dtype == torch.float32 for y in (x, *others)) and is_plain_cpu_tensor(x, *others)


def can_rotate(x: Tensor, cos: Tensor, sin: Tensor) -> bool:
    """Return whether :func:`rotate` can do it."""
    return is_offered(x, cos, sin) and x.shape[-1] % (2 * LANES) == 0


def rotate(x: Tensor, cos: Tensor, sin: Tensor, lengths: Sequence[int]) -> Tensor:
    """Apply :func:`speechattn.attention.positions.rotate` to each of the concatenated sequences.

    Args:
        x: shape (1, rows, heads, d).
        cos, sin: shape (rows of the longest sequence or more, 1, d).
        lengths: rows of each sequence.
    """
    import torch

    heads, d = x.shape[2:]
    if x.stride()[2:] != (d, 1):
        x = x.clone(memory_format=torch.contiguous_format)
    cos, sin = cos.contiguous(), sin.contiguous()
    out = torch.empty(x.shape, dtype=torch.float32, device="cpu")
    arguments = x.data_ptr(), FLOAT_BYTES * x.stride(1), out.data_ptr(), heads, d
    arguments += cos.data_ptr(), sin.data_ptr(), np.array(lengths, np.int64)
    run = functools.partial(rotate_rows, *arguments)
    parallel_for(run, len(lengths), x.numel(), (x, out, cos, sin))
    return out


def convolve_silu(
    x: Tensor, weight: Tensor, bias: Tensor, before: int, sequences: np.ndarray
) -> Tensor:
    """Return silu(bias + sum over t of x[i - before + t] * weight[t]) for the rows i of sequences.

    Args:
        x: shape (rows, channels).
        weight: shape (taps, channels).
        bias: shape (channels,).
        before: number of rows before its own that an output sees.
        sequences: where the sequences lie, see :func:`sequence_table`. Together they fill the
            output. Beyond its rows of x a sequence has zeros.

    Returns:
        Shape (rows, channels).

    Raises:
        ValueError: if the width of the rows is not that of the weights.
    """
    import torch

    taps, channels = weight.shape
    if x.shape[-1] != channels:
        raise ValueError(f"x: shape {tuple(x.shape)}; {channels} channels have weights")
    x, weight, bias = x.contiguous(), weight.contiguous(), bias.contiguous()
    rows = int(sequences[:, 3].sum())
    out = torch.empty(rows, channels, dtype=torch.float32, device="cpu")
    arguments = x.data_ptr(), FLOAT_BYTES * channels, out.data_ptr()
    arguments += weight.data_ptr(), bias.data_ptr(), taps, channels, before, sequences
    run = functools.partial(convolve_rows, *arguments)
    parallel_for(run, len(sequences), rows * channels * taps, (x, out, weight, bias))
    return out


def round_to_bytes(
    x: Tensor, per_step: Tensor, zero: int, all_rows: int, gelu: bool = False
) -> Tensor:
    """Round ``x * per_step + zero`` to the nearest whole numbers from 0 to 255.

    Args:
        x: float32, shape ([1,] rows, numbers), LANES numbers or more.
        per_step: shape (numbers,).
        zero: whole number that stands for 0.
        all_rows: number of rows to return, ``rows`` or more; the last one is repeated.
        gelu: whether the GELU of x (to 0.00013) takes its place.

    Returns:
        uint8, shape ([1,] all_rows, numbers).
    """
    import torch

    *before, rows, count = x.shape
    x = x.contiguous()
    out = torch.empty(*before, all_rows, count, dtype=torch.uint8, device="cpu")
    arguments = x.data_ptr(), FLOAT_BYTES * count, rows, per_step.data_ptr(), count, zero
    round_rows(*arguments, out.data_ptr(), all_rows, int(gelu))
    return out
