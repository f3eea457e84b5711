"""What the process that loads a model may have set up, and what that means for the model."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from speechattn.errors import ConfigError
from speechattn.machine import imported_torch, set_num_threads
from speechattn.process import may_compile

if TYPE_CHECKING:
    import torch


def check_numba() -> None:
    """Refuse a process in which Numba does not compile: the decoder has no other form.

    Raises:
        ConfigError: if ``NUMBA_DISABLE_JIT`` is set.
    """
    if not may_compile():
        raise ConfigError(
            "NUMBA_DISABLE_JIT: is set, but models run on code that Numba compiles; unset it"
        )


@functools.cache
def use_one_thread_after_fork() -> None:
    """Make children that are forked from this process compute with one thread.

    The threads of PyTorch do not survive a fork: a child that asks for them waits for ever. This
    is what servers do that load a model before they fork.
    """
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=functools.partial(set_num_threads, 1))


def compute_on(cores: int) -> None:
    """Set the number of cores that PyTorch uses in this thread, whatever others set later.

    A thread that has not asked for the number takes the one that was set last by any thread, at its
    first operation, even after it has set its own. Without PyTorch, all threads have one number.
    """
    torch = imported_torch()
    if torch is not None:
        torch.get_num_threads()
        torch.set_num_threads(cores)


class _ProcessSettings:
    """Settings of the whole process, set for as long as one thread needs them."""

    def __init__(self) -> None:
        self._lock, self._users = threading.Lock(), 0
        self._before: tuple[torch.dtype, str] | None = None

    def __enter__(self) -> None:
        import torch

        with self._lock:
            if not self._users:
                self._before = torch.get_default_dtype(), torch.get_float32_matmul_precision()
                self._set(torch.float32, "highest")
            self._users += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users -= 1
            if not self._users and self._before is not None:
                self._set(*self._before)

    @staticmethod
    def _set(dtype: torch.dtype, precision: str) -> None:
        import torch

        if torch.get_default_dtype() != dtype:
            torch.set_default_dtype(dtype)
        if torch.get_float32_matmul_precision() != precision:
            torch.set_float32_matmul_precision(precision)


_process_settings = _ProcessSettings()


@contextlib.contextmanager
def plain_settings() -> Iterator[None]:
    """Compute as in a fresh process, whatever a program has set PyTorch to; also a decorator.

    Default type and device, autocast and the precision of products change what a model computes, or
    stop it. They are put back afterwards.
    """
    import torch

    with contextlib.ExitStack() as stack:
        stack.enter_context(_process_settings)
        for device in ("cpu", "cuda"):
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        yield
