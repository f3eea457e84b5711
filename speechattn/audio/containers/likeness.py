"""Whether bytes that a header does not count are samples like those that it does.

Samples of sound are like their neighbours. Text, pictures and compressed data are not, if they are
taken for samples.
"""

from __future__ import annotations

import numpy as np

from speechattn.audio.containers.base import LEAST_FORGOTTEN, BoundedReader
from speechattn.audio.encodings import Encoding

ALIKE = 0.5  # correlation of neighbours; speech is above it at any rate
LOUDER = 4.0  # times the level before
LOUD = 0.3  # root mean square; louder than any recording of speech
SPOTS, SPOT_BLOCKS = 8, 4096  # that are looked at


def goes_on(
    data: BoundedReader, begin: int, middle: int, end: int, encoding: Encoding, channels: int
) -> bool:
    """Whether samples go on behind the last one that the header counts.

    Args:
        data: the file.
        begin: position of the first sample.
        middle: position after the last one that is counted.
        end: position after the last one that there would be.
        encoding: of the samples.
        channels: number of channels.
    """
    if end - middle < LEAST_FORGOTTEN:
        return False
    block = encoding.width * channels
    first = middle - (middle - begin) % block
    before = _look(data, begin, first, encoding, channels)
    after = _look(data, first, end, encoding, channels)
    if before is None or after is None:
        return False
    return min(before[1], after[1]) > ALIKE and after[0] <= max(LOUDER * before[0], LOUD)


def all_goes_on(
    data: BoundedReader, begin: int, middle: int, encoding: Encoding | None, channels: int
) -> bool:
    """Whether samples go on to the end of the file, where no other recording begins.

    Args:
        data: the file.
        begin: position of the first sample.
        middle: position after the last one that the header counts.
        encoding: of the samples; None if they are compressed, and cannot be told.
        channels: number of channels.
    """
    if encoding is None or data.another_begins(middle):
        return False
    return goes_on(data, begin, middle, data.size, encoding, channels)


@np.errstate(over="ignore", invalid="ignore")  # of samples that are no numbers
def _look(
    data: BoundedReader, begin: int, end: int, encoding: Encoding, channels: int
) -> tuple[float, float] | None:
    """Return root mean square without the mean, and correlation of neighbours; None of silence."""
    block = encoding.width * channels
    blocks = (end - begin) // block
    count = min(SPOT_BLOCKS, blocks)
    power = product = total = 0.0
    for spot in range(SPOTS if blocks > count else 1):
        at = begin + (blocks - count) * spot // max(1, SPOTS - 1) * block
        samples = encoding.decode(data.upto(at, count * block)).reshape(-1, channels)
        if len(samples) < 2 or not np.isfinite(samples).all():
            return None
        channel = samples[:, 0] - samples[:, 0].mean()
        total += len(channel)
        power += float((channel**2).sum())
        product += float((channel[1:] * channel[:-1]).sum())
    if not 0 < power < np.inf:
        return None
    mean_square = power / total
    return float(np.sqrt(mean_square)), product / power
