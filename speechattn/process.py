"""Our own processes: how a command starts and ends, and what it hands on to others.

PyTorch and Numba take most of a second to be torn down at the end of a process, for nothing. So
:func:`run` leaves as soon as exit handlers have run and the output is flushed.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn, TextIO

from speechattn.lazy import defer
from speechattn.machine import hand_on_threads

NO_OUTPUT, NO_READER = 2, 141  # exit status: output cannot be written; its reader has left
GC_THRESHOLD = 500_000  # new objects before Python looks for cycles: imports leave 200,000
_CUDA_DEVICES = ("/dev/nvidiactl", "/dev/dxg")  # one of them exists where CUDA may work on Linux
_FOR_COMPILERS = "torch._meta_registrations"
# What PyTorch imports by itself and inference does not use: a fifth of the time of its import.
_FOR_OTHERS = (
    *("torch.distributions", "torch.export", "torch.hub", "torch.masked", "torch.optim"),
    *("torch.package", "torch.profiler", "torch.quantization", "torch.testing"),
    *("torch.nn.intrinsic", "torch.nn.qat", "torch.nn.quantizable", "torch.nn.quantized"),
    *("torch.utils.data", "unittest.mock"),
)
_STANDARD_OUTPUT = "standard output"
_own_process = False
_quiet = False
_told: set[str] = set()
_teller: Callable[[str], None] | None = None


def run(main: Callable[[], int], name: str) -> NoReturn:
    """Run a command and end the process with its exit status.

    If the reader of its output has left, as in a pipe into ``head``, the process ends without a
    message and with status 141. If the output cannot be written for another reason, it ends with a
    message and status 2.

    Args:
        main: the command; returns its exit status.
        name: what its messages begin with.
    """
    start_own_process()
    _open_standard_files()
    try:
        status = main()
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError as error:
        if error.filename != _STANDARD_OUTPUT:
            raise
        status = NO_READER
        if not isinstance(error, BrokenPipeError):
            status = NO_OUTPUT
            print(
                f"{name}: error: standard output: {error.strerror}; write it elsewhere",
                file=sys.stderr,
            )
    os._exit(status)


def start_own_process() -> None:
    """Make this process, which runs nothing but our code, start as fast as it can.

    Python collects cycles less often, and Numba imports neither SciPy (:mod:`speechattn.jit`) nor
    YAML, unless there is a file of settings for it.
    """
    global _own_process
    _own_process = True
    gc.set_threshold(GC_THRESHOLD)
    defer(["yaml"])


def is_own_process() -> bool:
    """Whether this process runs nothing but our code."""
    return _own_process


def may_compile() -> bool:
    """Whether Numba compiles in this process: ``NUMBA_DISABLE_JIT`` stops it."""
    # Another thread may be in the middle of importing it.
    config: Any = getattr(sys.modules.get("numba"), "config", None)
    if not hasattr(config, "DISABLE_JIT"):
        return os.environ.get("NUMBA_DISABLE_JIT", "") in ("", "0")
    return not config.DISABLE_JIT  # it has read the variable, or a program has set it


def tell(message: str) -> None:
    """Print a message for the user on standard error, once, if this is a process of our own."""
    if not _own_process or _quiet or message in _told:
        return
    _told.add(message)
    if _teller is not None:
        _teller(message)
    elif sys.stderr is not None:
        print(f"speechattn: {message}", file=sys.stderr, flush=True)


def tell_through(teller: Callable[[str], None]) -> None:
    """Give messages of :func:`tell` to a function from now on, such as one that sends them on."""
    global _teller
    _teller = teller


def be_quiet() -> None:
    """Print no messages of :func:`tell` from now on: none are wanted, or another process does."""
    global _quiet
    _quiet = True


class _Output(io.FileIO):
    """Standard output whose errors carry its name."""

    def write(self, data: bytes, /) -> int:  # type: ignore[override]  # any buffer
        try:
            return super().write(data)
        except OSError as error:
            error.filename = _STANDARD_OUTPUT
            raise


def _open_standard_files() -> None:
    """Mark errors of standard output as its own; discard what is written to a closed file."""
    if sys.stdout is None:
        sys.stdout = _null_file()
    else:
        old = sys.stdout
        old.flush()
        sys.stdout = io.TextIOWrapper(
            io.BufferedWriter(_Output(old.fileno(), "w", closefd=False)),
            encoding=old.encoding,
            errors=old.errors,
            line_buffering=bool(old.line_buffering),
            write_through=bool(getattr(old, "write_through", False)),
        )
    if sys.stderr is None:
        sys.stderr = _null_file()


def _null_file() -> TextIO:
    return Path(os.devnull).open("w", encoding="utf-8")


def import_torch() -> None:
    """Import PyTorch, in a process of our own without parts that inference does not use.

    A quarter of the time of the import goes into functions that compute the shapes of results
    without their values, for PyTorch's compilers. Where CUDA may be, FlexAttention needs them.
    Other parts are loaded if something uses them.
    """
    if "torch" in sys.modules:
        return
    if not _own_process or may_have_cuda():
        importlib.import_module("torch")
    else:
        defer(_FOR_OTHERS)
        sys.modules[_FOR_COMPILERS] = ModuleType(_FOR_COMPILERS)
        try:
            importlib.import_module("torch")
        finally:
            del sys.modules[_FOR_COMPILERS]  # whoever needs it may still import it
    hand_on_threads()


def may_have_cuda() -> bool:
    """Whether it is worth importing PyTorch, which takes seconds, to ask it for CUDA."""
    return os.name == "nt" or any(map(os.path.exists, _CUDA_DEVICES))


def environment(threads: int) -> dict[str, str]:
    """Return variables for a child process that limit the threads of the libraries in it.

    Args:
        threads: the most that a library may use; 0 for no limit.
    """
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return dict.fromkeys(names, str(threads)) if threads else {}
