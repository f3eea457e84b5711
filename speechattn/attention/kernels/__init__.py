"""Attention and dense layers on CPUs, compiled by Numba and LLVM for the processor of this machine.

Read ``window.py`` first: attention in a window. Nothing here knows layers or masks.

Numba takes a third of a second to import and the code more, so other packages write
``kernels.autograd`` and the like: a module is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

    from speechattn.attention.kernels import autograd as autograd
    from speechattn.attention.kernels import byte_matrix as byte_matrix
    from speechattn.attention.kernels import matmul as matmul
    from speechattn.attention.kernels import rows as rows

_COMPILED = ("autograd", "byte_matrix", "llvm", "matmul", "primitives", "rows", "window")


def __getattr__(name: str) -> ModuleType:
    # The import system then sets the attribute, so that this runs once for each module.
    if name in _COMPILED:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
