"""Names that a package offers, imported when they are first used.

PyTorch takes most of a second to import and compiled code more; a program that reads a
configuration or prints help needs neither.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable, Mapping
from typing import Any


def lazy_names(
    package: str, modules: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the functions ``__getattr__`` and ``__dir__`` of a package (PEP 562).

    Args:
        package: its ``__name__``.
        modules: public name → module of the package that defines it.
    """

    def get(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f"{package}.{modules[name]}"), name)
        setattr(sys.modules[package], name, value)
        return value

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *modules})

    return get, names


def moved_module(old: str, new: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` of a module that passes on the names of another one.

    The first use of each name gives a DeprecationWarning.

    Args:
        old: ``__name__`` of the module.
        new: where its names live now.
    """

    def get(name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"module {old!r} has no attribute {name!r}")
        warnings.warn(f"{old} is now {new}", DeprecationWarning, stacklevel=2)
        value = getattr(importlib.import_module(new), name)
        setattr(sys.modules[old], name, value)
        return value

    def names() -> list[str]:
        return dir(importlib.import_module(new))

    return get, names
