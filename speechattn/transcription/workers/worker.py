"""The program of a worker process: it takes lists of tasks from its caller and answers.

Caller and worker exchange pickles over standard input and output, only with each other. The worker
first gets a *setup*. It calls it once, and gets the function for its tasks and a dictionary of
facts. Then come lists of tasks, until the caller closes the pipe. The worker answers with
:class:`Ready` or :class:`Failed`, then for each list with any number of :class:`Progress` and
:class:`Told` and one :class:`Done`.
"""

from __future__ import annotations

import functools
import gc
import os
import pickle
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, NoReturn, cast

from speechattn.errors import SpeechattnError
from speechattn.process import start_own_process, tell_through

# The function for tasks: takes one, and a function that is called with its progress, from 0 to 1.
Do = Callable[[Any, Callable[[float], None]], Any]
WorkerInit = Callable[[], tuple[Do, dict[str, Any]]]


@dataclass(frozen=True)
class Ready:
    """The worker takes tasks now.

    Attributes:
        facts: from the setup.
        pid: of the worker.
    """

    facts: dict[str, Any]
    pid: int = 0


@dataclass(frozen=True)
class Failed:
    """The setup failed for a reason that the user can remove."""

    error: SpeechattnError


@dataclass(frozen=True)
class Progress:
    """Progress within a task.

    Attributes:
        number: index of the task in its list.
        share: how much of it has been done, from 0 to 1.
    """

    number: int
    share: float


@dataclass(frozen=True)
class Told:
    """A message for the user, which the caller prints once for all workers."""

    text: str


@dataclass(frozen=True)
class Done:
    """The values of a list of tasks, in its order."""

    values: list[Any]


def work(siblings: Sequence[int] = ()) -> NoReturn:
    """Serve the caller until it closes the pipe or ends; then end this process.

    Args:
        siblings: sockets of further workers. They are forked from this process after the setup, so
            that they share its memory as long as they do not change it.
    """
    status = 1
    try:
        start_own_process()
        _serve(siblings)
        status = 0
    except SystemExit as leaving:
        status = leaving.code if isinstance(leaving.code, int) else 1
    except BaseException:
        traceback.print_exc()  # the caller only finds that this process has ended
    # At once: the thread that reads tasks cannot be stopped in an orderly way.
    sys.stderr.flush()
    os._exit(status)


def _serve(siblings: Sequence[int]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the caller, who ends its workers
    source, answers = cast(BinaryIO, sys.stdin.buffer), _keep_standard_output()
    tasks: queue.SimpleQueue = queue.SimpleQueue()
    if siblings:  # no thread may run before they have been forked
        tasks.put(_next_message(source))
    else:
        _receive_in_background(source, tasks)

    one_at_a_time = threading.Lock()  # threads that read recordings tell things as well

    def send(message: object) -> None:
        try:
            with one_at_a_time:
                pickle.dump(message, answers, pickle.HIGHEST_PROTOCOL)
                answers.flush()
        except BrokenPipeError:  # the caller has ended
            os._exit(1)

    setup: WorkerInit = tasks.get()
    try:
        do, facts = setup()
    except SpeechattnError as error:
        send(Failed(error))
        return
    if siblings:
        connection = _fork(siblings)
        if connection is not None:
            answers.close()
            os.dup2(connection, 0)  # the pipe of the process that this one comes from
            source, answers = os.fdopen(connection, "rb"), os.fdopen(os.dup(connection), "wb")
        _receive_in_background(source, tasks)
    send(Ready(facts, os.getpid()))
    tell_through(lambda text: send(Told(text)))
    while True:
        send(Done(do_all(do, tasks.get(), lambda number, share: send(Progress(number, share)))))


def do_all(do: Do, tasks: Sequence[Any], report: Callable[[int, float], None]) -> list[Any]:
    """Do tasks: together if the function has a method ``several``, otherwise one by one.

    Args:
        do: the function for tasks.
        tasks: one or more.
        report: called with the index of a task and the share of it that is done.

    Returns:
        The value of each task.
    """
    several = getattr(do, "several", None)
    if len(tasks) > 1 and several is not None:
        return several(tasks, report)
    return [do(task, functools.partial(report, number)) for number, task in enumerate(tasks)]


def _keep_standard_output() -> BinaryIO:
    """Return the pipe to the caller; what this process prints goes to standard error from now."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return answers


def _fork(sockets: Sequence[int]) -> int | None:
    """Fork a process for each socket; return its own in each of them, None in this one."""
    gc.collect()
    gc.freeze()  # looking for cycles would write to the memory that they share
    for number, connection in enumerate(sockets):
        if os.fork() == 0:
            for other in sockets[number + 1 :]:
                os.close(other)
            return connection
        os.close(connection)
    return None


def _receive_in_background(source: BinaryIO, tasks: queue.SimpleQueue) -> None:
    """Start a thread that puts what comes into the queue."""

    def receive() -> None:
        while True:
            tasks.put(_next_message(source))

    threading.Thread(target=receive, daemon=True).start()


def _next_message(source: BinaryIO) -> Any:
    """Return what comes next. At its end, end this process at once: no caller is left."""
    try:
        return pickle.load(source)
    except BaseException:
        os._exit(1)  # the end, or a message that a dying caller has not written in full


@dataclass(frozen=True)
class WorkerDied:
    """Stands for the value of a task: its worker died, at each attempt.

    Attributes:
        reason: how the worker ended, a part of a sentence.
    """

    reason: str
