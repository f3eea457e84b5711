"""Audio that is still being recorded: chunks of any size in, 16 kHz mono float32 samples out.

Whatever the chunks, the samples are those that :func:`speechattn.audio.load.array_blocks` gives for
the whole. At 16 kHz they come at once. At other rates soxr works in blocks of its own and delays
the newest 33 to 40 ms (22.05, 44.1 and 48 kHz), 79 ms (96 kHz) or 115 ms (8 kHz).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from speechattn.audio.load import as_channels
from speechattn.audio.resample import (
    MAX_RATE,
    MIN_RATE,
    check_channel,
    check_length,
    check_samples,
    resampled_length,
    resampler,
)
from speechattn.errors import AudioError
from speechattn.segments import SAMPLE_RATE

if TYPE_CHECKING:
    import torch

MOST_CHANNELS = (
    8  # of a chunk with fewer samples than channels; more are taken for a transposed one
)


class AudioStream:
    """Converts samples as they come.

    Attributes:
        sample_rate: Hz, of the samples that are pushed.
        peak: largest absolute value of a sample so far, after mixing.

    Args:
        sample_rate: Hz, a whole number.
        channel: which channel, from 0; None for the mean of all.

    Raises:
        AudioError: if the sample rate is invalid.
    """

    def __init__(self, sample_rate: int = SAMPLE_RATE, *, channel: int | None = None) -> None:
        self.sample_rate = _rate(sample_rate)
        self._channel = channel
        self._channels: int | None = None  # as the first samples have them
        self._received = self._returned = 0
        self._finished = False
        self.peak = 0.0
        same = self.sample_rate == SAMPLE_RATE
        self._resampler = None if same else resampler(self.sample_rate)

    @property
    def duration(self) -> float:
        """Seconds pushed so far."""
        return self._received / self.sample_rate

    def push(self, samples: ArrayLike | torch.Tensor) -> np.ndarray:
        """Add samples.

        Args:
            samples: array or tensor of floats, shape (n,) or (channels, n).

        Returns:
            Samples at 16 kHz, float32, shape (m,).

        Raises:
            AudioError: if their type, shape or number of channels is wrong, or one is NaN,
                infinite or beyond any level. Then none of them is added.
            ValueError: if the stream has been finished.
        """
        if self._finished:
            raise ValueError("samples: this stream has been finished; make another one")
        array = as_channels(samples, integers=False)
        channels, count = array.shape
        if channels == 0 or 0 < count < channels > MOST_CHANNELS:
            raise AudioError(
                f"samples: shape {array.shape} is {channels} channels of {count} samples; "
                "transpose it to (channels, n)"
            )
        if count == 0:
            return np.empty(0, np.float32)
        if self._channels not in (None, channels):
            raise AudioError(
                f"samples: {channels} channels after {self._channels}; "
                "a stream keeps those it began with, make another one"
            )
        check_channel(self._channel, channels, "samples")
        if channels == 1 or self._channel is not None:
            mono = np.array(array[self._channel or 0], np.float32)
        else:
            mono = array.mean(axis=0, dtype=np.float64).astype(np.float32)
        check_samples(mono, self._received, self.sample_rate, "samples")
        self._channels = channels
        self._received += count
        self.peak = max(self.peak, float(np.abs(mono).max()))
        return self._resample(mono)

    def finish(self) -> np.ndarray:
        """End the recording.

        Returns:
            The samples that were not returned before, at 16 kHz, float32, shape (m,).

        Raises:
            AudioError: if there are fewer than 5 ms in all.
            ValueError: if the stream has been finished.
        """
        if self._finished:
            raise ValueError("finish: this stream has been finished; make another one")
        self._finished = True
        check_length(self._received, self.sample_rate, "stream")
        if self._resampler is None:
            return np.empty(0, np.float32)
        missing = resampled_length(self._received, self.sample_rate) - self._returned
        rest = self._resample(np.empty(0, np.float32), last=True)[:missing]
        return np.pad(rest, (0, missing - len(rest)))

    def _resample(self, mono: np.ndarray, last: bool = False) -> np.ndarray:
        if self._resampler is None:
            return mono
        mono = self._resampler.resample_chunk(mono, last=last)
        self._returned += len(mono)
        return mono


def _rate(sample_rate: float) -> int:
    number = isinstance(sample_rate, (int, float, np.number)) and not isinstance(sample_rate, bool)
    if not number or not MIN_RATE <= sample_rate <= MAX_RATE or sample_rate % 1:
        raise AudioError(
            f"sample_rate: {sample_rate!r}; a whole number from {MIN_RATE} to {MAX_RATE} Hz"
        )
    return int(sample_rate)
