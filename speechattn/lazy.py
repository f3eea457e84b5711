"""Names that a package offers, imported when they are first used.

PyTorch takes most of a second to import and compiled code more; a program that reads a
configuration or prints help needs neither. Of modules that PyTorch imports by itself,
:func:`defer` puts off those that nobody has asked for anything yet.
"""

from __future__ import annotations

import importlib
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
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


def defer(names: Iterable[str]) -> None:
    """Let modules be loaded when they are first used, no matter who imports them.

    Until then an import gives an empty module of that name. ``from a.module import name`` is a use,
    and so is the import of a module within a package. Modules that have been imported stay as they
    are, and those that do not exist fail as usual.

    Args:
        names: of the modules.
    """
    finder = next((each for each in sys.meta_path if isinstance(each, _Finder)), None)
    if finder is None:
        finder = _Finder()
        sys.meta_path.insert(0, finder)
    finder.names.update(names)


class _Deferred(ModuleType):
    """A module that has not been loaded yet."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name not in ("__all__", "__version__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        _load(self)
        return getattr(self, name)


class _Nothing(Loader):
    """A loader that leaves everything to :func:`_load`."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Deferred(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass


class _Finder(MetaPathFinder):
    """Finds deferred modules; loads a deferred package before the first module within it."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        _load(sys.modules.get(fullname.rpartition(".")[0]))
        if fullname not in self.names:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Nothing(spec.loader)
        return spec


_loading = threading.RLock()


def _load(module: ModuleType | None) -> None:
    """Load a module if it is a deferred one."""
    if not isinstance(module, _Deferred):
        return
    with _loading:
        if not isinstance(module, _Deferred):  # another thread has loaded it
            return
        spec = module.__spec__
        if spec is None or not isinstance(spec.loader, _Nothing):
            return
        module.__class__ = ModuleType  # type: ignore[assignment]
        module.__loader__ = spec.loader = spec.loader.loader
        spec.loader.exec_module(module)
