"""Compile what transcription needs before it is needed, on all cores.

Numba keeps compiled functions on the disk. The first process of an installation finds none: it and
some helpers then compile them side by side, each function in one process
(:class:`speechattn.jit.Compiled`). A mark in the cache says that this has been done.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NoReturn

import speechattn
from speechattn import cache
from speechattn.machine import num_usable_cores
from speechattn.process import be_quiet, is_own_process, may_compile, start_own_process

# Modules, functions and the numbers of their signatures, those that take longest first. A model
# that uses others has them compiled when they are first called.
KERNELS = (
    ("speechattn.audio.mel_kernel", "mel_groups", 0),
    ("speechattn.attention.kernels.matmul", "_layer", 0),
)
ARRAYS = (  # where there are products of bytes
    ("speechattn.attention.kernels.norms", "norm_rows", 0),
    ("speechattn.attention.kernels.norms", "gelu_rows", 0),
)
DECODER = (
    ("speechattn.decoder.viterbi", "advance", 1),
    ("speechattn.decoder.lm.lexicon_tree", "grow", 0),
    ("speechattn.decoder.viterbi", "collect", 0),
)
MOST_HELPERS = 3
# The path is set before anything is imported, so that a helper finds what its caller finds.
_PROGRAM = (
    "import sys; sys.path[:] = sys.argv[2:]; "
    "from speechattn.inference.warmup import help_out; help_out(int(sys.argv[1]))"
)

Functions = Iterable[tuple[str, str, int]]


@contextlib.contextmanager
def compiled() -> Iterator[bool]:
    """Have everything compiled when the block ends, which may load the model meanwhile.

    This is for processes of our own, and does nothing where it has been done before, where there is
    no cache, or where Numba may not compile. The block is given whether it does something: then
    what is slow to make and kept as well is best made within it, while helpers compile.
    """
    mark = _mark()
    if mark is None or mark.exists() or not is_own_process() or not may_compile():
        yield False
        return
    with cache.lock("compile", wait=False) as first:
        helpers = _start(min(MOST_HELPERS, num_usable_cores() - 1)) if first else []
        try:
            yield True
            compile_all((*_of_layers(), *KERNELS, *DECODER))
        finally:
            for helper in helpers:
                helper.wait()
    with contextlib.suppress(OSError):
        mark.touch()


def _of_layers() -> Functions:
    """Return the functions of an encoder's layers, which depend on what the processor can."""
    from speechattn.attention.kernels import byte_layers, byte_tiles

    kernels = "speechattn.attention.kernels"
    in_floats = (f"{kernels}.window", "forward", 0)
    if not byte_tiles.OFFERED:
        return (in_floats,)
    amx = "_amx" if byte_layers.uses_amx() else ""
    attention: Functions = (in_floats,)
    if byte_tiles.VNNI:
        module = f"{kernels}.byte_attention"
        attention = (module, f"attend{amx}", 0), (module, "lay_out", 0)
    return (f"{kernels}.byte_layers", f"layer_rows{amx}", 0), *attention, *ARRAYS


def compile_all(functions: Functions) -> None:
    """Compile functions, or load them; first those that no other process is compiling."""
    left = []
    for module, name, number in functions:
        function = getattr(importlib.import_module(module), name)
        with cache.lock(function.lock, wait=False) as free:
            pass
        if free:
            function.compile(number)
        else:
            left.append((function, number))
    for function, number in left:
        function.compile(number)


def help_out(number: int) -> NoReturn:
    """Compile functions in a process of its own, which never imports PyTorch.

    It begins with those of the decoder, and ends with those that the first process begins with.

    Args:
        number: of the helper; each begins with another function.
    """
    start_own_process()
    be_quiet()
    compile_all((*DECODER[number:], *DECODER[:number], *KERNELS, *_of_layers()))
    os._exit(0)  # to tear Numba down takes half a second, for which the first process would wait


def _start(count: int) -> list[subprocess.Popen[bytes]]:
    command = [sys.executable, "-c", _PROGRAM]
    helpers = []
    for number in range(count):
        with contextlib.suppress(OSError):  # without memory for another process
            helpers.append(subprocess.Popen([*command, str(number), *sys.path]))
    return helpers


def _mark() -> Path | None:
    """Return the file which says that this code has been compiled by this Numba."""
    folder, numba = cache.folder(), importlib.util.find_spec("numba")
    if folder is None or numba is None or numba.origin is None:
        return None
    package = Path(speechattn.__file__).parent
    parts = (package / "attention" / "kernels", package / "audio", package / "decoder")
    sources = sorted(str(path) for part in parts for path in part.rglob("*.py"))
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        installed = Path(numba.origin).stat().st_mtime_ns
        return folder / cache.digest(f"compiled-{sys.hexversion:x}-{installed}", {}, sources)
    return None
