"""Functions compiled by Numba for known types, once for every machine."""

from __future__ import annotations

import numba

# Numba's names for C-contiguous arrays of one and two dimensions.
FLOATS, FLOAT_TABLE = "float64[::1]", "float64[:,::1]"
INTS, INT_TABLE = "int64[::1]", "int64[:,::1]"
STATES, STATE_TABLE = "int32[::1]", "int32[:,::1]"
SCORES = "float32[::1]"
TABLES = FLOAT_TABLE, "float32[:,::1]"  # of a bigram, of longer n-grams


def compiled(result: str, *arguments: str | tuple[str, ...]):
    """Decorator: compile for these types now, and keep the machine code on disk if possible.

    Where an argument has a tuple of types, the function is compiled for each of them.
    """
    several = max(len(types) if isinstance(types, tuple) else 1 for types in arguments)
    signatures = []
    for i in range(several):
        types = (types[i] if isinstance(types, tuple) else types for types in arguments)
        signatures.append(f"{result}({','.join(types)})")

    def compile_function(function):
        try:
            return numba.njit(signatures, cache=True, nogil=True)(function)
        # No folder can be written, the disk is full, a cached file is broken: do without. Should
        # the function itself be at fault, the next line raises the same again.
        except Exception:  # noqa: BLE001
            return numba.njit(signatures, nogil=True)(function)

    return compile_function
