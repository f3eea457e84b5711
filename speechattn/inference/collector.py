"""One recording's posteriors, as they come in, to phones: decoded, and seen by whoever asked.

What is beside the phones on request is collected on the way, because nobody keeps the posteriors
of a long recording.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from speechattn.decoder.decoder import Decoder
from speechattn.errors import UsageError
from speechattn.inference.checkpoint import Checkpoint
from speechattn.segments import FrameRun

PIECE_FRAMES = 4096  # summed up at a time


class SegmentCollector:
    """Decodes one recording, pushed in pieces of any size.

    Memory does not grow with the recording, as :class:`speechattn.decoder.decoder.Decoder` says.

    Args:
        checkpoint: the model.
        alternatives: how many other phones to give with each run, 0 or more; all others if there
            are fewer.
        on_posteriors: called with the posteriors of every piece, float32, shape (frames, phones);
            None for nobody.

    Raises:
        UsageError: if ``alternatives`` is no number of phones.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        alternatives: int = 0,
        on_posteriors: Callable[[np.ndarray], None] | None = None,
    ):
        whole = isinstance(alternatives, (int, np.integer)) and not isinstance(alternatives, bool)
        if not whole or alternatives < 0:
            raise UsageError(
                f"alternatives: {alternatives!r} is no number of phones; give 0 or more"
            )
        self._decoder = Decoder(checkpoint.phone_model, checkpoint.decoding)
        self._sums = PosteriorSums(len(checkpoint.phones)) if alternatives else None
        self._alternatives = alternatives
        self._on_posteriors = on_posteriors
        self._runs: list[FrameRun] = []

    def push(self, log_posteriors: np.ndarray) -> None:
        """Take in the next frames: logarithms of their posteriors, float32, (frames, phones)."""
        if self._on_posteriors is not None and len(log_posteriors):
            self._on_posteriors(np.exp(log_posteriors))
        if self._sums is None:
            self._runs += self._decoder.push(log_posteriors)
            return
        for start in range(0, len(log_posteriors), PIECE_FRAMES):
            piece = log_posteriors[start : start + PIECE_FRAMES]
            runs = self._decoder.push(piece)  # which refuses NaN
            self._sums.push(np.exp(piece))
            self._runs += self._ranked(runs)
            self._sums.forget(self._decoder.boundaries())

    def finish(self) -> list[FrameRun]:
        """End the recording.

        Returns:
            Runs that cover all frames pushed, with their alternatives.
        """
        runs = self._decoder.finish()
        self._runs += runs if self._sums is None else self._ranked(runs)
        return self._runs

    def _ranked(self, runs: list[FrameRun]) -> Iterator[FrameRun]:
        for run in runs:
            means = self._sums.mean(run.start, run.end)
            yield replace(run, alternatives=rank(means, run.phone, self._alternatives))


class PosteriorSums:
    """Sums of posteriors from the beginning of a recording, at the frames somebody may ask for.

    How the frames are cut into pieces does not change the sums, to the last bit.

    Args:
        num_phones: P.
    """

    def __init__(self, num_phones: int):
        self._frames = np.zeros(1, np.int64)  # sorted; the last one is the newest
        self._sums = np.zeros((1, num_phones))

    def push(self, posteriors: np.ndarray) -> None:
        """Take in the next frames, shape (frames, P)."""
        sums = np.cumsum(np.concatenate([self._sums[-1:], posteriors], dtype=np.float64), axis=0)
        new = self._frames[-1] + 1 + np.arange(len(posteriors))
        self._frames = np.concatenate([self._frames, new])
        self._sums = np.concatenate([self._sums, sums[1:]])

    def forget(self, needed: np.ndarray) -> None:
        """Keep no other frames than these, and the newest."""
        kept = np.isin(self._frames, needed)
        kept[-1] = True
        self._frames, self._sums = self._frames[kept], self._sums[kept]

    def mean(self, start: int, end: int) -> np.ndarray:
        """Mean posterior of each phone from frame ``start`` to before ``end``, shape (P,).

        Raises:
            ValueError: if one of the two was forgotten, or never seen.
        """
        first, last = np.searchsorted(self._frames, (start, end))
        if last >= len(self._frames) or (self._frames[first], self._frames[last]) != (start, end):
            raise ValueError(f"no sums of frames {start} to {end} are kept")
        return np.clip((self._sums[last] - self._sums[first]) / (end - start), 0.0, 1.0)


def rank(probabilities: np.ndarray, phone: int, number: int) -> tuple[tuple[int, float], ...]:
    """The most probable phones beside one, of equally probable ones the first of the phone set.

    Args:
        probabilities: of each phone, shape (P,).
        phone: the one to leave out.
        number: how many to give, at most P - 1.

    Returns:
        Phone and probability, the most probable first.
    """
    order = np.argsort(-probabilities, kind="stable")
    others = order[order != phone][:number]
    return tuple((int(other), float(probabilities[other])) for other in others)
