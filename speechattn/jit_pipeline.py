"""How Numba compiles our functions: parts are only put together, and the whole is optimized once.

By itself, Numba optimizes each function and makes machine code of it before it goes into the one
that calls it, where all of it is optimized again: what lies four calls deep, five times. Parts,
which only compiled code calls, need none of that. That is half the time of compiling.
"""

from __future__ import annotations

from typing import Any

from llvmlite.binding import ModuleRef
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler


class _Library(JITCodeLibrary):
    """Machine code of a whole function; what Numba does to it first, it does again at the end."""

    def _optimize_functions(self, ll_module: ModuleRef) -> None:
        ll_module.data_layout = self._codegen._data_layout


class _PartLibrary(_Library):
    """The instructions of a part, for LLVM, of which no machine code is made."""

    def finalize(self) -> None:
        self._raise_if_finalized()
        for library in dict.fromkeys(self._linking_libraries):
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
