"""Compiled code on several cores: as many as PyTorch is told to use.

Such code does not hold Python's lock, so that threads do.
"""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch

WORTHWHILE = 1 << 22  # products of numbers, of which a core does so many in some 0.1 ms


def share(run: Callable[[int, int], None], count: int, work: int, held: object = None) -> None:
    """``run(begin, end)`` for parts of ``count``, side by side where that is worthwhile.

    Args:
        run: does the part from ``begin`` to ``end``.
        count: of what there is to do.
        work: products of numbers in all of it, roughly.
        held: what must not go before all parts are done, though this call be interrupted: the
            tensors whose addresses ``run`` has.
    """
    cores = min(count, 1 + work // WORTHWHILE)
    cores = min(cores, torch.get_num_threads()) if cores > 1 else 1
    if cores == 1:
        run(0, count)
        return
    ends = [count * part // cores for part in range(cores + 1)]
    pool = _pool(os.getpid(), torch.get_num_threads())
    others = []
    for part in itertools.pairwise(ends[1:]):
        try:
            others.append(pool.submit(_run, run, *part, held))
        except RuntimeError:  # Python is about to end, and begins no more
            run(*part)
    run(*ends[:2])
    for other in others:
        other.result()


def _run(run: Callable[[int, int], None], begin: int, end: int, held: object) -> None:
    run(begin, end)


@functools.lru_cache(1)
def _pool(process: int, cores: int) -> ThreadPoolExecutor:
    """Threads of this process; a fork has none of those of its parent."""
    return ThreadPoolExecutor(max(1, cores - 1), "attention")
