"""How many cores this process may use."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

QUOTA = Path("/sys/fs/cgroup/cpu.max")  # of a container: microseconds of work per microseconds
_CUDA_DEVICES = ("/dev/nvidiactl", "/dev/dxg")  # one of them is there where CUDA may work on Linux


def usable_cores() -> int:
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
