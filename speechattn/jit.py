"""Functions compiled by Numba, once for every machine."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import numba
from llvmlite import binding
from numba import types
from numba.core import sigutils, typing
from numba.core.compiler import Compiler
from numba.core.compiler_lock import global_compiler_lock
from numba.core.runtime._nrt_python import c_helpers

from speechattn import cache, process

# Numba's names for C-contiguous arrays of one and two dimensions.
F64_ARRAY, F64_MATRIX = "float64[::1]", "float64[:,::1]"
I64_ARRAY, I64_MATRIX = "int64[::1]", "int64[:,::1]"
I32_ARRAY, I32_MATRIX = "int32[::1]", "int32[:,::1]"
F32_ARRAY = "float32[::1]"
FLOAT_MATRICES = F64_MATRIX, "float32[:,::1]"  # of a bigram, of longer n-grams

COMPILING = "compiling for this processor, once"
NOT_KEPT = (
    "compiled code cannot be kept, so every start compiles anew; set NUMBA_CACHE_DIR to a folder "
    "that can be written"
)

# Modules that compiled code comes from, in Numba, and that it does not need once it is compiled.
_ONLY_COMPILED = ("numba.np.arrayobj", "numba.np.arraymath")

Kind = str | types.Type


def jit(result: Kind, *arguments: Kind | tuple[Kind, ...]) -> Callable[[Callable], Compiled]:
    """Decorator: compile for these types when first called, and keep the machine code on disk.

    Where an argument has a tuple of types, the function is compiled for those that it is called
    with. Compiled code cannot call such a function; :func:`jit_inline` is for that.

    Args:
        result: type of what the function returns.
        arguments: types of its arguments.
    """
    num_signatures = max(len(kinds) if isinstance(kinds, tuple) else 1 for kinds in arguments)
    signatures = []
    for i in range(num_signatures):
        kinds = (kinds[i] if isinstance(kinds, tuple) else kinds for kinds in arguments)
        signatures.append(_type(result)(*map(_type, kinds)))
    return functools.partial(Compiled, signatures=signatures)


class Compiled:
    """A function that is compiled, or loaded from the disk, when it is first called.

    Args:
        function: in Python.
        signatures: that it may be compiled for.
    """

    def __init__(self, function: Callable, signatures: Sequence[typing.Signature]) -> None:
        functools.update_wrapper(self, function)
        self._function, self._signatures = function, signatures
        # What is called, once there is nothing left to compile.
        self._call: Callable | None = None if process.may_compile() else function
        self._dispatcher: Any = None
        self._some_compiled = False

    def __call__(self, *arguments: Any) -> Any:
        """Call the function; a TypeError if it may not be compiled for such arguments."""
        call = self._call
        if call is None:
            if self._some_compiled:
                # Numba tells in a microsecond whether it has a form for these; to look takes 30.
                with contextlib.suppress(TypeError):
                    return self._dispatcher(*arguments)
            call = self._compiled_for(arguments)
        return call(*arguments)

    def compile(self, number: int | None = None) -> None:
        """Compile the function now, or load it.

        Args:
            number: of the signature, in the order of the decorator's types; None for all.
        """
        if self._call is not None:
            return
        for signature in self._signatures if number is None else [self._signatures[number]]:
            self._add(signature)

    @property
    def lock(self) -> str:
        """Name of the lock that a process holds while it compiles this function."""
        return f"compile.{self._function.__module__}.{self._function.__qualname__}"

    def _compiled_for(self, arguments: Sequence[Any]) -> Callable:
        """Return the function, compiled at least for the one signature that fits."""
        fitting = self._signatures
        if len(fitting) > 1:
            types = tuple(map(numba.typeof, arguments))
            fitting = [each for each in fitting if each.args == types] or fitting
        for signature in fitting:
            self._add(signature)
        return self._dispatcher

    def _add(self, signature: typing.Signature) -> None:
        with global_compiler_lock:
            done = () if self._dispatcher is None else self._dispatcher.overloads
            if signature.args in done:
                return
            for afresh in (False, True):
                try:
                    with _without_blas():
                        if self._dispatcher is None:
                            self._dispatcher = njit_with(_compiler, self._function, cache=True)
                            _watch_parts(self._dispatcher, self._function)
                        if afresh:  # what was kept may be of an earlier version of this package
                            self._dispatcher._cache.flush()
                        self._load_or_compile(signature)
                        kept = True
                except Exception:
                    kept = False
                if kept or self._dispatcher is None:
                    break
            # No folder can be written, or the disk is full: do without. Should the function itself
            # be at fault, the next lines raise the same again.
            if not kept:
                process.tell(NOT_KEPT)
                dispatcher = numba.njit(nogil=True)(self._function)
                for each in (*(s for s in self._signatures if s.args in done), signature):
                    dispatcher.compile(each)
                self._dispatcher = dispatcher
            self._dispatcher.disable_compile()
            self._some_compiled = True
            if len(self._dispatcher.overloads) == len(self._signatures):
                self._call = self._dispatcher

    def _load_or_compile(self, signature: typing.Signature) -> None:
        """Add a compiled form, from the disk if it is there; only one process compiles it."""
        dispatcher = self._dispatcher
        dispatcher.disable_compile(False)
        if _load(dispatcher, signature):
            return
        with cache.lock(self.lock):
            if not _load(dispatcher, signature):  # another process may have had the lock
                process.tell(COMPILING)
                dispatcher.compile(signature)


def _watch_parts(dispatcher: Any, function: Callable) -> None:
    """Let kept code be out of date once a file has changed that parts of it may come from.

    Numba looks at the file of the function alone, and would use the old code of its parts.
    """
    with contextlib.suppress(AttributeError, OSError):  # another version of Numba; no such file
        kept = dispatcher._cache._cache_file
        kept._source_stamp = kept._source_stamp, _state_of_room(function.__code__.co_filename)


@functools.cache
def _state_of_room(file: str) -> str:
    """Return a digest of times and sizes of the files of a module's room and of the kernels."""
    room = Path(file).parent
    while (room.parent.parent / "__init__.py").exists():
        room = room.parent
    states = []
    for folder in (room, Path(__file__).parent / "attention" / "kernels"):
        for within, _, names in os.walk(folder):
            for source in (Path(within, name) for name in names if name.endswith(".py")):
                state = source.stat()
                states.append((source.name, state.st_mtime_ns, state.st_size))
    return hashlib.sha256(repr(sorted(states)).encode()).hexdigest()


def _load(dispatcher: Any, signature: typing.Signature) -> bool:
    """Load a compiled form from the disk; return whether it was there.

    Before Numba loads a function, it makes ready to compile any: it imports most of itself,
    registers thousands of functions and compiles its own, which takes longer than everything else
    that it does here. What has been compiled needs only the addresses of Numba's runtime. In a
    process of our own the rest is left out until something has to be compiled.
    """
    if not process.is_own_process():
        return False  # Numba looks for itself
    context = dispatcher.targetctx
    context.refresh = _add_runtime  # hides the method
    try:
        with _stand_ins(_ONLY_COMPILED):
            loaded = dispatcher._cache.load_overload(signature, context)
    except (AttributeError, TypeError, ImportError):  # another version of Numba
        return False
    finally:
        del context.refresh
    if loaded is not None:
        dispatcher.add_overload(loaded)
    return loaded is not None


@functools.cache
def _add_runtime() -> None:
    """Give compiled code the addresses of functions of Numba's runtime, which it calls by name."""
    for name, address in c_helpers.items():
        binding.add_symbol(name if name.startswith("_") else f"NRT_{name}", address)


@contextlib.contextmanager
def _stand_ins(names: Sequence[str]) -> Iterator[None]:
    """Let the import of modules give empty ones, if they have not been imported before."""
    added = {name: ModuleType(name) for name in names if name not in sys.modules}
    sys.modules |= added
    try:
        yield
    finally:
        for name in added:
            del sys.modules[name]


def jit_inline(function: Callable) -> Any:
    """Decorator: a function that compiled ones call, for whatever types they have.

    It is compiled with each of them; by itself it is neither kept on disk nor loaded from there,
    which takes a hundredth of a second each. Python may call it too, for tests; it is compiled anew
    then.
    """
    return _Part(function) if process.may_compile() else function


class _Part:
    """A function that compiled ones call. Nothing is made of it before one of them is compiled."""

    def __init__(self, function: Callable) -> None:
        functools.update_wrapper(self, function)
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        return self._alone(*arguments)

    @property
    def _numba_type_(self) -> types.Type:
        """What Numba takes it for, where compiled code names it."""
        return (self._alone if _pipeline() is None else self._within_others)._numba_type_

    @functools.cached_property
    def _alone(self) -> Any:
        return numba.njit(nogil=True)(self._function)

    @functools.cached_property
    def _within_others(self) -> Any:
        return cast(Any, _pipeline()).part(self._function)


@functools.cache
def _pipeline() -> Any:
    """Return :mod:`speechattn.jit_pipeline`, tried once before anything is compiled.

    None if it fails with this version of Numba, of whose insides it uses some: everything is
    compiled as Numba does it by itself then, which takes longer.
    """
    try:
        from speechattn import jit_pipeline

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return jit_pipeline if jit_pipeline.works() else None
    except Exception:
        return None


def njit_with(compiler: Callable[..., Compiler], function: Callable, **options: Any) -> Any:
    """Return a function as ``numba.njit`` gives it, with a compiler of ours; nothing is compiled.

    Args:
        compiler: gives Numba a compiler.
        function: in Python.
        options: more options of ``numba.njit``.
    """
    njit = cast(Any, numba.njit)  # whose types lack some of its options
    decorator = njit(nogil=True, no_cfunc_wrapper=True, pipeline_class=compiler, **options)
    return decorator(function)


def _compiler(*arguments: Any) -> Compiler:
    """Return a compiler for a whole function; Numba calls this when it compiles one."""
    pipeline = _pipeline()
    return Compiler(*arguments) if pipeline is None else pipeline.WholeCompiler(*arguments)


def jit_when_used(function: Callable) -> Any:
    """Decorator: compile for the types of the first call, and keep the machine code on disk."""
    return numba.njit(cache=True, nogil=True)(function)


def record(kind: type[tuple], *fields: Kind) -> types.Type:
    """Return the type of a NamedTuple whose fields have these types."""
    kinds = [_type(field) for field in fields]
    if len(set(kinds)) == 1:  # Numba has a type of its own for these
        return types.NamedUniTuple(kinds[0], len(kinds), kind)
    return types.NamedTuple(kinds, kind)


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
