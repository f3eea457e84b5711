"""Memory of a program that may be several processes: sampled while they run."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from speechattn.errors import SpeechattnError

SAMPLE_SECONDS = 0.1
_PROC = Path("/proc")  # Linux


class MemorySampler:
    """Watches a process and its descendants while the block runs.

    What a process has in memory is its own (anonymous and shared memory) and parts of files
    (libraries) that its relatives have in common with it: the sum of the first over all processes
    and the largest of the second are counted. Short peaks between two samples are missed.

    Args:
        pid: of the process at the top.

    Attributes:
        peak: bytes, the most that was seen; None where the system does not tell.
    """

    def __init__(self, pid: int) -> None:
        self.peak: int | None = None
        self._pid = pid
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(SAMPLE_SECONDS):
            held = [found for pid in family(self._pid) if (found := _held(pid))]
            if held:
                total = sum(own for own, _ in held) + max(files for _, files in held)
                self.peak = max(self.peak or 0, total)


def family(pid: int) -> list[int]:
    """A process and its descendants, those that are alive."""
    found, new = [], [pid]
    while new:
        found += new
        new = [child for parent in new for child in _children(parent)]
    return found


def _children(pid: int) -> list[int]:
    children: list[int] = []
    try:
        for task in os.listdir(_PROC / str(pid) / "task"):
            text = (_PROC / str(pid) / "task" / task / "children").read_text()
            children += map(int, text.split())
    except OSError:  # it has ended, or this system does not tell
        pass
    return children


def own_peak() -> int | None:
    """Most resident memory of this process so far in bytes; None where the system does not tell.

    Not that of getrusage, which counts what its parent held while it was made.
    """
    sizes = _sizes("self", "VmHWM")
    return sizes and sizes["VmHWM"] or None


def peak_of_module(module: str, words: Sequence[str], what: str, way_out: str) -> int | None:
    """Most resident memory in bytes of a process of its own, Python and libraries included.

    Args:
        module: its program, which prints its :func:`own_peak`, or 0, and nothing else.
        words: the program's arguments.
        what: is measured, for messages.
        way_out: what to do where it fails, for messages.

    Raises:
        SpeechattnError: if the process fails.
    """
    command = [sys.executable, "-m", module, *words]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["it said nothing"]
        raise SpeechattnError(
            f"memory of {what}: its process failed with status {done.returncode}: {lines[-1]}; "
            f"{way_out}"
        )
    return int(done.stdout) or None


def _held(pid: int) -> tuple[int, int] | None:
    """Bytes of its own and of files that a process has in memory; None if it has ended."""
    sizes = _sizes(str(pid), "RssAnon", "RssShmem", "RssFile")
    return sizes and (sizes["RssAnon"] + sizes["RssShmem"], sizes["RssFile"])


def _sizes(process: str, *names: str) -> dict[str, int] | None:
    """Entries of a process's status in bytes, 0 for those it lacks; None if it has ended."""
    sizes = dict.fromkeys(names, 0)
    try:
        lines = (_PROC / process / "status").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        name, _, value = line.partition(":")
        if name in sizes:
            sizes[name] = int(value.split()[0]) * 1024
    return sizes
