"""What compiled code needs to know of tensors, and a cache of small tensors.

- :func:`is_plain_cpu_tensor`: compiled code takes the addresses of tensors and sees nothing else,
  so they must be ordinary ones.
- :func:`cached_tensors`: small tensors that take longer to make than to use.

:mod:`speechattn.attention.kernels.threads` shares work among cores.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor
from torch.autograd import forward_ad

PLAIN_TYPES = (Tensor, torch.nn.Parameter)

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


# --- a cache of tensors ---------------------------------------------------------------------------


def outside_inference_mode(make: Callable) -> Callable:
    """Decorate a function so that its tensors can be used for gradients later.

    Tensors made under ``torch.inference_mode`` could not.
    """

    @functools.wraps(make)
    def made(*arguments):
        with torch.inference_mode(False):
            return make(*arguments)

    return made


def cached_tensors(size: int | None) -> Callable[[Callable], Callable]:
    """Cache the last results of a function whose tensors are never changed.

    They serve inference and training alike. While tensors hold no numbers (``FakeTensorMode``, as
    in ``torch.export``), nothing is cached.

    Args:
        size: number of results; None for all. The arguments must be hashable.
    """

    def decorate(make: Callable) -> Callable:
        cached = functools.lru_cache(maxsize=size)(outside_inference_mode(make))

        @functools.wraps(make)
        def made(*arguments):
            return (cached if can_be_cached() else make)(*arguments)

        made.cache_clear = cached.cache_clear
        return made

    return decorate


def can_be_cached() -> bool:
    """Return whether tensors that are made now hold numbers."""
    return not torch.compiler.is_compiling() and type(torch.empty(0)) is Tensor


def apart(function: Callable) -> Callable:
    """Decorate a function that ``torch.compile`` must call as it is.

    What the function does depends on the numbers or the sizes of tensors. A compiler that looked
    into it would compile again for each length. ``torch.export`` does look into it.
    """
    hidden = torch._disable_dynamo(function)  # imports the compiler only when it is called

    @functools.wraps(function)
    def called(*arguments, **options):
        if torch.compiler.is_dynamo_compiling() and not torch.compiler.is_exporting():
            return hidden(*arguments, **options)
        return function(*arguments, **options)

    return called


# --- ordinary tensors -----------------------------------------------------------------------------


def is_plain_cpu_tensor(*tensors: Tensor | None) -> bool:
    """Return whether compiled code may work on the memory of these tensors (None is skipped).

    It may not on other devices, while tensors hold no numbers (``torch.export``,
    ``FakeTensorMode``), and while operations are recorded or transformed (``torch.compile``,
    ``torch.jit.trace``, ``torch.vmap``, forward-mode gradients).
    """
    for x in tensors:
        if x is not None and not (x.is_cpu and type(x) in PLAIN_TYPES):
            return False
    return not (torch.compiler.is_compiling() or torch.jit.is_tracing() or _is_watched())


def _is_watched() -> bool:
    """Return whether a dispatch mode or a function transform sees PyTorch's operations now."""
    queries = _dispatch_queries()
    if queries is None or forward_ad._current_level >= 0:
        return True
    mode_count, transform = queries
    return mode_count() > 0 or transform() is not None


@functools.cache
def _dispatch_queries() -> tuple[Callable[[], int], Callable[[], object]] | None:
    """Return PyTorch's private functions for its dispatch modes and function transforms.

    None if this version of PyTorch lacks them. Nobody can then tell whether operations are watched,
    and PyTorch's own operations are used throughout: slower, and right.
    """
    try:
        mode_count = torch._C._len_torch_dispatch_stack
        transform = torch._C._functorch.peek_interpreter_stack
        transform()
        usable = isinstance(mode_count(), int) and isinstance(forward_ad._current_level, int)
    except (AttributeError, TypeError, RuntimeError):
        return None
    return (mode_count, transform) if usable else None
