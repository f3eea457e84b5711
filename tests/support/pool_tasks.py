"""Tasks for worker processes, which import them from here."""

from __future__ import annotations

import os
import signal
import sys
import time
from functools import partial
from pathlib import Path

from speechattn.errors import ModelError
from speechattn.process import tell


def doubles():
    """A setup for tasks that are numbers."""
    return (lambda task, report: 2 * task), {"pid": os.getpid()}


def chatty():
    """Reports halves, and prints where answers go."""

    def do(task, report):
        print("noise on standard output", flush=True)
        os.write(1, b"more noise\n")
        report(0.5)
        return task

    return do, {}


def telling():
    """Tells the user the same with each task."""

    def do(task, report):
        tell("as in TIMIT")
        return task

    return do, {}


def _die(marks: Path, task: str, report) -> str:
    """Do as the task says, having left a mark each time."""
    with open(marks / task, "a") as file:
        file.write("x")
    times = len((marks / task).read_text())
    if task == "killed" or (task == "killed once" and times == 1):
        os.kill(os.getpid(), signal.SIGKILL)
    if task == "exit":
        os._exit(3)
    if task == "raise":
        raise RuntimeError("a mistake")
    if task == "slow":
        time.sleep(60)
    return task


class Together:
    """Doubles tasks; several at once, which it tells by giving their number as well."""

    def __call__(self, task, report):
        return 2 * task, 1

    def several(self, tasks, report):
        for place in range(len(tasks)):
            report(place, 0.5)
        return [(2 * task, len(tasks)) for task in tasks]


def together():
    """A setup for tasks that are done together."""
    return Together(), {}


class DyingTogether:
    """As :func:`_die`; several leave their marks one after the other."""

    def __init__(self, marks: Path):
        self._marks = marks

    def __call__(self, task, report):
        return _die(self._marks, task, report)

    def several(self, tasks, report):
        return [_die(self._marks, task, report) for task in tasks]


def dying_together(marks: Path):
    """A setup for tasks that end a process which does several."""
    return DyingTogether(marks), {}


def dying(marks: Path):
    """A setup for tasks that end their process."""
    return partial(_die, marks), {}


def refused():
    """A setup that fails in a way the user can do something about."""
    raise ModelError("m: no such model; see the list")


def broken():
    """A setup that fails in another way."""
    sys.exit(5)


def identity(task, report):
    """Gives back what it gets, later for those that begin with ``late``."""
    if str(task).startswith("late"):
        time.sleep(0.3)
    return task


def plain():
    """A setup for :func:`identity`."""
    return identity, {}


def large():
    """Keep 100 MB, and answer with the megabytes that this process shares with no other."""
    room = bytearray(os.urandom(1 << 20)) * 100

    def do(task, report):
        assert room[task] is not None
        lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith("Private")) >> 10

    return do, {"pid": os.getpid()}
