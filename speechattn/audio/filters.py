"""What the front end makes of a spectrum: triangular filters on the mel scale, and cepstra."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from speechattn.errors import ConfigError
from speechattn.segments import SAMPLE_RATE

if TYPE_CHECKING:
    from speechattn.audio.features import FrontEndConfig

FFT_SIZE = 512  # samples, the next power of two above the window
LEAST_FILTERS = 3


def mel_filters(config: FrontEndConfig) -> np.ndarray:
    """Return triangular filters, equally wide in mel = 1127 ln(1 + f / 700).

    Returns:
        float32, shape (num_mel_bins, 256), weights over the bins of the power spectrum below
        Nyquist.
    """
    count = config.num_mel_bins
    points = _corners(config.low_freq, config.upper_edge, count)
    left, centre, right = (points[i : i + count, None] for i in range(3))
    bins = _mel_of_bins()
    rising = (bins - left) / (centre - left)
    falling = (right - bins) / (right - centre)
    return np.minimum(rising, falling).clip(0).astype(np.float32)


def check_filters(config: FrontEndConfig) -> None:
    """Check that every filter has a bin of the spectrum; without one, its energy is always 0.

    Raises:
        ConfigError: if one has none; the message says how many filters there may be.
    """
    low, high, count = config.low_freq, config.upper_edge, config.num_mel_bins
    most = FFT_SIZE  # a bin lies in two filters at most
    if count <= most and not _has_empty(low, high, count):
        return
    fitting = (n for n in range(most, LEAST_FILTERS - 1, -1) if not _has_empty(low, high, n))
    largest = next(fitting, None)
    way_out = "give edges farther apart" if largest is None else f"at most {largest}"
    raise ConfigError(
        f"front_end.num_mel_bins: {count}; from {low:g} to {high:g} Hz some of these filters lie "
        f"between two frequencies of the spectrum ({SAMPLE_RATE / FFT_SIZE:g} Hz apart) and would "
        f"be empty: {way_out}"
    )


def _has_empty(low: float, high: float, count: int) -> bool:
    """Whether a filter has no bin of the spectrum between its corners."""
    points, bins = _corners(low, high, count), np.append(_mel_of_bins(), np.inf)
    following = bins[np.searchsorted(bins, points[:-2], side="right")]
    return bool((following >= points[2:]).any())


def _corners(low: float, high: float, count: int) -> np.ndarray:
    """Corners of filters in mel, shape (count + 2,): each begins in the middle of the last."""
    lowest, highest = _mel(np.array([low, high]))
    return np.linspace(lowest, highest, count + 2)


def _mel_of_bins() -> np.ndarray:
    return _mel(np.arange(FFT_SIZE // 2) * SAMPLE_RATE / FFT_SIZE)


def _mel(hertz: np.ndarray) -> np.ndarray:
    return 1127.0 * np.log1p(hertz / 700.0)


def cepstral_transform(config: FrontEndConfig) -> np.ndarray:
    """Return orthonormal DCT-II and liftering in one matrix, float32, (num_mel_bins, num_ceps)."""
    n, k = config.num_mel_bins, np.arange(config.num_ceps)
    dct = np.cos(math.pi / n * (np.arange(n)[:, None] + 0.5) * k) * math.sqrt(2 / n)
    dct[:, 0] = math.sqrt(1 / n)
    if config.cepstral_lifter:
        lifter = config.cepstral_lifter
        dct = dct * (1 + 0.5 * lifter * np.sin(math.pi * k / lifter))
    return dct.astype(np.float32)
