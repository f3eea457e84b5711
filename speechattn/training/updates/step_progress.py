"""Progress of a training, whose updates may take minutes."""

from __future__ import annotations

import sys
import time

from speechattn.progress import LOG_SECONDS, Progress


class StepProgress(Progress):
    """Shows how many updates are done; a log gets a line each :data:`LOG_SECONDS`."""

    def _log(self) -> None:
        now = time.monotonic()
        if now - self._logged >= LOG_SECONDS and self.total and sys.stderr is not None:
            self._logged = now
            print(self._line(now - self._began), file=sys.stderr, flush=True)
