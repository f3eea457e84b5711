"""A bar that moves while a long recording is at work, and not only after it."""

from __future__ import annotations

import datetime
import time
from collections.abc import Sequence

from speechattn.transcription.inputs import Job
from speechattn.transcription.journal import size_of

_FORMAT = "{percentage:3.0f}%|{bar}| {postfix} [{elapsed}<{remaining}]"


class Bar:
    """Shows how far a run is, on standard error if that is a terminal; a context manager.

    How long a recording is, is known when it has been opened, so its share in the whole is that of
    its bytes; within it, that of its samples.

    Args:
        jobs: that are to be done.
        shown: False for no bar at all.
    """

    def __init__(self, jobs: Sequence[Job], *, shown: bool):
        from tqdm import tqdm

        # None: not if standard error is no terminal
        self._bar = tqdm(bar_format=_FORMAT, disable=None if shown else True)
        self._count, self._done, self._seconds = len(jobs), 0, 0.0
        self._began = time.monotonic()
        self._parts: dict[int, float] = {}
        self._sizes: list[int] = []
        if not self._bar.disable:
            self._sizes = [1 + size_of(job) for job in jobs]
            self._bar.total = sum(self._sizes)
            self._show()

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def within(self, number: int, share: float) -> None:
        """Of the job of that number, this share has been done."""
        if not self._bar.disable and share > self._parts.get(number, 0.0):
            self._bar.update(self._sizes[number] * (share - self._parts.get(number, 0.0)))
            self._parts[number] = share

    def done(self, number: int, seconds: float | None) -> None:
        """The job of that number has been done: so much audio, None if it failed."""
        if self._bar.disable:
            return
        self.within(number, 1.0)
        del self._parts[number]
        self._done += 1
        self._seconds += seconds or 0.0
        self._show()

    def _show(self) -> None:
        audio = datetime.timedelta(seconds=round(self._seconds))
        speed = self._seconds / max(1e-3, time.monotonic() - self._began)
        text = f"{self._done}/{self._count} files, {audio} of audio, {speed:.0f} x real time"
        self._bar.set_postfix_str(text, refresh=False)
        if self._done in (0, self._count):
            self._bar.refresh()
