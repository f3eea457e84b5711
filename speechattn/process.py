"""A command as a process of its own: its standard output, and how it leaves.

PyTorch and Numba take most of a second to be dismantled at the end, of which nobody has anything;
so a process leaves once what is registered for its end is done and what it printed is out.

How many cores this process may use.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, TextIO

NO_OUTPUT, NO_READER = 2, 141  # exit status: output cannot be written; its reader has left
GC_THRESHOLD = 500_000  # new objects before Python looks for cycles: imports leave 200,000
_STANDARD_OUTPUT = "standard output"
_own_process = False


QUOTA = Path("/sys/fs/cgroup/cpu.max")  # of a container: microseconds of work per microseconds
_CUDA_DEVICES = ("/dev/nvidiactl", "/dev/dxg")  # one of them is there where CUDA may work on Linux


class _Output(io.FileIO):
    """Standard output, whose errors say that they are its own."""

    def write(self, data: bytes) -> int | None:
        try:
            return super().write(data)
        except OSError as error:
            error.filename = _STANDARD_OUTPUT
            raise


def run(main: Callable[[], int], name: str) -> NoReturn:
    """Run a command and end the process with its exit status.

    A reader of its output that has left, as in a pipe into ``head``, ends it quietly with status
    141; output that cannot be written for another reason, with a line and status 2.

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
    """Have this process, which is to be our own, start as fast as it can.

    Python looks for cycles seldom, and Numba for nothing that we do not use.
    """
    global _own_process
    _own_process = True
    gc.set_threshold(GC_THRESHOLD)


def is_own_process() -> bool:
    """Whether this process is our own, and nobody else's code runs in it."""
    return _own_process


def _open_standard_files() -> None:
    """Make standard output tell its errors from others; what is closed swallows what it is given."""
    if sys.stdout is None:
        sys.stdout = _nowhere()
    else:
        old = sys.stdout
        old.flush()
        sys.stdout = io.TextIOWrapper(
            io.BufferedWriter(_Output(old.fileno(), "w", closefd=False)),
            encoding=old.encoding,
            errors=old.errors,
            line_buffering=old.line_buffering,
            write_through=old.write_through,
        )
    if sys.stderr is None:
        sys.stderr = _nowhere()


def _nowhere() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")


def num_usable_cores() -> int:
    """Those that the process is kept on, and no more than a container's quota; at least 1."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        cores = os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError, ZeroDivisionError):
        quota, period = QUOTA.read_text().split()
        cores = min(cores, -(-int(quota) // int(period)))
    return max(1, cores)


def may_have_cuda() -> bool:
    """Whether it is worth the seconds that importing PyTorch takes to ask it."""
    return os.name == "nt" or any(map(os.path.exists, _CUDA_DEVICES))


def environment(threads: int) -> dict[str, str]:
    """Variables for a process of its own: no library in it computes with more threads."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return dict.fromkeys(names, str(threads)) if threads else {}
