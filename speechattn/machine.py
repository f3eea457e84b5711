"""What this process may use of the machine: cores, threads and memory, within a container's limits.

Linux keeps the limits of containers, and of services and batch jobs, in control groups: a tree of
folders, of which version 1 has one for each resource and version 2 one for all. What holds is the
least limit of the group that the process belongs to and of those above it.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

GROUPS = Path("/sys/fs/cgroup")
OWN_GROUPS = Path("/proc/self/cgroup")  # lines of number:resources:path; version 2 names none
MEMORY = Path("/proc/meminfo")
_UNREADABLE = (OSError, ValueError, ZeroDivisionError, KeyError)
_THREADS = "OMP_NUM_THREADS"  # PyTorch goes by it as well

_chosen: int | None = None  # threads that were set while PyTorch was not there


def num_usable_cores() -> int:
    """Number of cores that this process may run on, at most a container's quota; at least 1."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        cores = os.cpu_count() or 1
    for folder in _groups("cpu"):
        with contextlib.suppress(*_UNREADABLE):
            quota, period = (folder / "cpu.max").read_text().split()
            cores = min(cores, -(-int(quota) // int(period)))
        with contextlib.suppress(*_UNREADABLE):
            most, each = (_number(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
            cores = min(cores, -(-most // each)) if most > 0 else cores
    return max(1, cores)


def num_threads() -> int:
    """Number of threads that compiled code may compute with: PyTorch's, if it is imported."""
    torch = imported_torch()
    if torch is not None:
        hand_on_threads()
        return torch.get_num_threads()
    return _chosen or _default_threads()


def set_num_threads(count: int) -> None:
    """Set the number of threads of this package and of PyTorch, also if that comes later.

    Args:
        count: 1 or more.
    """
    global _chosen
    _chosen = count
    hand_on_threads()


def hand_on_threads() -> None:
    """Give PyTorch, once it is imported, the number that was set before; later it has its own."""
    global _chosen
    torch = imported_torch()
    if torch is not None and _chosen is not None:
        torch.set_num_threads(_chosen)
        _chosen = None


def imported_torch() -> Any:
    """Return PyTorch, if it has been imported to its end."""
    torch = sys.modules.get("torch")
    return torch if hasattr(torch, "set_num_threads") else None


@functools.cache
def _default_threads() -> int:
    given = os.environ.get(_THREADS, "").partition(",")[0].strip()
    return int(given) if given.isdecimal() and int(given) else num_usable_cores()


def available_memory() -> int | None:
    """Bytes that processes of this one's limits may still take; None if nobody knows."""
    found = []
    with contextlib.suppress(*_UNREADABLE):
        found.append(1024 * _table(MEMORY)["MemAvailable:"])
    if not found:
        with contextlib.suppress(AttributeError, *_UNREADABLE):  # macOS knows what it has in all
            found.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for folder in _groups("memory"):
        for most, used, cache in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            with contextlib.suppress(*_UNREADABLE):
                left = _number(folder / most) - _number(folder / used)
                with contextlib.suppress(*_UNREADABLE):  # files in memory make room
                    left += _table(folder / "memory.stat")[cache]
                found.append(max(0, left))
    return min(found, default=None)


def _groups(resource: str) -> Iterator[Path]:
    """Yield the folders of this process's control groups for a resource, its own first."""
    try:
        lines = OWN_GROUPS.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, resources, path = line.split(":", 2)
        own = PurePosixPath(path.lstrip("/"))
        if ".." in own.parts:  # outside what this container sees
            own = PurePosixPath()
        if not resources:
            mounts = [GROUPS, GROUPS / "unified"]
        elif resource in resources.split(","):
            mounts = [GROUPS / resources, GROUPS / resource]
        else:
            continue
        for mount in mounts:
            for group in (own, *own.parents):
                yield mount / group


def _number(path: Path) -> int:
    return int(path.read_text())  # "max" for no limit is no number


def _table(path: Path) -> dict[str, int]:
    """Return the numbers of a file with a name and a number on each line, perhaps with a unit."""
    words = (line.split() for line in path.read_text().splitlines())
    return {name: int(number) for name, number, *_ in words}
