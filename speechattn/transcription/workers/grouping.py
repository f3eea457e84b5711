"""Tasks in groups: several small ones are done together, each large one by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sized
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Grouping:
    """Which tasks are done together; the function for tasks then has a method ``several``.

    Attributes:
        most: tasks in a group.
        small: whether a task may be in a group.
    """

    most: int
    small: Callable[[Any], bool]


class TaskGroups:
    """Tasks in their order, with their numbers, taken one or several at a time.

    Args:
        tasks: each is drawn when it is needed.
        grouping: which are taken together; None for none.
        consumers: number of those that take groups. A group is small enough to leave tasks for the
            other consumers.
    """

    def __init__(self, tasks: Iterable[Any], grouping: Grouping | None, consumers: int = 1) -> None:
        self._tasks, self._grouping = enumerate(tasks), grouping
        self._left = len(tasks) if grouping and isinstance(tasks, Sized) else 0
        self._consumers = consumers
        self._next: tuple[int, Any] | None = None

    def take(self) -> list[tuple[int, Any]]:
        """Return the next group; an empty one at the end."""
        group: list[tuple[int, Any]] = []
        grouping, most = self._grouping, 1
        if grouping is not None:
            most = min(grouping.most, -(-self._left // (2 * self._consumers)))
        while (item := self._next or next(self._tasks, None)) is not None:
            self._next = None
            alone = grouping is None or most <= 1 or not grouping.small(item[1])
            if group and (alone or len(group) >= most):
                self._next = item
                break
            group.append(item)
            if alone:
                break
        self._left -= len(group)
        return group
