"""Compiled code on several cores: it does not hold Python's lock, so threads share the work."""

from __future__ import annotations

import ctypes
import functools
import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from speechattn.machine import num_threads

WORTHWHILE = 1 << 22  # multiplications for which a thread pays, some 0.1 ms of one core


def address(values: np.ndarray) -> int:
    """Return where an array begins in memory, for compiled code."""
    try:
        return ctypes.addressof(ctypes.c_char.from_buffer(values))
    except (TypeError, ValueError, BufferError):  # read-only, empty, or not in one piece
        return values.ctypes.data  # takes twice as long


class Fixed:
    """An array that stays where it is, and its address; a copy has an address of its own.

    Args:
        array: any; it is copied only if it does not lie in one piece.
    """

    def __init__(self, array: np.ndarray) -> None:
        self.array = np.ascontiguousarray(array)
        self.address = address(self.array)

    def __reduce__(self) -> tuple:
        return Fixed, (self.array,)


def parallel_for(
    run: Callable[[int, int], None], count: int, work: int, keep_alive: object = None
) -> None:
    """Call ``run(begin, end)`` for parts of ``range(count)``, in parallel where that is worthwhile.

    Args:
        run: processes the items from ``begin`` to ``end``.
        count: number of items.
        work: multiplications for all of them, roughly.
        keep_alive: what must live until all parts are done, even if this call is interrupted: the
            tensors or arrays whose addresses ``run`` has.
    """
    cores = min(count, 1 + work // WORTHWHILE)
    threads = num_threads() if cores > 1 else 1
    cores = min(cores, threads)
    if cores <= 1:
        run(0, count)
        return
    ends = [count * part // cores for part in range(cores + 1)]
    pool = _pool(os.getpid(), threads)
    others = []
    for part in itertools.pairwise(ends[1:]):
        try:
            others.append(pool.submit(_run, run, *part, keep_alive))
        except RuntimeError:  # Python is shutting down and starts no more threads
            run(*part)
    run(*ends[:2])
    for other in others:
        other.result()


def _run(run: Callable[[int, int], None], begin: int, end: int, keep_alive: object) -> None:
    run(begin, end)


@functools.lru_cache(1)
def _pool(process: int, cores: int) -> ThreadPoolExecutor:
    """Return the threads of this process; a fork has none of those of its parent."""
    return ThreadPoolExecutor(max(1, cores - 1), "attention")
