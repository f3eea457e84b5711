"""How sure it is that a phone is right: by its frames, its length, and how the speech went until then.

Where much was unsure, in noise or in an accent never heard, what looks sure is less so as well.
Only what came before counts, so that confidences need not wait for the end of a recording.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

from speechattn.decoder.options import DecoderOptions
from speechattn.segments import FrameRun

FADING = 0.95  # how much a phone counts against the one after it
LONGEST = 30  # frames; longer phones count as this long
LEAST = 1e-4  # of a mean posterior, and of what it lacks to 1


class Evidence:
    """Goes along the runs of a recording.

    Args:
        silence: class of pauses, which say nothing of how the speech goes; None if unknown.
    """

    def __init__(self, silence: int | None = None):
        self._silence = silence
        self._sum = self._weight = 0.0

    def take(self, run: FrameRun) -> tuple[float, float, float]:
        """What the confidence of the next run is made of.

        Args:
            run: whose ``confidence`` is the mean posterior of its frames.

        Returns:
            The logit of that, the mean of such over the phones until now, this one included, of
            which the older count less, and the logarithm of its length in frames.
        """
        p = min(max(run.confidence, LEAST), 1 - LEAST)
        logit = math.log(p / (1 - p))
        total, weight = FADING * self._sum + logit, FADING * self._weight + 1
        if run.phone != self._silence:
            self._sum, self._weight = total, weight
        return logit, total / weight, math.log(min(run.end - run.start, LONGEST))


def with_confidences(
    runs: Iterable[FrameRun], evidence: Evidence, options: DecoderOptions
) -> list[FrameRun]:
    """Runs of mean posteriors, each as sure as it is.

    Args:
        runs: in order of time; ``confidence`` is the mean posterior of the frames.
        evidence: of the runs before them; is taken further.
        options: say what of it counts.
    """
    return [
        replace(run, confidence=options.confidence(run.confidence, evidence.take(run)))
        for run in runs
    ]
