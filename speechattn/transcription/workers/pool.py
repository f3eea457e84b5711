"""Many tasks, done by worker processes or by this one; the death of a process costs one task.

:class:`InProcessPool` and :class:`ProcessPool` are used alike, as context managers with a method
``run``.

A worker that dies (killed for its memory, crashed in a decoder) is replaced and its task is given
to the new one; if that one dies as well, the task has failed. Workers do not outlive their caller,
however it ends: the end of the pipe ends them.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, TypeVar

from speechattn.errors import SpeechattnError
from speechattn.process import tell
from speechattn.transcription.workers.grouping import Grouping, TaskGroups
from speechattn.transcription.workers.process import (
    CAN_FORK,
    Worker,
    WorkerEndedError,
    WorkerProcess,
)
from speechattn.transcription.workers.worker import Done, Told, WorkerDied, WorkerInit, do_all

ATTEMPTS = 2  # at a task, before it is given up because its worker dies
AHEAD = 4  # groups for each worker that are under way or not yet collected: bounds the memory

Report = Callable[[int, float], None]  # number of a task, share of it that is done
Numbered = tuple[int, Any]  # a task and its number
_Pool = TypeVar("_Pool", bound="Pool")


class Pool(Protocol):
    """Anything that does tasks; a context manager.

    Attributes:
        facts: what the setup returns about a worker, once the block has begun.
        running: number → task, of those under way; after the block, of those given up.
    """

    facts: dict[str, Any]
    running: dict[int, Any]

    def __enter__(self: _Pool) -> _Pool: ...

    def __exit__(self, *_: object) -> None: ...

    def run(self, tasks: Iterable[Any], report: Report | None = None) -> Iterator[Numbered]:
        """Do tasks; yield the number of each and its value or :class:`WorkerDied`."""
        ...


class InProcessPool:
    """Does the tasks in this process.

    Args:
        setup: called first.
        grouping: which tasks are done together; None for none.
    """

    def __init__(self, setup: WorkerInit, grouping: Grouping | None = None) -> None:
        self._setup, self._grouping = setup, grouping
        self.facts: dict[str, Any] = {}
        self.running: dict[int, Any] = {}

    def __enter__(self) -> InProcessPool:
        self._do, self.facts = self._setup()
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def run(
        self, tasks: Iterable[Any], report: Report | None = None, *, ordered: bool = False
    ) -> Iterator[Numbered]:
        """Do tasks; see :meth:`ProcessPool.run`."""
        groups = TaskGroups(tasks, self._grouping)
        while group := dict(groups.take()):
            self.running |= group
            numbers = list(group)

            def report_one(index: int, share: float, numbers: list[int] = numbers) -> None:
                if report:
                    report(numbers[index], share)

            for number, value in zip(numbers, do_all(self._do, list(group.values()), report_one)):
                del self.running[number]
                yield number, value


class ProcessPool:
    """Does the tasks in worker processes.

    Args:
        setup: what every worker calls first; can be pickled.
        count: number of workers.
        environment: variables to set for them.
        grouping: which tasks are done together; None for none.
        share: whether workers may begin as copies of the first one, after its setup, and share its
            memory. The setup must leave no threads behind, and nothing on a GPU.

    Attributes:
        facts: what the setup returns about a worker, once the block has begun.
        running: number → task, of those under way; after the block, of those given up.

    Raises:
        SpeechattnError: when the block begins, if the setup fails or a worker cannot start.
    """

    def __init__(
        self,
        setup: WorkerInit,
        count: int,
        environment: dict[str, str] | None = None,
        grouping: Grouping | None = None,
        *,
        share: bool = False,
    ) -> None:
        self._setup, self._count, self._grouping = setup, count, grouping
        self._share = share and CAN_FORK
        self._environment = {**os.environ, **(environment or {})}
        self._processes: list[Worker | None] = [None] * count
        self._lock = threading.Lock()  # for the attributes below, and for taking tasks
        self._room = threading.Semaphore(AHEAD * count)  # for groups taken and not collected
        self._stopping = False
        self.facts: dict[str, Any] = {}
        self.running: dict[int, Any] = {}

    def __enter__(self) -> ProcessPool:
        try:
            if self._share:
                first = self._start(0, siblings=self._count - 1)
                self._processes[1:] = first.siblings
            else:  # all at once: with PyTorch, each takes seconds to start
                first, *_ = [self._start(index) for index in range(self._count)]
            self.facts = first.ready()
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
        for _worker in self._processes:
            self._room.release()  # a thread that waits for it finds out that the run is over

    def run(
        self, tasks: Iterable[Any], report: Report | None = None, *, ordered: bool = False
    ) -> Iterator[Numbered]:
        """Do tasks; may be called once.

        Args:
            tasks: taken as workers become free, and never many before the values of the earlier
                ones have been collected.
            report: called with the progress within a task.
            ordered: yield the values in the order of the tasks, not as they come.

        Yields:
            Number of a task, from 0, and its value or :class:`WorkerDied`.
        """
        answers: queue.SimpleQueue = queue.SimpleQueue()
        # In order, a group could not be let go before those that other workers have taken.
        groups = TaskGroups(tasks, None if ordered else self._grouping, self._count)
        threads = [
            threading.Thread(target=self._serve, args=(index, groups, answers), daemon=True)
            for index in range(self._count)
        ]
        for thread in threads:
            thread.start()
        at_work, following = len(threads), 0
        waiting: dict[int, Any] = {}
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
                value, is_last = value
                if is_last:  # of its group
                    self._room.release()
                yield number, value
            else:
                waiting[number], _ = value
                while following in waiting:
                    self._room.release()
                    yield following, waiting.pop(following)
                    following += 1

    def _serve(self, index: int, groups: TaskGroups, answers: queue.SimpleQueue) -> None:
        """Give tasks to one worker until there are no more; runs in a thread of its own."""
        problem = None
        try:
            if index == 0 or self._is_ready(index):
                while group := self._take(groups):
                    values = self._values(index, group, answers)
                    with self._lock:
                        if not self._stopping:
                            for number, _ in group:
                                self.running.pop(number)
                    for (number, _), value in zip(group, values):
                        answers.put(("done", number, (value, number == group[-1][0])))
        except BaseException as error:
            problem = error  # raised again where the values are taken
        answers.put(("end", None, problem))

    def _is_ready(self, index: int) -> bool:
        """Whether a worker has started; one that lacks memory leaves the tasks to the others."""
        process = self._processes[index]
        with contextlib.suppress(SpeechattnError):
            if process is not None:
                process.ready()
                return True
        return False

    def _take(self, groups: TaskGroups) -> list[Numbered]:
        self._room.acquire()
        with self._lock:
            group = [] if self._stopping else groups.take()
            self.running.update(group)
        if not group:
            self._room.release()  # the other threads have to find out as well
        return group

    def _values(self, index: int, group: list[Numbered], answers: queue.SimpleQueue) -> list[Any]:
        """Return the values of tasks, replacing a worker that dies."""
        if len(group) > 1:
            values = self._attempt(index, group, answers)
            if isinstance(values, list):
                return values
            # One of them brought the worker down: each alone, so that only that one fails.
            return [self._values(index, [task], answers)[0] for task in group]
        for _ in range(ATTEMPTS):
            values = self._attempt(index, group, answers)
            if isinstance(values, list):
                return values
        return [WorkerDied(f"{values}, {ATTEMPTS} times")]

    def _attempt(
        self, index: int, group: list[Numbered], answers: queue.SimpleQueue
    ) -> list[Any] | str:
        """Return the values of tasks, or how their worker ended."""
        try:
            process = self._processes[index]
            if process is None:
                process = self._start(index)
                process.ready()
            process.send([task for _, task in group])
            while not isinstance(message := process.receive(), Done):
                if isinstance(message, Told):
                    tell(message.text)
                else:
                    answers.put(("progress", group[message.number][0], message.share))
            return message.values
        except (SpeechattnError, WorkerEndedError) as error:
            reason = str(error)
        with self._lock:
            self._processes[index] = None
        return reason

    def _start(self, index: int, siblings: int = 0) -> WorkerProcess:
        with self._lock:
            if self._stopping:
                raise SpeechattnError("the run is being stopped")
            process = WorkerProcess(self._environment, siblings)
            self._processes[index] = process
        process.begin(self._setup)
        return process
