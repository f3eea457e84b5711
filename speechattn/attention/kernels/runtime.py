"""Compiled code on several cores: as many as PyTorch is told to use.

Such code does not hold Python's lock, so that threads do.

Tensors that are made once and kept: small ones that take longer to make than to use.

Whether compiled code may work on tensors: it takes their addresses and knows nothing else of them.
"""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor
from torch.autograd import forward_ad

WORTHWHILE = 1 << 22  # products of numbers, of which a core does so many in some 0.1 ms


PLAIN_TYPES = (Tensor, torch.nn.Parameter)


DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def parallel_for(
    run: Callable[[int, int], None], count: int, work: int, held: object = None
) -> None:
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


def outside_inference_mode(make: Callable) -> Callable:
    """What ``make`` gives, also under ``torch.inference_mode``, is fit for gradients later."""

    @functools.wraps(make)
    def made(*arguments):
        with torch.inference_mode(False):
            return make(*arguments)

    return made


def cached_tensors(most: int | None) -> Callable[[Callable], Callable]:
    """For a function whose tensors nobody changes: the last ``most`` results are kept.

    They serve inference and training, whichever comes first. While tensors stand for others that
    are not there (``FakeTensorMode``, as in ``torch.export``), nothing is kept.

    Args:
        most: results; None for all. The arguments must be hashable.
    """

    def decorate(make: Callable) -> Callable:
        kept = functools.lru_cache(maxsize=most)(outside_inference_mode(make))

        @functools.wraps(make)
        def made(*arguments):
            return (kept if can_be_cached() else make)(*arguments)

        made.cache_clear = kept.cache_clear
        return made

    return decorate


def can_be_cached() -> bool:
    """Whether tensors that are made now hold numbers."""
    return type(torch.empty(0)) is Tensor


def is_plain_cpu_tensor(*tensors: Tensor | None) -> bool:
    """Whether all of them are numbers in this computer's memory, and nobody else is to be told.

    Not on another device, not while tensors stand for others (``torch.export``, ``FakeTensorMode``),
    and not while what is done to them is written down or changed (``torch.compile``,
    ``torch.jit.trace``, ``torch.vmap``, forward-mode gradients).
    """
    for x in tensors:
        if x is not None and not (x.is_cpu and type(x) in PLAIN_TYPES):
            return False
    return not (_is_watched() or torch.compiler.is_compiling() or torch.jit.is_tracing())


def _is_watched() -> bool:
    """Whether a mode or a transformation stands between PyTorch and the numbers."""
    if torch._C._len_torch_dispatch_stack() or forward_ad._current_level >= 0:
        return True
    return torch._C._functorch.peek_interpreter_stack() is not None


@functools.cache
def fast_bfloat16() -> bool:
    """Whether oneDNN multiplies bfloat16 on this processor; if not, it goes number by number."""
    return torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
