"""What the process that loads a model may have set up, and what that means for the model."""

from __future__ import annotations

import functools
import os
import sys

import torch

from speechattn.errors import ConfigError


def check_numba() -> None:
    """Refuse a process in which Numba does not compile: the decoder has no other form.

    Raises:
        ConfigError: if ``NUMBA_DISABLE_JIT`` is set.
    """
    numba = sys.modules.get("numba")
    if numba is None:
        disabled = os.environ.get("NUMBA_DISABLE_JIT", "") not in ("", "0")
    else:  # it has read the variable, or a program has set it
        disabled = bool(numba.config.DISABLE_JIT)
    if disabled:
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
        os.register_at_fork(after_in_child=functools.partial(torch.set_num_threads, 1))
