"""Warnings about recordings that can be transcribed but may not be what their owner expects.

Sums are taken while the samples pass by, in constant memory. The spectrum is measured in a few
places only, so that all takes less than a hundredth of the time of recognition. Each warning is one
line that begins with a key, such as ``clipped: 2.1 % of the samples ...``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from speechattn.audio.plausible import Plausibility
from speechattn.segments import SAMPLE_RATE
from speechattn.text import figure

if TYPE_CHECKING:
    from speechattn.audio.sndfile import AudioInfo

# Levels are shares of full scale, powers their squares. Hardly any recording of the shared corpora
# of good speech reaches these limits; recordings with artificial faults do.
FULL_SCALE = 0.999  # level from which a sample counts as full scale
CLIPPED_SHARE = 1e-3  # of the samples at full scale; a loud recording touches it a few times
SILENT_LEVEL = 1e-3  # -60 dB; speech is far above that in its loudest FRAME_SECONDS
FRAME_SECONDS = 0.1  # over which a level is measured
BEYOND_LEVEL = 8.0  # times full scale; recordings of floats may go a little over 1, not this far
UNSIGNED_BYTE = 256.0  # samples below it may be integers of 8 bits
WHOLE_SCALES = {16: 2.0**15, 24: 2.0**23, 32: 2.0**31}  # full scale of integers, by their bits
OFFSET_LEVEL = 0.02  # mean of the samples; good converters are below 0.001
SPEECH_BAND = (200.0, 3400.0)  # Hz, the band of a telephone
UPPER_BAND = (4300.0, 7500.0)  # Hz, missing in telephone speech and present in speech at 16 kHz
NARROW_POWER = 1e-5  # upper band over speech band; a filter leaves less, speech has far more
SPECTRUM_SECONDS = 0.1  # from one measurement of the spectrum to the next
WINDOW_SECONDS = 0.016  # of a measurement, to the nearest power of two in samples
QUIET_CHANNEL = 1e-2  # share of the loudest channel's power; a channel below it hardly counts
LEAST_CORRELATION = 0.25  # of channels; one voice at two microphones is above it
MOST_CHANNELS = 8  # that are compared
_HARD = "phones such as S and F are hard to tell apart without what is above"


class QualityMonitor:
    """Measures a recording while it is read.

    Args:
        channel: that is transcribed, from 0; None for the mean of all.
        report: called with the share of the recording that has been decoded, from 0 to 1.
    """

    def __init__(
        self, channel: int | None = None, report: Callable[[float], None] | None = None
    ) -> None:
        self._channel, self._report = channel, report
        self._rate = self._frames = 0
        self._used = 0  # frames in the sums and products; the end of a block may be left out
        self._clipped = 0
        self._contradictions: tuple[str, ...] = ()
        self._peak = 0.0  # of all samples
        self._loudest = 0.0  # power of the loudest frame of the loudest channel
        self._sums = np.zeros(0)  # of samples, by channel
        self._products = np.zeros((0, 0))  # of samples, by pair of channels
        self._plausibility = Plausibility()
        self._spectrum = np.zeros(2)  # power in the speech band and in the upper band

    def add(self, info: AudioInfo, samples: np.ndarray) -> None:
        """Add samples as they are decoded.

        Args:
            info: of the recording.
            samples: float32, shape (samples, channels).
        """
        self._rate = info.sample_rate
        self._contradictions = info.contradictions
        self._plausibility.add(samples)
        if self._channel is not None:
            samples = samples[:, self._channel : self._channel + 1]
        samples = samples[:, :MOST_CHANNELS]
        channels = np.ascontiguousarray(samples.T)
        if not self._frames:
            self._sums = np.zeros(len(channels))
            self._products = np.zeros((len(channels), len(channels)))
        self._frames += len(samples)
        peak = float(max(channels.max(), -channels.min()))
        self._peak = max(self._peak, peak)
        if peak >= FULL_SCALE:
            self._clipped += int(np.count_nonzero(np.abs(channels) >= FULL_SCALE))
        with np.errstate(over="ignore", invalid="ignore"):  # resample.py refuses such samples
            self._add_levels(channels)
            self._add_spectra(channels)
        if self._report is not None:
            self._report(min(1.0, self._frames / info.frames))

    def _add_levels(self, channels: np.ndarray) -> None:
        size = min(channels.shape[1], max(1, round(FRAME_SECONDS * self._rate)))
        count = channels.shape[1] // size
        frames = channels[:, : count * size].reshape(len(channels), count, size)
        self._used += count * size
        self._sums += frames.sum(axis=2).sum(axis=1, dtype=np.float64)
        for i, one in enumerate(frames):
            for j, other in enumerate(frames[: i + 1]):
                # Not a product of matrices, whose last bits depend on the number of threads.
                products = np.einsum("fi,fi->f", one, other)
                self._products[i, j] += products.sum(dtype=np.float64)
                if i == j:
                    self._loudest = max(self._loudest, float(products.max()) / size)

    def _add_spectra(self, channels: np.ndarray) -> None:
        size = 2 ** round(np.log2(WINDOW_SECONDS * self._rate))
        step = max(size, round(SPECTRUM_SECONDS * self._rate))
        starts = range(0, channels.shape[1] - size + 1, step)
        if self._rate < SAMPLE_RATE or not starts:
            return
        loudest = channels[np.argmax(np.diag(self._products))]
        pieces = np.stack([loudest[start : start + size] for start in starts])
        power = np.abs(np.fft.rfft(pieces * _window(size), axis=1)) ** 2
        hertz = np.arange(power.shape[1]) * self._rate / size
        for band, (low, high) in enumerate((SPEECH_BAND, UPPER_BAND)):
            self._spectrum[band] += power[:, (hertz >= low) & (hertz < high)].sum()

    def warnings(self) -> list[str]:
        """Return the warnings, once all samples have been added."""
        if not self._frames:
            return []
        warnings = [f"header and data disagree: {each}" for each in self._contradictions]
        warnings += self._plausibility.warnings()
        if self._loudest < SILENT_LEVEL**2:
            level = f"never louder than {_decibels(self._loudest)} dB of full scale"
            return [*warnings, f"silent: {level if self._loudest else 'all samples are 0'}"]
        if self._peak > BEYOND_LEVEL:  # of another scale, so nothing can be said of clipping
            return [*warnings, *beyond_full_scale(self._peak), *self._narrow(), *self._different()]
        share = self._clipped / (self._frames * len(self._sums))
        if share > CLIPPED_SHARE:
            warnings.append(f"clipped: {figure(100 * share)} % of the samples are at full scale")
        offset = self._sums / self._used
        worst = offset[np.argmax(np.abs(offset))]
        if abs(worst) > OFFSET_LEVEL:
            warnings.append(f"offset: the mean of the samples is {worst:.3f} and not 0")
        return warnings + self._narrow() + self._different()

    def _narrow(self) -> list[str]:
        if self._rate < SAMPLE_RATE:
            return [f"narrow band: recorded at {self._rate} Hz; {_HARD}"]
        speech, upper = self._spectrum
        if not upper < NARROW_POWER * speech:
            return []
        return [f"narrow band: hardly anything above {UPPER_BAND[0]:.0f} Hz; {_HARD}"]

    def _different(self) -> list[str]:
        powers = np.diag(self._products)
        loud = np.flatnonzero(powers > QUIET_CHANNEL * powers.max())
        least, pair = 1.0, (0, 0)
        for i in loud:
            for j in loud[loud < i]:
                correlation = self._products[i, j] / np.sqrt(powers[i] * powers[j])
                if correlation < least:
                    least, pair = float(correlation), (int(j), int(i))
        if least >= LEAST_CORRELATION:
            return []
        what = f"{pair[0]} and {pair[1]} have little in common (correlation {least:.2f})"
        return [f"different channels: {what}, and their mean mixes them; choose one"]


def beyond_full_scale(peak: float) -> list[str]:
    """Return the warning that samples are of another scale than -1 to 1, or no warning.

    Args:
        peak: largest absolute value of a sample.
    """
    if not peak > BEYOND_LEVEL:
        return []
    what = f"beyond full scale: samples reach {figure(peak, 6)}, where full scale is 1"
    if peak < UNSIGNED_BYTE:
        return [f"{what}; if they were bytes from 0 to 255, subtract 128 and divide them by 128"]
    for bits, scale in WHOLE_SCALES.items():
        if peak <= scale:
            return [f"{what}; if they were integers of {bits} bits, divide them by {scale:.0f}"]
    return [f"{what}; divide them by what full scale is in them"]


@functools.lru_cache(maxsize=8)
def _window(size: int) -> np.ndarray:
    return np.hanning(size).astype(np.float32)


def _decibels(power: float) -> str:
    return f"{10 * np.log10(power):.0f}" if power > 0 else "-inf"
