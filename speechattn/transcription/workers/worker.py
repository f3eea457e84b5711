"""What a worker process does: it takes tasks from its caller one after the other and answers.

Caller and worker talk in pickles, each other's and nobody else's, over standard input and output.
The worker gets a *setup*, which it calls once and which gives it the function for its tasks and a
dictionary of facts; then lists of tasks, until its caller closes the pipe. It answers with
:class:`Ready` or :class:`Failed`, then for each list any number of :class:`Progress` and one
:class:`Done`.
"""

from __future__ import annotations

import functools
import os
import pickle
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, NoReturn

from speechattn.errors import SpeechattnError
from speechattn.process import start_own_process

# A function for tasks: takes one, and another function to tell of its progress, from 0 to 1.
Do = Callable[[Any, Callable[[float], None]], Any]
WorkerInit = Callable[[], tuple[Do, dict]]


@dataclass(frozen=True)
class Ready:
    """The worker takes tasks."""

    facts: dict


@dataclass(frozen=True)
class Failed:
    """The setup failed in a way that the user can do something about."""

    error: SpeechattnError


@dataclass(frozen=True)
class Progress:
    """How much of a task of the list has been done, from 0 to 1."""

    number: int
    share: float


@dataclass(frozen=True)
class Done:
    """What came of the tasks of a list."""

    values: list


def work() -> NoReturn:
    """Serve the caller until it closes the pipe, or is no more; ends the process."""
    status = 1
    try:
        start_own_process()
        _serve()
        status = 0
    except SystemExit as leaving:
        status = leaving.code if isinstance(leaving.code, int) else 1
    except BaseException:  # noqa: BLE001 - the caller finds this process ended, people find why
        traceback.print_exc()
    # At once: the thread that listens stands in the way of an orderly end.
    sys.stderr.flush()
    os._exit(status)


def _serve() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the caller, who ends its workers
    answers = _keep_standard_output()
    tasks: queue.SimpleQueue = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(sys.stdin.buffer, tasks), daemon=True).start()

    def say(message: object) -> None:
        try:
            pickle.dump(message, answers, pickle.HIGHEST_PROTOCOL)
            answers.flush()
        except BrokenPipeError:  # the caller is no more
            os._exit(1)

    setup: WorkerInit = tasks.get()
    try:
        do, facts = setup()
    except SpeechattnError as error:
        say(Failed(error))
        return
    say(Ready(facts))
    while True:
        say(Done(do_all(do, tasks.get(), lambda number, share: say(Progress(number, share)))))


def do_all(do: Do, tasks: Sequence[Any], report: Callable[[int, float], None]) -> list:
    """Do tasks: several together, where the function has a method ``several`` for that.

    Args:
        do: the function.
        tasks: one or more.
        report: is told the number of a task and how much of it has been done.

    Returns:
        What came of each.
    """
    if len(tasks) > 1 and hasattr(do, "several"):
        return do.several(tasks, report)
    return [do(task, functools.partial(report, number)) for number, task in enumerate(tasks)]


def _keep_standard_output() -> BinaryIO:
    """The pipe to the caller; whatever else is printed in this process goes to standard error."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return answers


def _listen(source: BinaryIO, tasks: queue.SimpleQueue) -> None:
    """Hand on what comes. At its end nobody waits for this process: it leaves at once."""
    while True:
        try:
            task = pickle.load(source)
        except BaseException:  # noqa: BLE001 - the end, or the middle of what a dying caller wrote
            os._exit(1)
        tasks.put(task)


@dataclass(frozen=True)
class WorkerDied:
    """In the place of a task's value: its worker died, each time."""

    reason: str
