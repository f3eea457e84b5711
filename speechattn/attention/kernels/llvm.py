"""Vectors of the processor for functions that Numba compiles: what LLVM needs to be told of them.

Numba turns loops over arrays into vectors only where it can prove much about them, and keeps no sums
in registers from one loop to the next. Products of small matrices are fast only if both happen, so
their code is written here as LLVM builds it, operation by operation; :mod:`speechattn.attention.kernels.primitives` makes
functions of it. Addresses are bytes, as whole numbers of 64 bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numba
from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from llvmlite.ir import IRBuilder, Value

F32, BF16 = ir.FloatType(), ir.IntType(16)
I32, I64 = ir.IntType(32), ir.IntType(64)


def _is_wide() -> bool:
    """Whether code will be made for a processor with registers of 512 bits."""
    told = numba.config.CPU_FEATURES  # in place of those of the processor
    if told is not None:
        return "+avx512f" in told
    return numba.config.CPU_NAME is None and bool(get_host_cpu_features().get("avx512f"))


WIDE = _is_wide()
LANES = 16 if WIDE else 8  # numbers of a vector; where registers are shorter, LLVM takes several
BYTES = 4 * LANES  # of a vector of floats

FLOATS, HALVES = ir.VectorType(F32, LANES), ir.VectorType(BF16, LANES)
INTS = ir.VectorType(I32, LANES)

# 2^x from -1/2 to 1/2, best polynomial of degree 6: relative error 2e-8 before rounding.
EXP2 = (1.0, 0.69314718, 0.24022646, 0.055503286, 0.0096184891, 0.0013399931, 0.00015345808)


def long(value: int) -> Value:
    """A whole number of 64 bits."""
    return ir.Constant(I64, value)


def floats(value: float) -> Value:
    """A vector of one number."""
    return ir.Constant(FLOATS, [value] * LANES)


def ints(values: Sequence[int] | int) -> Value:
    """A vector of whole numbers of 32 bits, or of one of them."""
    return ir.Constant(INTS, [values] * LANES if isinstance(values, int) else list(values))


def step(b: IRBuilder, address: Value, number: Value | int, size: Value | int) -> Value:
    """The address ``number`` times ``size`` bytes further on."""
    number, size = (long(x) if isinstance(x, int) else x for x in (number, size))
    return b.add(address, b.mul(number, size))


def load(b: IRBuilder, address: Value, kind: ir.Type = FLOATS) -> Value:
    """What lies at an address, which need not be a multiple of anything."""
    return b.load(b.inttoptr(address, kind.as_pointer()), align=2)


def store(b: IRBuilder, value: Value, address: Value) -> None:
    """Write to an address."""
    b.store(value, b.inttoptr(address, value.type.as_pointer()), align=2)


def spread(b: IRBuilder, value: Value) -> Value:
    """A vector of one number, a float or a whole one."""
    kind = ir.VectorType(value.type, LANES)
    nothing = ir.Constant(kind, ir.Undefined)
    one = b.insert_element(nothing, value, I32(0))
    return b.shuffle_vector(one, nothing, ints(0))


def call(b: IRBuilder, name: str, *arguments: Value) -> Value:
    """A function that LLVM knows for vectors of floats: ``fma``, ``rint``, ``maxnum``."""
    full = f"llvm.{name}.v{LANES}f32"
    function = b.module.globals.get(full)
    if function is None:
        kind = ir.FunctionType(FLOATS, [FLOATS] * len(arguments))
        function = ir.Function(b.module, kind, full)
    return b.call(function, arguments)


def loop(
    b: IRBuilder,
    count: Value,
    start: Sequence[Value],
    body: Callable[[Value, list[Value]], Sequence[Value]],
) -> list[Value]:
    """``body(number, values)`` for every number below ``count``; it gives the next values.

    Returns:
        The last values; those of the start if there is no number.
    """
    before, inside = b.block, b.append_basic_block("loop")
    after = b.append_basic_block("after")
    b.cbranch(b.icmp_signed(">", count, long(0)), inside, after)
    b.position_at_end(inside)
    number = b.phi(I64)
    number.add_incoming(long(0), before)
    values = [b.phi(value.type) for value in start]
    for value, first in zip(values, start):
        value.add_incoming(first, before)
    following = body(number, values)
    more = b.add(number, long(1))
    last = b.block
    for value, new in zip([number, *values], [more, *following]):
        value.add_incoming(new, last)
    b.cbranch(b.icmp_signed("<", more, count), inside, after)
    b.position_at_end(after)
    result = [b.phi(value.type) for value in start]
    for value, first, new in zip(result, start, following):
        value.add_incoming(first, before)
        value.add_incoming(new, last)
    return result


def exp2(b: IRBuilder, x: Value) -> Value:
    """2 to the power of x, for x up to 127; 2^-126 for what is below -126; NaN stays NaN."""
    x = b.select(b.fcmp_ordered("<", x, floats(-126.0)), floats(-126.0), x)
    whole = call(b, "rint", x)
    rest = b.fsub(x, whole)
    value = floats(EXP2[-1])
    for coefficient in reversed(EXP2[:-1]):
        value = call(b, "fma", value, rest, floats(coefficient))
    exponent = b.shl(b.add(b.fptosi(whole, INTS), ints(127)), ints(23))
    return b.fmul(value, b.bitcast(exponent, FLOATS))


def transpose(b: IRBuilder, rows: Sequence[Value]) -> list[Value]:
    """The columns of a square of ``LANES`` vectors."""
    rows = list(rows)
    bit = 1
    while bit < LANES:
        # Vectors a bit apart exchange the numbers a bit apart.
        low = [n if not n & bit else LANES + (n ^ bit) for n in range(LANES)]
        high = [n | bit if not n & bit else LANES + n for n in range(LANES)]
        for i in range(LANES):
            if not i & bit:
                pair = rows[i], rows[i | bit]
                rows[i] = b.shuffle_vector(*pair, ints(low))
                rows[i | bit] = b.shuffle_vector(*pair, ints(high))
        bit *= 2
    return rows


def from_half(b: IRBuilder, x: Value) -> Value:
    """Floats from bfloat16, whose bits are their upper half."""
    return b.bitcast(b.shl(b.zext(x, INTS), ints(16)), FLOATS)


def to_half(b: IRBuilder, x: Value) -> Value:
    """The nearest bfloat16, of two the even one; NaN stays NaN."""
    bits = b.bitcast(x, INTS)
    odd = b.and_(b.lshr(bits, ints(16)), ints(1))
    near = b.add(bits, b.add(odd, ints(0x7FFF)))
    near = b.select(b.fcmp_unordered("uno", x, x), ints(0x7FC00000), near)
    return b.trunc(b.lshr(near, ints(16)), HALVES)
