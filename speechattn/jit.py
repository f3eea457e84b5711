"""Functions compiled by Numba, once for every machine."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any, cast

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

Kind = str | types.Type


def jit(result: Kind, *arguments: Kind | tuple[Kind, ...]) -> Callable[[Callable], Any]:
    """Decorator: compile for these types now, and keep the machine code on disk if possible.

    Where an argument has a tuple of types, the function is compiled for each of them.

    Args:
        result: type of what the function returns.
        arguments: types of its arguments.
    """
    num_signatures = max(len(kinds) if isinstance(kinds, tuple) else 1 for kinds in arguments)
    signatures = []
    for i in range(num_signatures):
        kinds = (kinds[i] if isinstance(kinds, tuple) else kinds for kinds in arguments)
        signatures.append(_type(result)(*map(_type, kinds)))

    def compile_function(function: Callable) -> Any:
        try:
            with _without_blas():
                return numba.njit(signatures, cache=True, nogil=True)(function)
        # No folder can be written, the disk is full, a cached file is broken: do without. Should
        # the function itself be at fault, the next line raises the same again.
        except Exception:
            return numba.njit(signatures, nogil=True)(function)

    return compile_function


def jit_inline(function: Callable) -> Any:
    """Decorator: a function that compiled ones call, for whatever types they have.

    It is compiled with each of them; by itself it is neither kept on disk nor loaded from there,
    which takes a hundredth of a second each.
    """
    return numba.njit(nogil=True)(function)


def jit_when_used(function: Callable) -> Any:
    """Decorator: compile for the types of the first call, and keep the machine code on disk."""
    return numba.njit(cache=True, nogil=True)(function)


def record(kind: type[tuple], *fields: Kind) -> types.NamedTuple:
    """Return the type of a NamedTuple whose fields have these types."""
    return types.NamedTuple([_type(field) for field in fields], kind)


def _type(kind: Kind) -> types.Type:
    """The type of a name."""
    return sigutils.normalize_signature(f"{kind}()")[1] if isinstance(kind, str) else kind


@contextlib.contextmanager
def _without_blas() -> Iterator[None]:
    """Keep Numba from importing SciPy, in which it looks for products of matrices.

    They are not needed here, and the import takes a quarter of a second. This is done in a process
    of our own only: other code in this one might want Numba to know such products, and it looks
    only once.
    """
    hidden = process.is_own_process() and "scipy.linalg" not in sys.modules
    if hidden:
        sys.modules["scipy.linalg"] = cast(Any, None)  # importing it fails
    try:
        yield
    finally:
        if hidden:
            del sys.modules["scipy.linalg"]
