"""The progress of a run, which also moves within a long recording."""

from __future__ import annotations

import datetime
import time
from collections.abc import Sequence

from speechattn.progress import Progress
from speechattn.transcription.inputs import Recording, size_of

BAR_FORMAT = "{percentage:3.0f}%|{bar}| {postfix} [{elapsed}<{remaining}]"


class ProgressBar:
    """Shows the progress of a run on standard error, as a :class:`Progress`; a context manager.

    The length of a recording is known only when it is opened, so its share of the run is that of
    its bytes.

    Args:
        recordings: to be done.
        shown: False to show nothing at all.
        description: what is done, for the lines of a log.
    """

    def __init__(
        self, recordings: Sequence[Recording], *, shown: bool, description: str = "transcribe"
    ) -> None:
        self._shown = shown
        self._count, self._done, self._seconds = len(recordings), 0, 0.0
        self._began = time.monotonic()
        self._parts: dict[int, float] = {}
        self._sizes = [1 + size_of(recording) for recording in recordings] if shown else []
        self._progress = Progress(description, sum(self._sizes), shown=shown, bar_format=BAR_FORMAT)
        self._note(now=True)

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.close()

    def within(self, number: int, share: float) -> None:
        """Show that this share of the recording of that number has been read."""
        if self._shown and share > self._parts.get(number, 0.0):
            self._progress.update(self._sizes[number] * (share - self._parts.get(number, 0.0)))
            self._parts[number] = share

    def done(self, number: int, seconds: float | None) -> None:
        """Show that the recording of that number is done.

        Args:
            number: of the recording.
            seconds: its length; None if it failed.
        """
        if not self._shown:
            return
        self._done += 1
        self._seconds += seconds or 0.0
        self._note(now=False)
        self.within(number, 1.0)
        del self._parts[number]
        if self._done == self._count:
            self._note(now=True)

    def _note(self, *, now: bool) -> None:
        audio = datetime.timedelta(seconds=round(self._seconds))
        speed = self._seconds / max(1e-3, time.monotonic() - self._began)
        text = f"{self._done}/{self._count} files, {audio} of audio, {speed:.0f} x real time"
        self._progress.note(text, now=now)
