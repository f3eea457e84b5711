"""What a command says on standard error, without what depends on the machine."""

from __future__ import annotations

from speechattn.jit import COMPILING


def without_compiling(text: str) -> str:
    """Leave out that functions are compiled, which the first process of a machine says."""
    return text.replace(f"speechattn: {COMPILING}\n", "")
