"""Many tasks, done by the workers of a Ray cluster: ``--ray ADDRESS``.

:class:`RayPool` is used as :class:`~speechattn.transcription.workers.pool.ProcessPool` is, so that
everything else of a batch stays the same. A worker is a Ray actor that has loaded the model; it
gets one task at a time, as it becomes free. One that dies, alone or with its machine, is replaced,
and its task is done once more by the first worker that is free; if that one dies as well, the task
has failed.

All machines of the cluster see the recordings and the output folder under the same paths, and have
the same version of this package and the same model. Each worker checks this
(:class:`~speechattn.transcription.workers.ray_cluster.Shared`) before it takes a task. Only the
given cluster is contacted.
"""

from __future__ import annotations

import contextlib
import pickle
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from speechattn.errors import SpeechattnError
from speechattn.machine import num_usable_cores
from speechattn.process import environment
from speechattn.transcription.workers.pool import ATTEMPTS, Report
from speechattn.transcription.workers.ray_cluster import (
    Shared,
    connected,
    import_ray,
    no_standard_output,
    worker_class,
)
from speechattn.transcription.workers.worker import Failed, Ready, WorkerDied, WorkerInit

START_SECONDS = 300.0  # for the next worker to start while none is at work
# A task whose worker died waits so long: the workers of a lost machine die one by one.
AGAIN_SECONDS = 5.0
END_SECONDS = 10.0  # for a worker to end after it was killed


class RayPool:
    """Does the tasks in workers of a Ray cluster; within its block nothing is printed (Ray would).

    Args:
        setup: what every worker calls first; can be pickled.
        address: ``HOST:PORT`` of the cluster, ``auto`` for the one that this machine belongs to, or
            ``local``.
        count: number of workers; 0 for as many as the cluster has room for.
        most: maximum of that number; None for no maximum.
        threads: cores for each worker.
        gpus: GPUs for each worker.
        shared: what each worker must see as this process sees it; None for nothing.

    Attributes:
        facts: what the setup returns about a worker, once the block has begun.
        running: number → task, of those under way; after the block, of those given up.

    Raises:
        UsageError: when the block begins, if Ray is missing or the address is none.
        SpeechattnError: when the block begins, if there is no cluster, no worker starts or one sees
            something else. The last also in ``run``: workers come while others are at work.
    """

    def __init__(
        self,
        setup: WorkerInit,
        address: str,
        *,
        count: int = 0,
        most: int | None = None,
        threads: int = 1,
        gpus: int = 0,
        shared: Shared | None = None,
    ) -> None:
        self._setup, self._address, self._shared = setup, address, shared
        self._count, self._most, self._threads, self._gpus = count, most, threads, gpus
        self._stack = contextlib.ExitStack()
        self._starting: dict[Any, Any] = {}  # reference to its answer → worker
        self._busy: dict[Any, tuple[Any, int]] = {}  # reference to a value → worker, task number
        self._free: list[Any] = []
        self._deaths: dict[int, int] = {}
        self.facts: dict[str, Any] = {}
        self.running: dict[int, Any] = {}

    def __enter__(self) -> RayPool:
        with contextlib.ExitStack() as stack:
            self._ray = import_ray(self._address)
            cores = max(num_usable_cores(), self._count * max(1, self._threads))
            stack.enter_context(no_standard_output())
            stack.enter_context(connected(self._ray, self._address, cores))
            stack.callback(self._end_workers)
            mark = stack.enter_context(self._shared.marked()) if self._shared else None
            self._begin = pickle.dumps((self._setup, self._shared, mark))
            self._class = self._ray.remote(worker_class())
            for _ in range(self._size()):
                self._start()
            while not self._free:
                self._started(self._next())
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _size(self) -> int:
        resources = self._ray.cluster_resources()
        room = int(resources.get("CPU", 0) // max(1, self._threads))
        if self._gpus:
            room = min(room, int(resources.get("GPU", 0) // self._gpus))
        if not room:
            raise SpeechattnError(
                f"--ray {self._address}: the cluster has {resources.get('CPU', 0):g} cores and "
                f"{resources.get('GPU', 0):g} GPUs, too few for one worker; use fewer --threads, "
                "or --device cpu"
            )
        count = self._count or room
        return count if self._most is None else max(1, min(count, self._most))

    def run(self, tasks: Iterable[Any], report: Report | None = None) -> Iterator[tuple[int, Any]]:
        """Do tasks; may be called once.

        Args:
            tasks: taken as workers become free and values are collected.
            report: never called: workers report when a task is done, and nothing before.

        Yields:
            Number of a task, from 0, and its value, or
            :class:`~speechattn.transcription.workers.worker.WorkerDied`.
        """
        numbered, more = enumerate(tasks), True
        again: deque[tuple[float, int, Any]] = deque()  # earliest time, number, task
        while True:
            while self._free and (again or more):
                number = None
                if again and again[0][0] <= time.monotonic():
                    _, number, task = again.popleft()
                elif more:
                    number, task = next(numbered, (None, None))
                    more = number is not None
                if number is None:
                    break
                self.running[number] = task
                worker = self._free.pop()
                self._busy[worker.do.remote(task)] = worker, number
            if not (self._busy or again or more):
                return
            reference = self._next(again[0][0] if again and self._free else None)
            if reference is None:
                continue
            if reference in self._starting:
                self._started(reference)
                continue
            number, value = self._value(reference)
            if value is None:
                again.append((time.monotonic() + AGAIN_SECONDS, number, self.running[number]))
            else:
                del self.running[number]
                yield number, value[0]

    def _next(self, until: float | None = None) -> Any:
        """Wait for a worker that has started or a task that has been done.

        Args:
            until: time of the monotonic clock at which to give up; None for no such time.

        Returns:
            Reference to the worker's answer; None at ``until``.

        Raises:
            SpeechattnError: if no worker is left, or none starts.
        """
        waited = [*self._busy, *self._starting]
        timeout = None if self._busy else START_SECONDS
        if until is not None:
            timeout = max(0.0, until - time.monotonic())
        if waited:
            ready, _ = self._ray.wait(waited, num_returns=1, timeout=timeout)
            if ready:
                return ready[0]
        elif until is not None and timeout is not None:
            time.sleep(timeout)
        if until is not None:
            return None
        if not waited:
            raise SpeechattnError(
                f"--ray {self._address}: no worker is left, all that started have died; see Ray's "
                "logs, free memory or use fewer --workers"
            )
        raise SpeechattnError(
            f"--ray {self._address}: no worker has started in {START_SECONDS:g} s; look at "
            "`ray status`, and use fewer --threads if no machine has so many cores"
        )

    def _start(self) -> None:
        worker = self._class.options(
            num_cpus=max(1, self._threads),
            num_gpus=self._gpus,
            max_restarts=0,  # a new one is started here, where its task is known
            runtime_env={"env_vars": environment(self._threads)},
        ).remote()
        from speechattn import __version__

        self._starting[worker.begin.remote(__version__, list(sys.path), self._begin)] = worker

    def _started(self, reference: Any) -> None:
        """Add a worker that has started to those that are free; one that died is dropped."""
        worker = self._starting.pop(reference)
        try:
            answer = self._ray.get(reference)
        except self._ray.exceptions.RayActorError:
            return
        except self._ray.exceptions.RayError as error:
            raise SpeechattnError(
                f"--ray {self._address}: a worker cannot start ({_last_line(error)}); see that "
                "speechattn runs on all machines of the cluster"
            ) from None
        if isinstance(answer, str):
            raise SpeechattnError(f"--ray {self._address}: {answer}")
        answer = pickle.loads(answer)
        if isinstance(answer, Failed):
            raise answer.error
        assert isinstance(answer, Ready)
        facts = self.facts = self.facts or answer.facts
        for fact, manner in (("device", "on"), ("precision", "in")):
            if answer.facts.get(fact) != facts.get(fact):
                raise SpeechattnError(
                    f"--ray {self._address}: one worker computes {manner} {facts.get(fact)}, "
                    f"another {manner} {answer.facts.get(fact)}; choose with --{fact}"
                )
        self._free.append(worker)

    def _value(self, reference: Any) -> tuple[int, tuple[Any] | None]:
        """Return the number of a task and, in a tuple, its value; None if it is to be repeated."""
        worker, number = self._busy.pop(reference)
        try:
            value = (self._ray.get(reference),)
            self._free.append(worker)
            return number, value
        except self._ray.exceptions.RayTaskError as error:
            reason = f"its worker failed ({_last_line(error)})"
        except self._ray.exceptions.RayError:
            reason = "its Ray worker died"
        self._ray.kill(worker)
        self._start()
        self._deaths[number] = self._deaths.get(number, 0) + 1
        if self._deaths[number] < ATTEMPTS:
            return number, None
        return number, (WorkerDied(f"{reason}, {ATTEMPTS} times"),)

    def _end_workers(self) -> None:
        """End all workers; wait for those at work, so that they write nothing afterwards."""
        at_work = list(self._busy)
        for worker in (*self._starting.values(), *self._free, *(w for w, _ in self._busy.values())):
            self._ray.kill(worker)
        if at_work:
            self._ray.wait(at_work, num_returns=len(at_work), timeout=END_SECONDS)


def _last_line(error: Exception) -> str:
    return next(reversed(str(error).strip().splitlines()), type(error).__name__)
