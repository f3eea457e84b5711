"""Processes of benchmarks: what one takes (wall time, CPU time, memory), and the machine it ran on.

The memory of a program that may be several processes is sampled while they run.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import IO, TYPE_CHECKING

from speechattn import __version__
from speechattn.errors import SpeechattnError, UsageError
from speechattn.text import one_line

if TYPE_CHECKING:
    import psutil

# Linux counts the peak memory of a process in KiB, macOS in bytes.
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024

SAMPLE_SECONDS = 0.1
_STATUS, _CPUINFO = Path("/proc/self/status"), Path("/proc/cpuinfo")  # Linux


@dataclass(frozen=True)
class Usage:
    """Time and memory of a process, from before its start until after its end.

    Attributes:
        wall: seconds.
        cpu: seconds of all its threads and of the processes it waited for, in user and system
            mode; None if unknown.
        peak_rss: most resident memory in bytes, of the process and its descendants (see
            :class:`MemorySampler`); None if unknown. Linux counts the moment between fork and
            exec, so it is never less than the memory of the caller.
        sampled_peak: the same by samples alone, for a caller that is large itself.
    """

    wall: float
    cpu: float | None = None
    peak_rss: int | None = None
    sampled_peak: int | None = None


def usable_core_ids() -> list[int]:
    """Numbers of the cores that this process may use, sorted."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def can_pin() -> bool:
    """Whether this system can pin a process to some of its cores."""
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
    """Pin this thread, and the processes it starts meanwhile, to some cores, where possible.

    A child inherits the cores of the thread that starts it. So none of our code has to run between
    fork and exec, as with ``preexec_fn``, which is not safe beside threads.
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


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """Have PyTorch compute with so many threads while the block runs."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def run_process(
    arguments: Sequence[str],
    cores: Sequence[int],
    name: str,
    variables: Mapping[str, str] | None = None,
) -> Usage:
    """Run a program to its end on some cores; it reads nothing and its output is dropped.

    Args:
        arguments: the program and its arguments; no shell is involved.
        cores: numbers of the cores; ignored where processes cannot be pinned.
        name: what to call the program in messages.
        variables: of its environment, beside those of this process.

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
                    env={**os.environ, **(variables or {})},
                )
        except OSError as error:
            raise SpeechattnError(
                f"{name}: cannot be started ({error.strerror}); with very many files, "
                "give their folders"
            ) from error
        try:
            usage = _wait(process, began)
        except BaseException:  # an interrupt: no process may be left behind
            process.kill()
            process.wait()
            raise
        if process.returncode:
            raise SpeechattnError(
                f"{name}: failed with status {process.returncode}: {_last_line(messages)}"
            )
    return usage


def _wait(process: subprocess.Popen[bytes], began: float) -> Usage:
    if not hasattr(os, "wait4"):  # Windows
        process.wait()
        return Usage(time.perf_counter() - began)
    with MemorySampler(process.pid) as memory:
        _, status, resources = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)  # it has been reaped
    cpu = resources.ru_utime + resources.ru_stime
    # The first is exact, but of the largest process; the second is of all of them, but sampled.
    peak = max(resources.ru_maxrss * _RSS_UNIT, memory.peak or 0)
    return Usage(wall, cpu, peak, memory.peak)


def _last_line(messages: IO[bytes]) -> str:
    """Return the last line that a program wrote, shown safely."""
    messages.seek(0)
    lines = messages.read().decode("utf-8", "backslashreplace").strip().splitlines()
    return one_line(lines[-1].strip()) if lines else "it said nothing; run it by itself"


def check_psutil() -> None:
    """Check that psutil is installed, which is part of the extra ``bench``.

    Raises:
        UsageError: if it is not.
    """
    if importlib.util.find_spec("psutil") is None:
        raise UsageError("psutil is not installed; run `pip install 'speechattn[bench]'`")


class MemorySampler:
    """Watches the memory of a process and its descendants while the block runs.

    A process has memory of its own, and shared memory and parts of files (libraries) that its
    relatives may have as well. The sum of the first over all processes and the largest of the
    second are counted. Short peaks between two samples are missed.

    Args:
        pid: of the process at the top.

    Attributes:
        peak: the most bytes of any sample; None if there is none yet.

    Raises:
        UsageError: if psutil, which is part of the extra ``bench``, is not installed.
    """

    def __init__(self, pid: int) -> None:
        check_psutil()
        self.peak: int | None = None
        self._pid = pid
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> MemorySampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        import psutil

        while not self._over.wait(SAMPLE_SECONDS):
            sizes = []
            for process in process_tree(self._pid):
                with suppress(psutil.Error):  # it has ended
                    sizes.append(process.memory_info())
            if sizes:
                shared = [getattr(size, "shared", 0) for size in sizes]  # Linux alone has it
                total = sum(size.rss for size in sizes) - sum(shared) + max(shared)
                self.peak = max(self.peak or 0, total)


def process_tree(pid: int) -> list[psutil.Process]:
    """Return a process and its descendants, those that are alive."""
    import psutil

    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.Error:  # it has ended
        return []


def own_peak() -> int | None:
    """Return the most resident memory of this process so far in bytes; None if it is not known.

    Not that of getrusage, which counts what its parent held while it was made; psutil has none.
    """
    try:
        text = _STATUS.read_text()
    except OSError:
        return None
    found = re.search(r"VmHWM:\s+(\d+) kB", text)
    return int(found[1]) * 1024 if found else None


def peak_of_module(module: str, words: Sequence[str], what: str, way_out: str) -> int | None:
    """Return the peak memory in bytes of a program in its own process, libraries included.

    Args:
        module: the program, which prints its :func:`own_peak`, or 0, and nothing else.
        words: the program's arguments.
        what: that is measured, for messages.
        way_out: what to do if it fails, for messages.

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


def cpu_model(cpuinfo: Path = _CPUINFO) -> str:
    """Return the model name of the processor, or what the system says instead.

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
    """Return the version of an installed package without importing it."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def machine_facts(packages: Sequence[str]) -> dict[str, str]:
    """Describe processor, cores, load, system and versions.

    The load is that of the last minute. If it is not near 0 before a benchmark, other programs
    compete with what is measured.

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
