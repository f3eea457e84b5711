"""Many tasks, taken by those who do them: one at a time, or several small ones together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sized
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Several:
    """Which tasks are done together; a function for tasks has a method ``several`` then.

    Attributes:
        most: tasks at a time.
        small: whether a task may be among them.
    """

    most: int
    small: Callable[[Any], bool]


class Handfuls:
    """Tasks, taken one or several at a time, in their order and with their numbers.

    Args:
        tasks: taken when they are asked for.
        several: which are taken together; None for none.
        takers: among whom the tasks are divided: nobody takes so many that others have none.
    """

    def __init__(self, tasks: Iterable[Any], several: Several | None, takers: int = 1):
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
