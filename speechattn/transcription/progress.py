"""The progress bar of a run, which also moves within a long recording."""

from __future__ import annotations

import datetime
import time
from collections.abc import Sequence

from speechattn.transcription.inputs import Recording, size_of

BAR_FORMAT = "{percentage:3.0f}%|{bar}| {postfix} [{elapsed}<{remaining}]"


class ProgressBar:
    """Shows the progress of a run on standard error, if that is a terminal; a context manager.

    The length of a recording is known only when it is opened, so its share of the run is that of
    its bytes.

    Args:
        recordings: to be done.
        shown: False for no bar at all.
    """

    def __init__(self, recordings: Sequence[Recording], *, shown: bool) -> None:
        from tqdm import tqdm

        # disable=None: disabled unless standard error is a terminal
        self._bar = tqdm(bar_format=BAR_FORMAT, disable=None if shown else True)
        self._count, self._done, self._seconds = len(recordings), 0, 0.0
        self._began = time.monotonic()
        self._parts: dict[int, float] = {}
        self._sizes: list[int] = []
        if not self._bar.disable:
            self._sizes = [1 + size_of(recording) for recording in recordings]
            self._bar.total = sum(self._sizes)
            self._show()

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def within(self, number: int, share: float) -> None:
        """Show that this share of the recording of that number has been read."""
        if not self._bar.disable and share > self._parts.get(number, 0.0):
            self._bar.update(self._sizes[number] * (share - self._parts.get(number, 0.0)))
            self._parts[number] = share

    def done(self, number: int, seconds: float | None) -> None:
        """Show that the recording of that number is done.

        Args:
            number: of the recording.
            seconds: its length; None if it failed.
        """
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
