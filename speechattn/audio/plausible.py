"""Signs that samples are not what the header of a recording says that they are.

Some fields of headers are nowhere written twice: the coding of an AU file, its number of channels.
If such a field is wrong, sound becomes noise, or two channels become one at half the speed, and no
comparison of sizes tells. The samples do:

- Neighbours in time are alike in any recording at more than 4 kHz. Bytes that are taken for another
  coding or byte order give samples near full scale that are unrelated to their neighbours, all of
  nearly one level, or far from 0 on average.
- With ``c`` channels, a sample is like the one ``c`` places later. If it is more like one at
  another distance, the number of channels is another.
- Where each sample stands twice, two equal channels may have been taken for one.
"""

from __future__ import annotations

import numpy as np

PIECE_FRAMES = 4096  # of a block that are looked at, so that it costs next to nothing
FIRST_PIECES = 3  # of the first block: a short recording has no other
MOST_CHANNELS = 8  # that are told apart
LOUD = 0.2  # root mean square; recordings of speech stay below it
AUDIBLE = 0.01  # root mean square; the noise of quiet recordings is not like speech
LOUDEST = 0.5  # root mean square; no recording of speech has it
UNRELATED = 0.3  # correlation of neighbours in time; any speech is above it
ONE_LEVEL = 0.95  # mean of absolute values over root mean square; 1 for a square wave, speech 0.7
FAR_OFFSET = 0.2  # mean of the samples
CLEARLY = 0.25  # a distance at which samples differ by less than this share differs clearly less
NEARER = 0.6  # the same for fewer channels; 0.25 where sounds are slow
EQUAL = 1.05  # ratio of the differences from each channel, where there is only one
MOST_EQUAL = 0.5  # share of neighbours that are equal by chance
LEAST_FRAMES = 2000  # fewer tell nothing


class Plausibility:
    """Measures whether samples look like a recording with that many channels."""

    def __init__(self) -> None:
        self._frames = 0
        self._sums = np.zeros(4)  # of x, |x|, x * x and x times its neighbour in time
        self._repeated = True  # whether each sample of one channel stands twice
        self._differences: np.ndarray | None = None  # squares, by distance and by channel
        self._votes = np.zeros(0, int)  # pieces by distance at which they are clearly more alike
        self._voters = 0  # pieces that are not silent

    @np.errstate(invalid="ignore", over="ignore")  # of samples that are no numbers
    def add(self, samples: np.ndarray) -> None:
        """Add samples, float32, shape (samples, channels)."""
        count, channels = samples.shape
        size = min(count, PIECE_FRAMES)
        if size < 64 or channels > MOST_CHANNELS:
            return
        starts = range(0, count - size + 1, max(1, (count - size) // 4))[:5]
        levels = [float(np.abs(samples[at : at + 64 : 4]).max()) for at in starts]
        loudest = np.argsort(levels, kind="stable")[::-1]
        for number in loudest[: 1 if self._frames else FIRST_PIECES]:
            self._add(np.ascontiguousarray(samples[starts[number] :][:size], np.float64))

    def _add(self, piece: np.ndarray) -> None:
        size, channels = piece.shape
        self._frames += size
        flat = piece.ravel()
        squares, neighbours = flat @ flat, flat[channels:] @ flat[:-channels]
        self._sums += np.array([flat.sum(), np.abs(flat).sum(), squares, neighbours]) / channels
        if self._repeated:
            same = piece[1:, 0] == piece[:-1, 0]
            pairs, others = sorted((same[::2].mean(), same[1::2].mean()), reverse=True)
            self._repeated = channels == 1 and pairs == 1.0 and others < MOST_EQUAL
        distances = 2 * channels
        if self._differences is None:
            self._differences = np.zeros((distances, channels))
            self._votes = np.zeros(distances, int)
        found = np.zeros((distances, channels))
        whole = (size - 2) * channels
        for distance in range(1, distances + 1):
            apart = (flat[distance : distance + whole] - flat[:whole]) ** 2
            found[distance - 1] = apart.reshape(-1, channels).sum(0)
        self._differences += found
        if squares > AUDIBLE**2 * len(flat):
            by_distance = found.mean(1)
            self._votes += by_distance < CLEARLY * by_distance[channels - 1]
            self._voters += 1

    def warnings(self) -> list[str]:
        """Return the warnings."""
        if self._frames < LEAST_FRAMES or not np.isfinite(self._sums).all():
            return []
        if noise := self._noise():
            return [
                f"implausible samples: {noise}; the header may name the wrong coding, width or "
                "byte order"
            ]
        if self._repeated:
            return [
                "implausible channels: each sample stands twice; two equal channels may have been "
                "taken for one, at half the speed"
            ]
        count = self._other_channels()
        if count is None or self._differences is None:
            return []
        given = self._differences.shape[1]
        return [
            f"implausible channels: the samples look like {count} channel{'s' * (count > 1)}, but "
            f"the header says {given}"
        ]

    def _noise(self) -> str:
        mean, level, power, product = self._sums / self._frames
        spread = power - mean**2
        if power < LOUD**2:
            return ""
        if power > LOUDEST**2:
            return "louder than any recording"
        if abs(mean) > FAR_OFFSET:
            return f"their mean is {mean:.2f}"
        if level > ONE_LEVEL * np.sqrt(power):
            return "nearly all have one level"
        if product - mean**2 < UNRELATED * spread:
            return "loud, and unrelated to their neighbours"
        return ""

    def _other_channels(self) -> int | None:
        """Return the number of channels that the samples look like, if it is another."""
        if self._differences is None:
            return None
        given = self._differences.shape[1]
        by_distance = self._differences.mean(1)
        own = by_distance[given - 1]
        if not own > 0 or self._sums[2] < AUDIBLE**2 * self._frames:
            return None
        for distance in range(1, 2 * given + 1):
            if distance == given:
                continue
            parts = self._differences[distance - 1]
            share = by_distance[distance - 1] / own
            # Two microphones at one voice are alike too, but not from R to L as from L to R.
            if distance < given and share < NEARER and parts.max() <= EQUAL * parts.min():
                return distance
            most = 2 * self._votes[distance - 1] > self._voters  # not only one sharp S
            if distance > given and share < CLEARLY and most:
                return distance
        return None
