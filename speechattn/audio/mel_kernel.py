"""Mel energies of windows of samples, compiled for the processor of this machine.

``LANES`` frames are computed side by side, one in each lane of a vector, so that every step of the
Fourier transform is one instruction for all of them, and a frame gives the same numbers, to the
last bit, whatever frames are beside it.

The real transform of 512 numbers is the complex one of 256 pairs (four passes of radix 4, in
Stockham's order; Van Loan 1992, "Computational frameworks for the fast Fourier transform") and a
step that takes the spectra of even and odd samples apart.
"""

from __future__ import annotations

import functools

import numpy as np
from llvmlite.ir import IRBuilder
from numba import types
from numba.extending import intrinsic

from speechattn.attention.kernels.llvm import (
    F32,
    FLOAT_BYTES,
    LANES,
    VECTOR_BYTES,
    broadcast,
    call,
    element,
    f32,
    i32,
    i64,
    load,
    loop,
    store,
)
from speechattn.attention.kernels.norms import across
from speechattn.attention.kernels.primitives import transpose_rows, void_intrinsic
from speechattn.attention.kernels.threads import Fixed, address, parallel_for
from speechattn.jit import I64_MATRIX, jit
from speechattn.segments import SHIFT_SAMPLES, WINDOW_SAMPLES

FFT_SIZE = 512  # samples, the next power of two above the window
HALF = FFT_SIZE // 2  # bins below Nyquist, and complex numbers of the transform
RADIX = 4
TWIDDLES = 2 * (RADIX - 1)  # numbers for each butterfly
WORK = 20_000  # multiplications of a frame, roughly


@intrinsic
def window_row(context, out, x, window, subtract, preemphasis):
    """Set out to the window times x, without its mean if ``subtract``, with pre-emphasis.

    y[j] = window[j] * (x[j] - preemphasis * x[j - 1]); before x[0] is x[0] again.
    """

    def code(b: IRBuilder, out, x, window, subtract, preemphasis):
        count = i64(WINDOW_SAMPLES // LANES)

        def at(number):
            return element(b, x, number, VECTOR_BYTES)

        (total,) = loop(
            b, count, [f32(0.0)], lambda number, sums: (b.fadd(sums[0], load(b, at(number))),)
        )
        mean = b.fmul(across(b, total), f32(1 / WINDOW_SAMPLES))
        mean = b.select(b.icmp_signed("!=", subtract, i64(0)), mean, f32(0.0))
        factor = broadcast(b, preemphasis)

        def emphasise(number, read, previous):
            y = b.fsub(b.fsub(read, mean), b.fmul(factor, b.fsub(previous, mean)))
            shift = b.mul(number, i64(VECTOR_BYTES))
            store(b, b.fmul(y, load(b, b.add(window, shift))), b.add(out, shift))

        first = load(b, x)
        emphasise(i64(0), first, b.shuffle_vector(first, first, i32([0, *range(LANES - 1)])))

        def vector(number, _):
            number = b.add(number, i64(1))
            emphasise(number, load(b, at(number)), load(b, b.sub(at(number), i64(FLOAT_BYTES))))
            return ()

        loop(b, b.sub(count, i64(1)), [], vector)

    return void_intrinsic(4, code, types.float32)


@intrinsic
def butterflies(context, to, of_real, of_imaginary, of_step, twiddles, m, s):
    """Do one pass: ``m * s`` butterflies.

    Args:
        to: HALF vectors of real parts, then as many of imaginary ones.
        of_real, of_imaginary: first vectors of the input.
        of_step: bytes from one to the next.
        twiddles: TWIDDLES numbers for each of the m.
    """

    def code(b: IRBuilder, to, of_real, of_imaginary, of_step, twiddles, m, s):
        def group(p, _):
            table = element(b, twiddles, p, FLOAT_BYTES * TWIDDLES)
            turns = [
                broadcast(b, load(b, b.add(table, i64(FLOAT_BYTES * n)), F32))
                for n in range(TWIDDLES)
            ]

            def one(q, _):
                read = []
                for k in range(RADIX):
                    number = b.add(q, b.mul(s, b.add(p, b.mul(m, i64(k)))))
                    shift = b.mul(number, of_step)
                    read.append([load(b, b.add(of, shift)) for of in (of_real, of_imaginary)])
                (ar, ai), (br, bi), (cr, ci), (dr, di) = read
                sum_ac, apart_ac = (
                    (b.fadd(ar, cr), b.fadd(ai, ci)),
                    (b.fsub(ar, cr), b.fsub(ai, ci)),
                )
                sum_bd = b.fadd(br, dr), b.fadd(bi, di)
                turned = b.fsub(di, bi), b.fsub(br, dr)  # i (b - d)
                found = [
                    [b.fadd(x, y) for x, y in zip(sum_ac, sum_bd)],
                    [b.fsub(x, y) for x, y in zip(apart_ac, turned)],
                    [b.fsub(x, y) for x, y in zip(sum_ac, sum_bd)],
                    [b.fadd(x, y) for x, y in zip(apart_ac, turned)],
                ]
                at = b.add(q, b.mul(s, b.mul(p, i64(RADIX))))
                for k, (real, imaginary) in enumerate(found):
                    if k:
                        wr, wi = turns[2 * k - 2 : 2 * k]
                        real, imaginary = (
                            b.fsub(b.fmul(real, wr), b.fmul(imaginary, wi)),
                            b.fadd(b.fmul(real, wi), b.fmul(imaginary, wr)),
                        )
                    place = element(b, to, b.add(at, b.mul(s, i64(k))), VECTOR_BYTES)
                    store(b, real, place)
                    store(b, imaginary, b.add(place, i64(HALF * VECTOR_BYTES)))
                return ()

            loop(b, s, [], one)
            return ()

        loop(b, m, [], group)

    return void_intrinsic(7, code)


@intrinsic
def four_powers(context, to, of, turns):
    """Set ``to`` to four times the power in each of the HALF bins of the real transform.

    Args:
        of: the complex transform of pairs, as :func:`butterflies` leaves it.
        turns: cosine and negative sine of each bin's angle.
    """

    def code(b: IRBuilder, to, of, turns):
        def bin_of(number, _):
            mirror = b.and_(b.sub(i64(HALF), number), i64(HALF - 1))
            (ar, ai), (br, bi) = (
                [load(b, b.add(element(b, of, at, VECTOR_BYTES), i64(part)))
                 for part in (0, HALF * VECTOR_BYTES)]
                for at in (number, mirror)
            )  # fmt: skip
            even_r, even_i = b.fadd(ar, br), b.fsub(ai, bi)
            odd_r, odd_i = b.fadd(ai, bi), b.fsub(br, ar)
            table = element(b, turns, number, 2 * FLOAT_BYTES)
            wr, wi = (
                broadcast(b, load(b, b.add(table, i64(FLOAT_BYTES * n)), F32)) for n in range(2)
            )
            real = b.fadd(even_r, b.fsub(b.fmul(wr, odd_r), b.fmul(wi, odd_i)))
            imaginary = b.fadd(even_i, b.fadd(b.fmul(wr, odd_i), b.fmul(wi, odd_r)))
            power = b.fadd(b.fmul(real, real), b.fmul(imaginary, imaginary))
            store(b, power, element(b, to, number, VECTOR_BYTES))
            return ()

        loop(b, i64(HALF), [], bin_of)

    return void_intrinsic(3, code)


@intrinsic
def weighted_sum(context, out, x, weights, count):
    """Set the vector out to the sum of ``count`` vectors, each times its weight."""

    def code(b: IRBuilder, out, x, weights, count):
        def add(number, sums):
            weight = broadcast(b, load(b, element(b, weights, number, FLOAT_BYTES), F32))
            return (call(b, "fma", weight, load(b, element(b, x, number, VECTOR_BYTES)), sums[0]),)

        (total,) = loop(b, count, [f32(0.0)], add)
        store(b, total, out)

    return void_intrinsic(4, code)


@jit("void", *["int64"] * 4, "float32", *["int64"] * 3, I64_MATRIX, *["int64"] * 3)
def mel_groups(
    samples, window, frames, subtract, preemphasis, twiddles, turns, weights, filters, out,
    begin, end,
):  # fmt: skip
    """Compute the groups ``begin`` to ``end`` of LANES frames.

    Args:
        samples: of the first frame, float32.
        window: float32.
        frames: how many there are.
        subtract, preemphasis: see :func:`window_row`.
        twiddles: of all passes, one after the other.
        turns: see :func:`four_powers`.
        weights: of all filters, one after the other.
        filters: first bin, number of bins and first weight of each filter.
        out: of each group, a vector for each filter.
    """
    width = LANES * FFT_SIZE
    memory = np.zeros(3 * width + LANES * WINDOW_SAMPLES + LANES, np.float32)
    lanes = (memory.ctypes.data + VECTOR_BYTES - 1) // VECTOR_BYTES * VECTOR_BYTES
    one, two = lanes + FLOAT_BYTES * width, lanes + 2 * FLOAT_BYTES * width
    rows = lanes + 3 * FLOAT_BYTES * width
    row = FLOAT_BYTES * WINDOW_SAMPLES
    for group in range(begin, end):
        first = group * LANES
        count = min(LANES, frames - first)
        for n in range(count):
            of = samples + (first + n) * FLOAT_BYTES * SHIFT_SAMPLES
            window_row(rows + n * row, of, window, subtract, preemphasis)
        transpose_rows(lanes, rows, row, count, WINDOW_SAMPLES)
        table = twiddles
        butterflies(one, lanes, lanes + VECTOR_BYTES, 2 * VECTOR_BYTES, table, HALF // 4, 1)
        table += FLOAT_BYTES * TWIDDLES * HALF // 4
        butterflies(two, one, one + HALF * VECTOR_BYTES, VECTOR_BYTES, table, HALF // 16, 4)
        table += FLOAT_BYTES * TWIDDLES * HALF // 16
        butterflies(one, two, two + HALF * VECTOR_BYTES, VECTOR_BYTES, table, HALF // 64, 16)
        table += FLOAT_BYTES * TWIDDLES * HALF // 64
        butterflies(two, one, one + HALF * VECTOR_BYTES, VECTOR_BYTES, table, 1, 64)
        four_powers(one, two, turns)
        for number in range(len(filters)):
            lowest, bins, start = filters[number]
            to = out + VECTOR_BYTES * (group * len(filters) + number)
            weighted_sum(to, one + VECTOR_BYTES * lowest, weights + FLOAT_BYTES * start, bins)
    memory[0] = 0  # otherwise Numba frees it after its last use by name


class MelKernel:
    """Windows and filters, laid out.

    Args:
        window: shape (400,).
        filters: weights over the bins below Nyquist, shape (filters, 256).
        subtract: whether the mean of every window is subtracted.
        preemphasis: coefficient; 0 for none.
    """

    def __init__(
        self, window: np.ndarray, filters: np.ndarray, subtract: bool, preemphasis: float
    ) -> None:
        self._window = Fixed(window.astype(np.float32))
        self._subtract, self._preemphasis = int(subtract), np.float32(preemphasis)
        table, weights = [], []
        for row in filters:
            bins = row.nonzero()[0]
            lowest, count = (bins[0], bins[-1] + 1 - bins[0]) if len(bins) else (0, 0)
            table.append((lowest, count, sum(map(len, weights))))
            weights.append(row[lowest : lowest + count])
        self._filters = np.array(table, np.int64).reshape(-1, 3)
        self._weights = Fixed((np.concatenate(weights) / 4).astype(np.float32))  # of four powers
        self._twiddles = Fixed(np.concatenate([_twiddles(HALF >> 2 * n) for n in range(4)]))
        self._turns = Fixed(_parts(np.exp(-2j * np.pi * np.arange(HALF) / FFT_SIZE)))

    def __call__(self, samples: np.ndarray, count: int) -> np.ndarray:
        """Return the energies of consecutive frames.

        Args:
            samples: float32, contiguous, (count - 1) * 160 + 400 of them or more.
            count: number of frames.

        Returns:
            float32, shape (count, filters).
        """
        groups, size = -(-count // LANES), len(self._filters)
        out = np.empty((groups, size, LANES), np.float32)
        tables = (each.address for each in (self._twiddles, self._turns, self._weights))
        run = functools.partial(
            mel_groups, address(samples), self._window.address, count, self._subtract,
            self._preemphasis, *tables, self._filters, address(out),
        )  # fmt: skip
        parallel_for(run, groups, count * WORK, (samples, out, self))
        return out.transpose(0, 2, 1).reshape(-1, size)[:count]


def _twiddles(n: int) -> np.ndarray:
    """Return the numbers that a pass over transforms of n turns its results by."""
    powers = np.outer(np.arange(n // RADIX), np.arange(1, RADIX))
    return _parts(np.exp(-2j * np.pi * powers / n))


def _parts(values: np.ndarray) -> np.ndarray:
    """Return real and imaginary parts in turn, float32."""
    return np.ascontiguousarray(values.ravel()).view(np.float64).astype(np.float32)
