"""Run a program as a process of its own and say what it took: wall time, CPU time, memory."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from speechattn.bench.memory import MemorySampler
from speechattn.errors import SpeechattnError, UsageError
from speechattn.text import one_line

# Linux counts the peak memory of a process in KiB, macOS in bytes.
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024


@dataclass(frozen=True)
class Usage:
    """What a process took, from before it was started to after it had ended.

    Attributes:
        wall: seconds.
        cpu: seconds of all its threads and of the processes it waited for, in user and system
            mode; None where it cannot be known.
        peak_rss: most resident memory in bytes, of it and its descendants together (see
            :mod:`~speechattn.bench.memory`); None where it cannot be known. Linux counts the
            moment between fork and exec, so it is never less than what the caller holds.
    """

    wall: float
    cpu: float | None = None
    peak_rss: int | None = None


def usable_cores() -> list[int]:
    """Numbers of the cores that this process may use, sorted."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def can_pin() -> bool:
    """Whether this system can keep a process on some of its cores."""
    return hasattr(os, "sched_setaffinity")


def pick_cores(threads: int) -> list[int]:
    """The first ``threads`` of the usable cores.

    Raises:
        UsageError: if there are fewer.
    """
    cores = usable_cores()
    if not 1 <= threads <= len(cores):
        raise UsageError(
            f"{threads} threads, each on a core of its own: this process may use "
            f"{len(cores)} cores; choose 1 to {len(cores)}"
        )
    return cores[:threads]


@contextmanager
def pinned(cores: Sequence[int]) -> Iterator[None]:
    """Keep this thread, and the processes it starts meanwhile, on some cores, where possible.

    A child inherits the cores of the thread that starts it, so none of our code has to run
    between fork and exec, which ``preexec_fn`` would need and which is not safe beside threads.
    """
    if not can_pin():
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def run_process(arguments: Sequence[str], cores: Sequence[int], name: str) -> Usage:
    """Run a program to its end on some cores; it reads nothing and its output is dropped.

    Args:
        arguments: the program and its arguments; no shell is involved.
        cores: numbers of the cores; ignored where processes cannot be pinned.
        name: what to call the program in messages.

    Raises:
        SpeechattnError: if it cannot be started or fails; with the last line of its messages.
    """
    with tempfile.TemporaryFile() as messages:
        try:
            with pinned(cores):
                began = time.perf_counter()
                process = subprocess.Popen(
                    arguments,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=messages,
                )
        except OSError as error:
            raise SpeechattnError(
                f"{name}: cannot be started ({error.strerror}); with very many files, "
                "give their folders"
            ) from error
        try:
            usage = _wait(process, began)
        except BaseException:  # an interrupt: leave nothing behind that goes on computing
            process.kill()
            process.wait()
            raise
        if process.returncode:
            raise SpeechattnError(
                f"{name}: failed with status {process.returncode}: {_last_line(messages)}"
            )
    return usage


def _wait(process: subprocess.Popen, began: float) -> Usage:
    if not hasattr(os, "wait4"):  # Windows
        process.wait()
        return Usage(time.perf_counter() - began)
    with MemorySampler(process.pid) as memory:
        _, status, resources = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)  # it is gone: nobody can wait again
    cpu = resources.ru_utime + resources.ru_stime
    # The first is the most of the largest process at any time, the second of all, at some times.
    peak = max(resources.ru_maxrss * _RSS_UNIT, memory.peak or 0)
    return Usage(wall, cpu, peak)


def _last_line(messages) -> str:
    """The last line of what a program had to say, shown safely."""
    messages.seek(0)
    lines = messages.read().decode("utf-8", "backslashreplace").strip().splitlines()
    return one_line(lines[-1].strip()) if lines else "it said nothing; run it by itself"
