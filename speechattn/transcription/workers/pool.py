"""Many tasks, done by worker processes or by this one; the death of a process costs one task.

:class:`Alone` and :class:`Workers` are used alike, as context managers with a method ``run``. A
worker is a Python that runs :mod:`~speechattn.transcription.workers.worker`. It is not one of :mod:`multiprocessing`'s
processes: those import the caller's script again and need its ``if __name__ == "__main__":``; a
forked one would inherit the state of threads that it does not have.

A worker that dies (killed for its memory, crashed in a decoder) is replaced, its task is given to
the new one, and if that dies as well, the task has failed. Workers do not outlive their caller,
however it ends: the end of the pipe ends them.

Many tasks, taken by those who do them: one at a time, or several small ones together.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sized
from dataclasses import dataclass
from typing import Any

from speechattn.errors import SpeechattnError
from speechattn.transcription.workers.worker import (
    Done,
    Failed,
    Ready,
    WorkerDied,
    WorkerInit,
    do_all,
)

ATTEMPTS = 2  # at a task, before it is given up because its worker dies
AHEAD = 4  # handfuls a worker that may be under way or wait to be collected: bounds the memory
LAST_WORDS_SECONDS = 10.0  # that a process may take to end which has closed its pipe
# The path is set before anything is imported, so that a worker finds what its caller finds.
_PROGRAM = "import sys; sys.path[:] = sys.argv[1:]; from speechattn.transcription.workers.worker import work; work()"

Report = Callable[[int, float], None]  # number of a task, share of it that is done


class InProcessPool:
    """Does the tasks in this process.

    Args:
        setup: called first.
        several: which tasks are done together; None for none.
    """

    def __init__(self, setup: WorkerInit, several: Grouping | None = None):
        self._setup, self._several = setup, several
        self.facts: dict = {}
        self.running: dict[int, Any] = {}

    def __enter__(self):
        self._do, self.facts = self._setup()
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def run(
        self, tasks: Iterable[Any], report: Report | None = None, *, ordered: bool = False
    ) -> Iterator[tuple[int, Any]]:
        """As :meth:`Workers.run`."""
        handfuls = TaskGroups(tasks, self._several)
        while taken := dict(handfuls.take()):
            self.running |= taken
            numbers = list(taken)

            def tell(place: int, share: float, numbers=numbers) -> None:
                if report:
                    report(numbers[place], share)

            for number, value in zip(numbers, do_all(self._do, list(taken.values()), tell)):
                del self.running[number]
                yield number, value


class ProcessPool:
    """Does the tasks in processes of their own.

    Args:
        setup: what every worker calls first; can be pickled.
        count: of workers.
        environment: variables to set for them.
        several: which tasks are done together; None for none.

    Attributes:
        facts: what the setup tells, once the block has begun.
        running: number → task, of those under way; after the block, of those given up.

    Raises:
        SpeechattnError: when the block begins, if the setup fails or a worker cannot start.
    """

    def __init__(
        self,
        setup: WorkerInit,
        count: int,
        environment: dict[str, str] | None = None,
        several: Grouping | None = None,
    ):
        self._setup, self._count, self._several = setup, count, several
        self._environment = {**os.environ, **(environment or {})}
        self._processes: list[subprocess.Popen | None] = [None] * count
        self._lock = threading.Lock()  # for what follows, and for taking tasks
        self._room = threading.Semaphore(AHEAD * count)  # for handfuls taken and not collected
        self._stopping = False
        self.facts: dict = {}
        self.running: dict[int, Any] = {}

    def __enter__(self):
        try:
            for place in range(self._count):
                self._start(place)  # all at once: each takes seconds to import PyTorch
            self.facts = self._ready(self._processes[0])
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._stopping = True
            processes = [process for process in self._processes if process is not None]
            for process in processes:
                process.kill()
        for process in processes:
            process.wait()
        for _ in self._processes:
            self._room.release()  # whoever waits for it finds out that the run is over

    def run(
        self, tasks: Iterable[Any], report: Report | None = None, *, ordered: bool = False
    ) -> Iterator[tuple[int, Any]]:
        """Do tasks; once.

        Args:
            tasks: taken as workers become free, and never many before what came of the earlier
                ones has been collected.
            report: is told of progress within a task.
            ordered: give the values in the order of the tasks, not as they come.

        Yields:
            Number of a task, from 0, and its value, or :class:`Died`.
        """
        answers: queue.SimpleQueue = queue.SimpleQueue()
        # In order, a handful could not be let go before those that others have taken.
        handfuls = TaskGroups(tasks, None if ordered else self._several, self._count)
        threads = [
            threading.Thread(target=self._serve, args=(place, handfuls, answers), daemon=True)
            for place in range(self._count)
        ]
        for thread in threads:
            thread.start()
        at_work, waiting, following = len(threads), {}, 0
        while at_work:
            kind, number, value = answers.get()
            if kind == "progress":
                if report:
                    report(number, value)
            elif kind == "end":
                at_work -= 1
                if value is not None:  # the tasks themselves cannot be listed
                    raise value
            elif not ordered:
                value, last = value
                if last:  # of its handful
                    self._room.release()
                yield number, value
            else:
                waiting[number], _ = value
                while following in waiting:
                    self._room.release()
                    yield following, waiting.pop(following)
                    following += 1

    def _serve(self, place: int, handfuls: TaskGroups, answers: queue.SimpleQueue) -> None:
        """Give tasks to one worker until there are no more: what one thread does."""
        problem = None
        try:
            if place == 0 or self._is_ready(place):
                while taken := self._take(handfuls):
                    values = self._values(place, taken, answers)
                    with self._lock:
                        if not self._stopping:
                            for number, _ in taken:
                                self.running.pop(number)
                    for (number, _), value in zip(taken, values):
                        answers.put(("done", number, (value, number == taken[-1][0])))
        except BaseException as error:  # noqa: BLE001 - raised again where the values are taken
            problem = error
        answers.put(("end", None, problem))

    def _is_ready(self, place: int) -> bool:
        """Whether a worker has started; the others do without one that cannot, for lack of memory."""
        with contextlib.suppress(SpeechattnError):
            self._ready(self._processes[place])
            return True
        return False

    def _take(self, handfuls: TaskGroups) -> list[tuple[int, Any]]:
        self._room.acquire()
        with self._lock:
            taken = [] if self._stopping else handfuls.take()
            self.running.update(taken)
        if not taken:
            self._room.release()  # the others are to find out as well
        return taken

    def _values(
        self, place: int, taken: list[tuple[int, Any]], answers: queue.SimpleQueue
    ) -> list[Any]:
        """What comes of tasks, for which a worker that dies is replaced."""
        if len(taken) > 1:
            found = self._attempt(place, taken, answers)
            if isinstance(found, list):
                return found
            # One of them brought it down: each alone, so that only that one fails.
            return [self._values(place, [one], answers)[0] for one in taken]
        for _ in range(ATTEMPTS):
            found = self._attempt(place, taken, answers)
            if isinstance(found, list):
                return found
        return [WorkerDied(f"{found}, {ATTEMPTS} times")]

    def _attempt(
        self, place: int, taken: list[tuple[int, Any]], answers: queue.SimpleQueue
    ) -> list[Any] | str:
        """What comes of tasks, or how their worker ended."""
        process = self._processes[place]
        try:
            if process is None:
                process = self._start(place)
                self._ready(process)
            _send(process, [task for _, task in taken])
            while not isinstance(message := pickle.load(process.stdout), Done):
                answers.put(("progress", taken[message.number][0], message.share))
            return message.values
        except SpeechattnError as error:
            reason = str(error)
        except (EOFError, OSError, pickle.UnpicklingError):
            reason = _reason(process)
        with self._lock:
            self._processes[place] = None
        return reason

    def _start(self, place: int) -> subprocess.Popen:
        command = [sys.executable, "-c", _PROGRAM, *sys.path]
        with self._lock:
            if self._stopping:
                raise SpeechattnError("the run is being stopped")
            try:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    env=self._environment,
                    start_new_session=True,  # Ctrl-C is for the caller
                )
            except OSError as error:
                raise SpeechattnError(
                    f"a worker process cannot start ({error.strerror}); use fewer --workers"
                ) from error
            self._processes[place] = process
        with contextlib.suppress(OSError):  # it has ended already, which is noticed later
            _send(process, self._setup)
        return process

    def _ready(self, process: subprocess.Popen) -> dict:
        """Wait until a worker takes tasks; gives its facts."""
        try:
            message = pickle.load(process.stdout)
        except (EOFError, OSError, pickle.UnpicklingError):
            raise SpeechattnError(
                f"a worker process cannot start ({_reason(process)}); see what it wrote before "
                "this line, free memory or use fewer --workers"
            ) from None
        if isinstance(message, Failed):
            raise message.error
        assert isinstance(message, Ready)
        return message.facts


def _send(process: subprocess.Popen, message: object) -> None:
    pickle.dump(message, process.stdin, pickle.HIGHEST_PROTOCOL)
    process.stdin.flush()


def _reason(process: subprocess.Popen) -> str:
    """How a process ended that does not answer any more."""
    try:
        status = process.wait(timeout=LAST_WORDS_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        status = process.wait()
    if status < 0:
        with contextlib.suppress(ValueError):
            return f"its process was ended by {signal.Signals(-status).name}"
    return f"its process ended with status {status}"


@dataclass(frozen=True)
class Grouping:
    """Which tasks are done together; a function for tasks has a method ``several`` then.

    Attributes:
        most: tasks at a time.
        small: whether a task may be among them.
    """

    most: int
    small: Callable[[Any], bool]


class TaskGroups:
    """Tasks, taken one or several at a time, in their order and with their numbers.

    Args:
        tasks: taken when they are asked for.
        several: which are taken together; None for none.
        takers: among whom the tasks are divided: nobody takes so many that others have none.
    """

    def __init__(self, tasks: Iterable[Any], several: Grouping | None, takers: int = 1):
        self._tasks, self._several = enumerate(tasks), several
        self._left = len(tasks) if several and isinstance(tasks, Sized) else 0
        self._takers = takers
        self._next: tuple[int, Any] | None = None

    def take(self) -> list[tuple[int, Any]]:
        """The next ones; none at the end."""
        taken: list[tuple[int, Any]] = []
        most = -(-self._left // (2 * self._takers))
        while (item := self._next or next(self._tasks, None)) is not None:
            self._next = None
            alone = most <= 1 or not self._several.small(item[1])
            if taken and (alone or len(taken) >= min(most, self._several.most)):
                self._next = item
                break
            taken.append(item)
            if alone:
                break
        self._left -= len(taken)
        return taken
