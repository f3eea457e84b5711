"""Posteriors of one recording to phones, piece by piece, with alternatives on request.

Alternatives are collected on the way, because the posteriors of a long recording are not kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from speechattn.decoder.decoder import Decoder
from speechattn.inference.checkpoint import Checkpoint
from speechattn.segments import FrameSegment

PIECE_FRAMES = 4096  # frames that are summed up at a time


class SegmentCollector:
    """Decodes one recording, pushed in pieces of any size.

    Memory does not grow with the recording; see :class:`speechattn.decoder.decoder.Decoder`.

    Args:
        checkpoint: the model.
        alternatives: how many other phones to give with each segment, 0 or more; all others if
            there are fewer.
        on_posteriors: called with the posteriors of every piece, float32, shape (frames, phones).
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        alternatives: int = 0,
        on_posteriors: Callable[[np.ndarray], None] | None = None,
    ) -> None:
        self._decoder = Decoder(checkpoint.phone_model, checkpoint.decoding)
        self._sums = PosteriorSums(len(checkpoint.phones)) if alternatives else None
        self._alternatives = alternatives
        self._on_posteriors = on_posteriors
        self._segments: list[FrameSegment] = []

    def push(self, log_posteriors: np.ndarray) -> None:
        """Add the next frames: logarithms of their posteriors, float32, (frames, phones)."""
        if self._on_posteriors is not None and len(log_posteriors):
            self._on_posteriors(np.exp(log_posteriors))
        if self._sums is None:
            self._segments += self._decoder.push(log_posteriors)
            return
        for start in range(0, len(log_posteriors), PIECE_FRAMES):
            piece = log_posteriors[start : start + PIECE_FRAMES]
            segments = self._decoder.push(piece)  # which refuses NaN
            self._sums.push(np.exp(piece))
            self._segments += self._ranked(segments, self._sums)
            self._sums.forget(self._decoder.boundaries())

    def finish(self) -> list[FrameSegment]:
        """End the recording.

        Returns:
            Segments that cover all frames pushed, with their alternatives.
        """
        segments = self._decoder.finish()
        self._segments += segments if self._sums is None else self._ranked(segments, self._sums)
        return self._segments

    def _ranked(self, segments: list[FrameSegment], sums: PosteriorSums) -> Iterator[FrameSegment]:
        for segment in segments:
            means = sums.mean(segment.start, segment.end)
            yield replace(segment, alternatives=rank(means, segment.phone, self._alternatives))


class PosteriorSums:
    """Sums of posteriors from the beginning of a recording, at the frames that may be needed.

    The sums do not depend on how the frames are cut into pieces, to the last bit.

    Args:
        num_phones: number of phones, P.
    """

    def __init__(self, num_phones: int) -> None:
        self._frames = np.zeros(1, np.int64)  # sorted; the last one is the newest
        self._sums = np.zeros((1, num_phones))

    def push(self, posteriors: np.ndarray) -> None:
        """Add the next frames, shape (frames, P)."""
        sums = np.cumsum(np.concatenate([self._sums[-1:], posteriors], dtype=np.float64), axis=0)
        new = self._frames[-1] + 1 + np.arange(len(posteriors))
        self._frames = np.concatenate([self._frames, new])
        self._sums = np.concatenate([self._sums, sums[1:]])

    def forget(self, needed: np.ndarray) -> None:
        """Drop the sums at all frames but these and the newest one."""
        retained = np.isin(self._frames, needed)
        retained[-1] = True
        self._frames, self._sums = self._frames[retained], self._sums[retained]

    def mean(self, start: int, end: int) -> np.ndarray:
        """Return the mean posterior of each phone from ``start`` to before ``end``, shape (P,).

        Args:
            start: frame.
            end: frame.

        Raises:
            ValueError: if the sum at one of the two was dropped, or it was not pushed yet.
        """
        first, last = np.searchsorted(self._frames, (start, end))
        if last >= len(self._frames) or (self._frames[first], self._frames[last]) != (start, end):
            raise ValueError(f"no sums of frames {start} to {end} are kept")
        return np.clip((self._sums[last] - self._sums[first]) / (end - start), 0.0, 1.0)


def rank(probabilities: np.ndarray, phone: int, number: int) -> tuple[tuple[int, float], ...]:
    """Return the most probable phones beside one; ties go to the first of the phone set.

    Args:
        probabilities: of each phone, shape (P,).
        phone: the one that is left out.
        number: how many are returned, at most P - 1.

    Returns:
        Phone and probability, the most probable first.
    """
    order = np.argsort(-probabilities, kind="stable")
    others = order[order != phone][:number]
    return tuple((int(other), float(probabilities[other])) for other in others)
