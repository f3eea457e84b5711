"""Progress of long work on standard error: a bar on a terminal, a few lines in a log.

A log gets a line after each tenth of the work, and at most one each :data:`LOG_SECONDS`. Work that
takes less time than that leaves none.
"""

from __future__ import annotations

import datetime
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from tqdm import tqdm

LOG_LINES = 10  # at most, for the whole of the work
LOG_SECONDS = 30.0  # at least, between two of them

Item = TypeVar("Item")


class Progress:
    """Shows how much of some work is done; a context manager.

    Args:
        description: what is done, a few words.
        total: of the work; None if it is not known, then a log says nothing.
        unit: of the work, one of it.
        done: how much has been done before.
        shown: False to show nothing at all.
        bar_format: of the bar, for tqdm; None for its own.

    Attributes:
        done: how much of the work is done.
        total: of the work.
        on_terminal: whether there is a bar, which is worth moving often.
    """

    def __init__(
        self,
        description: str = "",
        total: float | None = None,
        *,
        unit: str = "",
        done: float = 0,
        shown: bool = True,
        bar_format: str | None = None,
    ) -> None:
        self.total, self.done = total, done
        self.on_terminal = shown and sys.stderr is not None and sys.stderr.isatty()
        self._shown, self._description, self._unit, self._note = shown, description, unit, ""
        self._bar: tqdm | None = None
        self._began = self._logged = time.monotonic()
        self._before = done
        self._tenths = self._tenth()
        if self.on_terminal:
            from tqdm import tqdm

            self._bar = tqdm(
                desc=description or None,
                total=total,
                unit=unit or "it",
                initial=done,
                bar_format=bar_format,
            )

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def update(self, count: float = 1) -> None:
        """Add work that is done."""
        self.done += count
        if self._bar is not None:
            self._bar.update(count)
        elif self._shown:
            self._log()

    def describe(self, description: str) -> None:
        """Change what is said to be done."""
        self._description = description
        if self._bar is not None:
            self._bar.set_description(description)

    def note(self, text: str, *, now: bool = False) -> None:
        """Say something behind the numbers.

        Args:
            text: what to say.
            now: whether the bar must show it at once.
        """
        self._note = text
        if self._bar is not None:
            self._bar.set_postfix_str(text, refresh=now)

    def write(self, line: str) -> None:
        """Print a line of results on standard output, above the bar if there is one."""
        if self._bar is None:
            print(line, flush=True)
        else:
            self._bar.write(line)

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.close()

    def _tenth(self) -> int:
        """How many lines a log may have by now."""
        return int(LOG_LINES * self.done / self.total) if self.total else 0

    def _log(self) -> None:
        tenth, now = self._tenth(), time.monotonic()
        if tenth <= self._tenths or now - self._logged < LOG_SECONDS:
            return
        self._tenths, self._logged = tenth, now
        if sys.stderr is not None and self.total:
            print(self._line(now - self._began), file=sys.stderr, flush=True)

    def _line(self, seconds: float) -> str:
        assert self.total
        left = seconds / max(self.done - self._before, 1e-9) * max(self.total - self.done, 0)
        parts = [f"{100 * self.done / self.total:.0f} %"]
        if self._unit:
            parts.append(f"{self.done:.0f} of {self.total:.0f} {self._unit}s")
        if self._note:
            parts.append(self._note)
        parts.append(f"{_clock(seconds)} so far, about {_clock(left)} to go")
        return f"{self._description or 'progress'}: {', '.join(parts)}"


def with_progress(
    items: Iterable[Item],
    description: str = "",
    total: int | None = None,
    *,
    unit: str = "",
    shown: bool = True,
) -> Iterator[Item]:
    """Yield items and show how many have been dealt with; see :class:`Progress`.

    Args:
        items: to yield.
        description: what is done with them, a few words.
        total: number of items; None for their length, if they have one.
        unit: of the items, one of them.
        shown: False to show nothing at all.
    """
    if total is None:
        total = len(items) if isinstance(items, Sized) else None
    with Progress(description, total, unit=unit, shown=shown) as progress:
        for item in items:
            yield item
            progress.update()


def _clock(seconds: float) -> str:
    return str(datetime.timedelta(seconds=round(seconds)))
