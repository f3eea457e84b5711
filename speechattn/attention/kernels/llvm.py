"""Operations on the processor's vectors, as LLVM instructions for functions that Numba compiles.

Numba turns loops over arrays into vector instructions only where it can prove much about them, and
it keeps no sums in registers from one loop to the next. Products of small matrices are fast only if
both happen. So their code is built here instruction by instruction, and
:mod:`speechattn.attention.kernels.primitives` makes functions of it. Addresses are in bytes, whole
numbers of 64 bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numba
from llvmlite import ir
from llvmlite.binding import get_host_cpu_features, llvm_version_info
from llvmlite.ir import IRBuilder, Value

F32, BF16 = ir.FloatType(), ir.IntType(16)
I32, I64 = ir.IntType(32), ir.IntType(64)


def has(feature: str) -> bool:
    """Return whether code is compiled for a processor with a feature, by LLVM's name of it."""
    features = numba.config.CPU_FEATURES  # set by the user, in place of those of the processor
    if features is not None:
        return f"+{feature}" in features.split(",")
    return numba.config.CPU_NAME is None and bool(get_host_cpu_features().get(feature))


WIDE = has("avx512f")  # registers of 512 bits
# Whether the processor multiplies bfloat16 itself; older LLVM describes the instruction otherwise.
DOT_BF16 = WIDE and has("avx512bw") and has("avx512bf16") and llvm_version_info >= (16,)
LANES = 16 if WIDE else 8  # numbers in a vector; where registers are shorter, LLVM takes several
FLOAT_BYTES = 4  # of a float32
BF16_BYTES = 2  # of a bfloat16
VECTOR_BYTES = FLOAT_BYTES * LANES  # of a vector of float32

PAIR_BYTES = 2 * BF16_BYTES  # of two bfloat16 that are multiplied together: as many as of a float32
F32_VECTOR, BF16_VECTOR = ir.VectorType(F32, LANES), ir.VectorType(BF16, LANES)
I32_VECTOR, PAIR_VECTOR = ir.VectorType(I32, LANES), ir.VectorType(BF16, 2 * LANES)


class _BFloat(ir.Type):
    """LLVM's own type of a bfloat16, which llvmlite lacks; elsewhere they are whole numbers."""

    def __str__(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _BFloat)

    def __hash__(self) -> int:
        return hash(_BFloat)


_BFLOAT_VECTOR = ir.VectorType(_BFloat(), 2 * LANES)

# Coefficients of 2^x from -1/2 to 1/2: relative error 2e-8 before rounding.
EXP2 = (1.0, 0.69314718, 0.24022646, 0.055503286, 0.0096184891, 0.0013399931, 0.00015345808)


def i64(value: int) -> Value:
    """Return a constant whole number of 64 bits."""
    return ir.Constant(I64, value)


def f32(value: float) -> Value:
    """Return a constant vector of float32, all of one value."""
    return ir.Constant(F32_VECTOR, [value] * LANES)


def i32(values: Sequence[int] | int) -> Value:
    """Return a constant vector of whole numbers of 32 bits, of one value or of LANES values."""
    return ir.Constant(I32_VECTOR, [values] * LANES if isinstance(values, int) else list(values))


def element(b: IRBuilder, address: Value, number: Value | int, size: Value | int) -> Value:
    """Return the address of element ``number`` of ``size`` bytes each."""
    number, size = (i64(x) if isinstance(x, int) else x for x in (number, size))
    return b.add(address, b.mul(number, size))


def load(b: IRBuilder, address: Value, kind: ir.Type = F32_VECTOR) -> Value:
    """Load from an address, which need not be aligned."""
    return b.load(b.inttoptr(address, kind.as_pointer()), align=2)


def store(b: IRBuilder, value: Value, address: Value) -> None:
    """Store to an address, which need not be aligned."""
    b.store(value, b.inttoptr(address, value.type.as_pointer()), align=2)


def broadcast(b: IRBuilder, value: Value) -> Value:
    """Return a vector whose lanes are all the value, of any type."""
    kind = ir.VectorType(value.type, LANES)
    undefined = ir.Constant(kind, ir.Undefined)
    first_lane = b.insert_element(undefined, value, I32(0))
    return b.shuffle_vector(first_lane, undefined, i32(0))


def call(b: IRBuilder, name: str, *arguments: Value) -> Value:
    """Call one of LLVM's functions on vectors of float32: ``fma``, ``rint``, ``maxnum``."""
    return call_full(b, f"llvm.{name}.v{LANES}f32", F32_VECTOR, *arguments)


def call_full(b: IRBuilder, name: str, result: ir.Type, *arguments: Value) -> Value:
    """Call a function of LLVM by its full name, which gives this type."""
    function = b.module.globals.get(name)
    if function is None:
        kind = ir.FunctionType(result, [argument.type for argument in arguments])
        function = ir.Function(b.module, kind, name)
    return b.call(function, arguments)


def multiply_add(b: IRBuilder, a: Value, x: Value, total: Value) -> Value:
    """Return total + a * x."""
    return call(b, "fma", a, x, total)


def multiply_add_pairs(b: IRBuilder, a: Value, x: Value, total: Value) -> Value:
    """Return total + a[0] * x[0] + a[1] * x[1], with two bfloat16 in each lane of a and x."""
    pairs = (b.bitcast(y, _BFLOAT_VECTOR) for y in (x, a))
    return call_full(b, "llvm.x86.avx512bf16.dpbf16ps.512", F32_VECTOR, total, *pairs)


def to_bf16_rows(b: IRBuilder, first: Value, second: Value) -> Value:
    """Round two vectors to bfloat16, one after the other; NaN stays NaN, tiny numbers become 0."""
    name = "llvm.x86.avx512bf16.cvtne2ps2bf16.512"
    return b.bitcast(call_full(b, name, _BFLOAT_VECTOR, second, first), PAIR_VECTOR)


def pair_up(b: IRBuilder, rows: Value) -> Value:
    """Put the numbers of two rows of bfloat16, one after the other, side by side in lanes."""
    order = [n // 2 + LANES * (n % 2) for n in range(2 * LANES)]
    mask = ir.Constant(ir.VectorType(I32, 2 * LANES), order)
    return b.shuffle_vector(rows, rows, mask)


def prefetch(b: IRBuilder, address: Value, write: bool) -> None:
    """Have the second nearest cache fetch what lies at an address, to be read or written soon."""
    pointer = b.inttoptr(address, ir.IntType(8).as_pointer())
    name, kind = "llvm.prefetch.p0", ir.FunctionType(ir.VoidType(), [pointer.type, I32, I32, I32])
    function = b.module.globals.get(name) or ir.Function(b.module, kind, name)
    b.call(function, [pointer, I32(int(write)), I32(2), I32(1)])


def loop(
    b: IRBuilder,
    count: Value,
    start: Sequence[Value],
    body: Callable[[Value, list[Value]], Sequence[Value]],
) -> list[Value]:
    """Emit a loop in which ``body(number, values)`` returns the next values.

    Args:
        b: builder.
        count: number of iterations; numbers run from 0.
        start: values before the first iteration.
        body: emits one iteration.

    Returns:
        The values after the last iteration; those of the start if there is none.
    """
    before, inside = b.block, b.append_basic_block("loop")
    after = b.append_basic_block("after")
    b.cbranch(b.icmp_signed(">", count, i64(0)), inside, after)
    b.position_at_end(inside)
    number = b.phi(I64)
    number.add_incoming(i64(0), before)
    values = [b.phi(value.type) for value in start]
    for value, first in zip(values, start):
        value.add_incoming(first, before)
    following = body(number, values)
    more = b.add(number, i64(1))
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
    """Return 2^x for x up to 127; what is less than 2^-126 becomes 0; NaN stays NaN."""
    least = f32(-126.0)  # processors take a hundred cycles for each vector with smaller powers
    small = b.fcmp_ordered("<", x, least)
    x = b.select(small, least, x)
    whole = call(b, "rint", x)
    rest = b.fsub(x, whole)
    value = f32(EXP2[-1])
    for coefficient in reversed(EXP2[:-1]):
        value = call(b, "fma", value, rest, f32(coefficient))
    if WIDE:  # value * 2^whole is an instruction
        name, every, rounding = "llvm.x86.avx512.mask.scalef.ps.512", ir.Constant(BF16, -1), I32(4)
        power = call_full(b, name, F32_VECTOR, value, whole, value, every, rounding)
        return b.select(small, f32(0.0), power)
    exponent = b.shl(b.add(b.fptosi(whole, I32_VECTOR), i32(127)), i32(23))
    return b.select(small, f32(0.0), b.fmul(value, b.bitcast(exponent, F32_VECTOR)))


def transpose(b: IRBuilder, rows: Sequence[Value]) -> list[Value]:
    """Return the columns of a square of ``LANES`` vectors."""
    rows = list(rows)
    bit = 1
    while bit < LANES:
        # Vectors whose numbers differ in this bit exchange the lanes that differ in it.
        low = [n if not n & bit else LANES + (n ^ bit) for n in range(LANES)]
        high = [n | bit if not n & bit else LANES + n for n in range(LANES)]
        for i in range(LANES):
            if not i & bit:
                pair = rows[i], rows[i | bit]
                rows[i] = b.shuffle_vector(*pair, i32(low))
                rows[i | bit] = b.shuffle_vector(*pair, i32(high))
        bit *= 2
    return rows


def bf16_to_f32(b: IRBuilder, x: Value) -> Value:
    """Return bfloat16 as float32, of which it is the upper half."""
    return b.bitcast(b.shl(b.zext(x, I32_VECTOR), i32(16)), F32_VECTOR)


def f32_to_bf16(b: IRBuilder, x: Value) -> Value:
    """Round float32 to the nearest bfloat16, ties to even; NaN stays NaN."""
    bits = b.bitcast(x, I32_VECTOR)
    odd = b.and_(b.lshr(bits, i32(16)), i32(1))
    near = b.add(bits, b.add(odd, i32(0x7FFF)))
    near = b.select(b.fcmp_unordered("uno", x, x), i32(0x7FC00000), near)
    return b.trunc(b.lshr(near, i32(16)), BF16_VECTOR)
