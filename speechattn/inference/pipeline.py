"""Stages of the work on one recording, each in a thread of its own.

Reading a file, the encoder and the search run in compiled code, which does not hold Python's lock.
So several cores can work on one recording, each on another stage. What is computed, in which order
and on how many cores, stays the same, and so does every bit of the result.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator
from typing import TypeVar

from speechattn.inference.host import compute_on
from speechattn.machine import num_threads

ROOM = 2  # items that a stage may be ahead of the next one: blocks of 20 s

Item = TypeVar("Item")


class _End:
    """The last message of a stage, with the error that ended it if there was one."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def ahead(items: Generator[Item], room: int = ROOM) -> Generator[Item]:
    """Yield items that a thread computes before they are asked for.

    When this generator is closed, the thread has ended, and ``items`` is closed.

    Args:
        items: used by the thread alone.
        room: how many items may wait.

    Raises:
        BaseException: whatever ``items`` raises, once the items before it have been taken.
    """
    results: queue.SimpleQueue[Item | _End] = queue.SimpleQueue()
    places = threading.Semaphore(room)
    stopping = threading.Event()
    cores = num_threads()  # OpenMP gives a new thread all of them

    def work() -> None:
        error: BaseException | None = None
        try:
            compute_on(cores)
            places.acquire()
            while not stopping.is_set():
                results.put(next(items))
                places.acquire()
        except StopIteration:
            pass
        except BaseException as problem:
            error = problem
        finally:
            items.close()
            results.put(_End(error))

    thread = threading.Thread(target=work, name="stage", daemon=True)
    thread.start()
    try:
        while True:
            item = results.get()
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            places.release()
            yield item
    finally:
        stopping.set()
        places.release()
        thread.join()
