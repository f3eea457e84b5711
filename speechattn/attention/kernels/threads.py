"""Compiled code on several cores: it does not hold Python's lock, so threads share the work.

There are as many threads as PyTorch may use, where it has been imported. Arrays of NumPy are
computed without it; then :func:`set_num_threads` says how many.
"""

from __future__ import annotations

import functools
import itertools
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from speechattn.machine import num_usable_cores

if TYPE_CHECKING:
    import numpy as np

WORTHWHILE = 1 << 22  # multiplications for which a thread pays, some 0.1 ms of one core
_VARIABLE = "OMP_NUM_THREADS"  # PyTorch goes by it as well

_chosen: int | None = None


def address(values: np.ndarray) -> int:
    """Return where an array begins in memory, for compiled code."""
    return values.__array_interface__["data"][0]  # a third of the time of values.ctypes.data


def num_threads() -> int:
    """Return how many threads may share the work of the calling thread."""
    of_torch = getattr(sys.modules.get("torch"), "get_num_threads", None)
    if of_torch is not None:
        return of_torch()
    return _chosen or _default()


def set_num_threads(count: int) -> None:
    """Set how many threads may share the work, here and in PyTorch.

    Args:
        count: 1 or more.
    """
    global _chosen
    _chosen = count
    hand_on_to_torch()


def hand_on_to_torch() -> None:
    """Give PyTorch the number that has been set, if it is there."""
    of_torch = getattr(sys.modules.get("torch"), "set_num_threads", None)
    if of_torch is not None and _chosen is not None:
        of_torch(_chosen)


def _default() -> int:
    given = os.environ.get(_VARIABLE, "")
    return int(given) if given.isdecimal() and int(given) else num_usable_cores()


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
