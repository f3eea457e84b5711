"""Run a program as a process of its own and say what it took: wall time, CPU time, memory.

Memory of a program that may be several processes: sampled while they run.

What a benchmark ran on: without it, a time means nothing.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from speechattn import __version__
from speechattn.errors import SpeechattnError, UsageError
from speechattn.text import one_line

# Linux counts the peak memory of a process in KiB, macOS in bytes.
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024


SAMPLE_SECONDS = 0.1
_PROC = Path("/proc")  # Linux


_CPUINFO = Path("/proc/cpuinfo")  # Linux


@dataclass(frozen=True)
class Usage:
    """What a process took, from before it was started to after it had ended.

    Attributes:
        wall: seconds.
        cpu: seconds of all its threads and of the processes it waited for, in user and system
            mode; None where it cannot be known.
        peak_rss: most resident memory in bytes, of it and its descendants together (see
            :mod:`~speechattn.bench.process`); None where it cannot be known. Linux counts the
            moment between fork and exec, so it is never less than what the caller holds.
    """

    wall: float
    cpu: float | None = None
    peak_rss: int | None = None


def usable_core_ids() -> list[int]:
    """Numbers of the cores that this process may use, sorted."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def can_pin() -> bool:
    """Whether this system can keep a process on some of its cores."""
    return hasattr(os, "sched_setaffinity")


def pick_cores(threads: int) -> list[int]:
    """The first ``threads`` of the usable cores.

    Raises:
        UsageError: if there are fewer.
    """
    cores = usable_core_ids()
    if not 1 <= threads <= len(cores):
        raise UsageError(
            f"{threads} threads, each on a core of its own: this process may use "
            f"{len(cores)} cores; choose 1 to {len(cores)}"
        )
    return cores[:threads]


@contextmanager
def pinned(cores: Sequence[int]) -> Iterator[None]:
    """Keep this thread, and the processes it starts meanwhile, on some cores, where possible.

    A child inherits the cores of the thread that starts it, so none of our code has to run
    between fork and exec, which ``preexec_fn`` would need and which is not safe beside threads.
    """
    if not can_pin():
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def run_process(arguments: Sequence[str], cores: Sequence[int], name: str) -> Usage:
    """Run a program to its end on some cores; it reads nothing and its output is dropped.

    Args:
        arguments: the program and its arguments; no shell is involved.
        cores: numbers of the cores; ignored where processes cannot be pinned.
        name: what to call the program in messages.

    Raises:
        SpeechattnError: if it cannot be started or fails; with the last line of its messages.
    """
    with tempfile.TemporaryFile() as messages:
        try:
            with pinned(cores):
                began = time.perf_counter()
                process = subprocess.Popen(
                    arguments,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=messages,
                )
        except OSError as error:
            raise SpeechattnError(
                f"{name}: cannot be started ({error.strerror}); with very many files, "
                "give their folders"
            ) from error
        try:
            usage = _wait(process, began)
        except BaseException:  # an interrupt: leave nothing behind that goes on computing
            process.kill()
            process.wait()
            raise
        if process.returncode:
            raise SpeechattnError(
                f"{name}: failed with status {process.returncode}: {_last_line(messages)}"
            )
    return usage


def _wait(process: subprocess.Popen, began: float) -> Usage:
    if not hasattr(os, "wait4"):  # Windows
        process.wait()
        return Usage(time.perf_counter() - began)
    with MemorySampler(process.pid) as memory:
        _, status, resources = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)  # it is gone: nobody can wait again
    cpu = resources.ru_utime + resources.ru_stime
    # The first is the most of the largest process at any time, the second of all, at some times.
    peak = max(resources.ru_maxrss * _RSS_UNIT, memory.peak or 0)
    return Usage(wall, cpu, peak)


def _last_line(messages) -> str:
    """The last line of what a program had to say, shown safely."""
    messages.seek(0)
    lines = messages.read().decode("utf-8", "backslashreplace").strip().splitlines()
    return one_line(lines[-1].strip()) if lines else "it said nothing; run it by itself"


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
            held = [found for pid in process_tree(self._pid) if (found := _held(pid))]
            if held:
                total = sum(own for own, _ in held) + max(files for _, files in held)
                self.peak = max(self.peak or 0, total)


def process_tree(pid: int) -> list[int]:
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


def cpu_model(cpuinfo: Path = _CPUINFO) -> str:
    """What the maker calls the processor, as far as the system tells.

    Args:
        cpuinfo: Linux's description of the processors.
    """
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("model name", "Model") and value.strip():
            return value.strip()
    return platform.processor() or platform.machine() or "unknown"


def version_of(package: str) -> str:
    """Version of an installed package, looked up without importing it."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def machine_facts(packages: Sequence[str]) -> dict[str, str]:
    """Processor, cores, load, system and versions, for people to read.

    The load is that of the last minute: where it is not near 0 when the benchmark begins, other
    programs compete with what is measured.

    Args:
        packages: whose versions matter.
    """
    facts = {
        "CPU": cpu_model(),
        "cores": f"{os.cpu_count()}, of them usable {len(usable_core_ids())}",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "Python": platform.python_version(),
        "speechattn": __version__,
    }
    facts |= {package: version_of(package) for package in packages}
    if hasattr(os, "getloadavg"):
        facts["load before"] = f"{os.getloadavg()[0]:.2f}"
    return facts
