"""Edges of pauses: where speech fades into silence, by the level of the sound.

Posteriors say that there is a pause, but not sharply where it begins: the end of a word fades, and
the labels that a model learns from differ there by 50 ms and more. Here the level of the sound has
its say: an edge moves to the mean of the place that the posteriors give and of that at which the
level falls below a threshold, between that of the pause and that of the speech around it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from speechattn.segments import FrameSegment

if TYPE_CHECKING:
    from speechattn.audio.features import FrontEndConfig

# Chosen on librispeech/dev, kathleen/test and kokoro/test; speechocean762/dev was held out.
ABOVE_PAUSE = 10.0  # decibels over the pause from which on there is speech
BELOW_SPEECH = 46.0  # decibels under the speech that are silence, however silent the pause
SHARE = 0.5  # of the level in the mean; the rest is that of the posteriors
START_LATER, END_LATER = -1.0, 1.0  # frames; the windows of frames are longer than their shift
REACH = 12  # frames within which the level is looked at
QUIET = 2  # frames in a row that end speech
LEAST_PAUSE = 4  # frames of a pause whose level can be told
AROUND = 300  # frames to both sides in which the level of speech is measured
DECIBELS = 10 / np.log(10)  # in a nat


def levels(frames: np.ndarray) -> np.ndarray:
    """The level of each frame.

    Args:
        frames: log-mel energies, shape (frames, bins).

    Returns:
        Decibels, float32, shape (frames,).
    """
    greatest = frames.max(1, initial=-np.inf)
    nats = np.log(np.exp(frames - greatest[:, None]).sum(1)) + greatest
    return (DECIBELS * nats).astype(np.float32)


class LevelMeter:
    """Measures the levels of a long recording while it is read.

    Args:
        front_end: whose frames are log-mel energies.
    """

    def __init__(self, front_end: FrontEndConfig) -> None:
        self._front_end = front_end
        self._parts: list[np.ndarray] = []

    def passing(self, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Yield the blocks of samples, float32, shape (n,) each, and measure them."""
        from speechattn.audio.features import FrontEnd

        stream = FrontEnd(self._front_end).stream()
        for block in blocks:
            self._parts.append(levels(stream.push(block)))
            yield block
        self._parts.append(levels(stream.finish()))

    def levels(self) -> np.ndarray:
        """Decibels of each frame, shape (frames,), once all blocks have passed."""
        return np.concatenate(self._parts)


def move_edges(
    times: np.ndarray, runs: Sequence[FrameSegment], level: np.ndarray, silence: int
) -> np.ndarray:
    """Move the edges of pauses.

    Args:
        times: starts of the runs and the end of the last, in frames, as
            :func:`~speechattn.alignment.boundaries.refine` gives them.
        runs: phones and silence of the best path.
        level: of each frame, shape (frames,).
        silence: class of pauses.

    Returns:
        Times with other edges of pauses, none before the one before it.
    """
    moved = times.copy()
    last_frame = len(level)
    places = np.clip(np.rint(times), 0, last_frame).astype(int)
    for number, run in enumerate(runs):
        first, last = places[number], places[number + 1]
        if run.phone != silence or last - first < LEAST_PAUSE:
            continue
        around = level[max(0, first - AROUND) : last + AROUND]
        pause, speech = np.percentile(level[first:last], 20), np.percentile(around, 95)
        threshold = max(float(pause) + ABOVE_PAUSE, float(speech) - BELOW_SPEECH)
        middle = (times[number] + times[number + 1]) / 2
        if number > 0:
            begin = max(places[number - 1], first - REACH)
            fading = level[begin : min(last, first + REACH)]
            end = _fades(fading, first - begin, threshold)
            if end is not None:
                mean = _mean(times[number], begin + end + END_LATER)
                moved[number] = min(max(mean, times[number - 1]), middle)
        if number + 1 < len(runs):
            end = min(places[number + 2], last + REACH)
            rising = level[max(first, last - REACH) : end]
            start = _fades(rising[::-1], end - last, threshold)
            if start is not None:
                mean = _mean(times[number + 1], end - start + START_LATER)
                moved[number + 1] = max(min(mean, times[number + 2]), middle)
    return np.maximum.accumulate(moved)


def _mean(by_posteriors: float, by_level: float) -> float:
    return (1 - SHARE) * by_posteriors + SHARE * by_level


def _fades(level: np.ndarray, edge: int, threshold: float) -> float | None:
    """Where speech that comes first ends, in frames.

    Args:
        level: of some frames.
        edge: the frame at which the posteriors have the pause begin.
        threshold: of speech.

    Returns:
        Between the middles of the last frame of speech and of the next; the end of the frames if
        they are loud to their end; None if there is no speech before the edge.
    """
    if not edge or not len(level):
        return None
    loudest = int(level[:edge].argmax())
    loud = level > threshold
    if not loud[loudest]:
        return None
    last, quiet = loudest, 0
    for place in range(loudest, len(level)):
        last, quiet = (place, 0) if loud[place] else (last, quiet + 1)
        if quiet == QUIET:
            break
    if last + 1 == len(level):
        return float(len(level))
    return last + 0.5 + float((level[last] - threshold) / (level[last] - level[last + 1]))
