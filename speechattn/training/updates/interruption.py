"""Ctrl-C during a training: what has been computed is kept."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from speechattn.training.updates.process_group import ProcessGroup

SIGNALS = (signal.SIGINT, signal.SIGTERM)
_STDERR = 2
_MESSAGE = b"\nspeechattn: stopping after this update; the same again stops at once\n"


class Interruption:
    """Notes the first Ctrl-C or SIGTERM, so that a training may end after an update.

    A context manager, which leaves signals as they were. A second signal of the same kind does at
    once what it does otherwise. Signals that are ignored stay so. Outside the main thread, signals
    are none of its business.

    Args:
        group: processes that end after the same update, whichever of them had the signal.
    """

    def __init__(self, group: ProcessGroup) -> None:
        self._group = group
        self._noted: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: object, _trace: TracebackType | None
    ) -> None:
        self._restore()
        if kind is None and self._noted is not None:
            signal.raise_signal(self._noted)

    def is_asked(self) -> bool:
        """Whether one of the processes has had a signal; all of them call it."""
        return self._group.total(float(self._noted is not None)) > 0

    def carry_out(self) -> None:
        """Do what the signal would have done.

        Raises:
            KeyboardInterrupt: for Ctrl-C, and if another process had the signal.
        """
        self._restore()
        number, self._noted = self._noted, None
        if number is not None:
            signal.raise_signal(number)
        raise KeyboardInterrupt

    def _note(self, number: int, _frame: FrameType | None) -> None:
        signal.signal(number, self._before.pop(number))
        if self._noted is None and self._group.is_first:
            with contextlib.suppress(OSError):
                os.write(_STDERR, _MESSAGE)  # print() may be in the middle of a line
        self._noted = number

    def _restore(self) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)
        self._before.clear()
