"""Tensors that are made once and kept: small ones that take longer to make than to use."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor


def plain(make: Callable) -> Callable:
    """What ``make`` gives, also under ``torch.inference_mode``, is fit for gradients later."""

    @functools.wraps(make)
    def made(*arguments):
        with torch.inference_mode(False):
            return make(*arguments)

    return made


def keep(most: int | None) -> Callable[[Callable], Callable]:
    """For a function whose tensors nobody changes: the last ``most`` results are kept.

    They serve inference and training, whichever comes first. While tensors stand for others that
    are not there (``FakeTensorMode``, as in ``torch.export``), nothing is kept.

    Args:
        most: results; None for all. The arguments must be hashable.
    """

    def decorate(make: Callable) -> Callable:
        kept = functools.lru_cache(maxsize=most)(plain(make))

        @functools.wraps(make)
        def made(*arguments):
            return (kept if can_be_kept() else make)(*arguments)

        made.cache_clear = kept.cache_clear
        return made

    return decorate


def can_be_kept() -> bool:
    """Whether tensors that are made now hold numbers."""
    return type(torch.empty(0)) is Tensor
