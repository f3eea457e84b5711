"""How Numba compiles our functions: parts are only put together, and the whole is optimized once.

By itself, Numba optimizes each function and makes machine code of it before it goes into the one
that calls it, where all of it is optimized again: what lies four calls deep, five times. Parts,
which only compiled code calls, need none of that. That is half the time of compiling.

This uses classes that Numba does not document, and other versions may have others. Whatever fails
here, :mod:`speechattn.jit` does without it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from llvmlite.binding import ModuleRef
from numba import types
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler

from speechattn.jit import njit_with


class _Library(JITCodeLibrary):
    """Machine code of a whole function; what Numba does to it first, it does again at the end."""

    def _optimize_functions(self, ll_module: ModuleRef) -> None:
        ll_module.data_layout = self._codegen._data_layout


class _PartLibrary(_Library):
    """The instructions of a part, for LLVM, of which no machine code is made."""

    def finalize(self) -> None:
        self._raise_if_finalized()
        for library in dict.fromkeys(self._linking_libraries):
            if hasattr(self, "_reload_init"):  # not in Numba 0.60
                self._reload_init.update(library._reload_init)
            self._final_module.link_in(library._get_module_for_linking(), preserve=True)
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        self._ensure_finalized()
        return 0

    @property
    def codegen(self) -> Any:
        """Where Numba sets the environment of machine code, of which there is none."""
        return self

    def set_env(self, name: str, environment: object) -> None:
        """Do nothing: see :attr:`codegen`."""


class WholeCompiler(Compiler):
    """Compiles a function that Python calls."""

    def __init__(self, typingctx: Any, targetctx: Any, _: None, *arguments: Any) -> None:
        library = _Library(targetctx.codegen(), "whole")
        library.enable_object_caching()
        super().__init__(typingctx, targetctx, library, *arguments)


class PartCompiler(Compiler):
    """Compiles a function that only compiled code calls."""

    def __init__(self, typingctx: Any, targetctx: Any, _: None, *arguments: Any) -> None:
        library = _PartLibrary(targetctx.codegen(), "part")
        super().__init__(typingctx, targetctx, library, *arguments)


def part(function: Callable) -> Any:
    """Return a function that compiled code may call, and Python not.

    Whole numbers that it is called with have 64 bits.
    """
    made = njit_with(PartCompiler, function, no_cpython_wrapper=True)
    template = made.get_call_template

    def get_call_template(arguments: Sequence[types.Type], named: Mapping[str, types.Type]) -> Any:
        named = {name: _wide(kind) for name, kind in named.items()}
        return template(tuple(map(_wide, arguments)), named)

    made.get_call_template = get_call_template
    made._insert = lambda *_: None  # it has no code that Python could call
    return made


def works() -> bool:
    """Compile a function and its part, and return whether they do what they should."""

    def half(x: int) -> int:
        if x & 1:
            raise ArithmeticError("odd")
        return x >> 1

    inner = part(half)
    whole = njit_with(WholeCompiler, lambda x: inner(x) + 1)
    right = whole(6) == 4
    (compiled,) = whole.overloads.values()
    compiled.library.serialize_using_object_code()  # as it is kept on disk
    try:
        whole(7)
    except ArithmeticError:
        return right
    return False


def _wide(kind: types.Type) -> types.Type:
    """Return 64 bits for whole numbers with a sign, constants too: one form does for all."""
    plain: Any = types.unliteral(kind)
    return types.int64 if plain in types.signed_domain else plain
