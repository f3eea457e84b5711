"""Functions compiled by Numba, once for every machine."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

import numba
from numba import types
from numba.core import sigutils

from speechattn import process

# Numba's names for C-contiguous arrays of one and two dimensions.
F64_ARRAY, F64_MATRIX = "float64[::1]", "float64[:,::1]"
I64_ARRAY, I64_MATRIX = "int64[::1]", "int64[:,::1]"
I32_ARRAY, I32_MATRIX = "int32[::1]", "int32[:,::1]"
F32_ARRAY = "float32[::1]"
FLOAT_MATRICES = F64_MATRIX, "float32[:,::1]"  # of a bigram, of longer n-grams


def jit(result: str, *arguments: str | types.Type | tuple[str, ...]):
    """Decorator: compile for these types now, and keep the machine code on disk if possible.

    Where an argument has a tuple of types, the function is compiled for each of them.
    """
    several = max(len(kinds) if isinstance(kinds, tuple) else 1 for kinds in arguments)
    signatures = []
    for i in range(several):
        kinds = (kinds[i] if isinstance(kinds, tuple) else kinds for kinds in arguments)
        signatures.append(_type(result)(*map(_type, kinds)))

    def compile_function(function):
        try:
            with _without_blas():
                return numba.njit(signatures, cache=True, nogil=True)(function)
        # No folder can be written, the disk is full, a cached file is broken: do without. Should
        # the function itself be at fault, the next line raises the same again.
        except Exception:  # noqa: BLE001
            return numba.njit(signatures, nogil=True)(function)

    return compile_function


def jit_inline(function: Callable) -> Callable:
    """Decorator: a function that compiled ones call, for whatever types they have.

    It is compiled with each of them; by itself it is neither kept on disk nor loaded from there,
    which takes a hundredth of a second each.
    """
    return numba.njit(nogil=True)(function)


def _type(kind: str | types.Type) -> types.Type:
    """The type of a name."""
    return sigutils.normalize_signature(f"{kind}()")[1] if isinstance(kind, str) else kind


@contextlib.contextmanager
def _without_blas() -> Iterator[None]:
    """Keep Numba from SciPy, where it looks for products of matrices, which are not needed here.

    To import that takes a quarter of a second. In a process of our own only: others in this one
    might want Numba to know such products, and it looks only once.
    """
    kept = process.is_own_process() and "scipy.linalg" not in sys.modules
    if kept:
        sys.modules["scipy.linalg"] = None  # importing it fails
    try:
        yield
    finally:
        if kept:
            del sys.modules["scipy.linalg"]
