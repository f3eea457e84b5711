"""What the page draws along time: envelope, spectrogram, posteriors, attention, as bytes."""

from __future__ import annotations

import math
from concurrent.futures import Executor

import numpy as np

from speechattn.encoder.attention_weights import LayerWeights
from speechattn.segments import FRAMES_PER_SECOND, SAMPLE_RATE
from speechattn.viewer.tiles import Tiles, make_tiles

FFT_SIZE = 256  # samples: 129 bins of 62.5 Hz
WINDOW_SAMPLES = 160  # 10 ms: Gaussian of 5 ms effective length, wide-band as Praat draws it
EMPHASIS = 0.97  # about 6 dB an octave
DYNAMIC_RANGE = 70.0  # dB below the loudest; the page shows the upper part of it
LOUDEST_PERCENTILE = 99.98  # of all values; a click of a millisecond must not pale the rest
# Columns a second of the spectrogram, by the longest recording that gets them (seconds).
SPECTROGRAM_RATES = ((120, 400), (900, 200), (math.inf, 100))
NOTHING = -120.0  # dB of samples that are all zero; they stay white, however soft the rest
BLOCK_COLUMNS = 4096  # that are computed at a time
ENVELOPE_RATES = ((120, 1000), (900, 400), (math.inf, 200))  # points a second, likewise
LEAST_POSTERIOR = 0.002  # smaller ones are shown as 0, which makes the page much smaller
ATTENTION_LEVELS = 31  # the largest byte of an attention weight, which stands for 1


def by_duration(rates: tuple[tuple[float, int], ...], seconds: float) -> int:
    """Return the rate of the first row whose limit a recording does not exceed."""
    return next(rate for limit, rate in rates if seconds <= limit)


def envelope(samples: np.ndarray, rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the highest and the lowest sample of every step.

    Args:
        samples: 16 kHz, shape (samples,).
        rate: steps a second.

    Returns:
        Two int8 arrays of one number a step; 127 stands for the loudest sample of the recording.
    """
    step = SAMPLE_RATE // rate
    padded = np.pad(samples, (0, -len(samples) % step), mode="edge").reshape(-1, step)
    peak = max(float(np.abs(samples).max(initial=0)), 1e-9)
    high, low = padded.max(1), padded.min(1)
    high, low = ((side / peak * 127).round().astype(np.int8) for side in (high, low))
    return high, low


def spectrogram(samples: np.ndarray, rate: int) -> np.ndarray:
    """Return a wide-band spectrogram (Gaussian window: Boersma, 1993).

    Args:
        samples: 16 kHz, shape (samples,).
        rate: columns a second; column c is centred on its time.

    Returns:
        uint8, shape (129, columns), 8 kHz uppermost: 255 is the loudest, 0 is ``DYNAMIC_RANGE`` dB
        below it.
    """
    step = SAMPLE_RATE // rate
    emphasised = np.append(samples[:1], samples[1:] - EMPHASIS * samples[:-1]).astype(np.float32)
    half = WINDOW_SAMPLES // 2
    padded = np.pad(emphasised, (half - step // 2, WINDOW_SAMPLES))
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW_SAMPLES)[::step]
    columns = -(-len(samples) // step)
    window = np.exp(-6 * np.linspace(-1, 1, WINDOW_SAMPLES) ** 2).astype(np.float32)
    levels = np.empty((FFT_SIZE // 2 + 1, columns), np.float16)
    for first in range(0, columns, BLOCK_COLUMNS):
        last = min(columns, first + BLOCK_COLUMNS)
        spectrum = np.fft.rfft(frames[first:last] * window, n=FFT_SIZE)
        power = spectrum.real**2 + spectrum.imag**2
        levels[:, first:last] = 10 * np.log10(np.maximum(power.T, 10 ** (NOTHING / 10)))
    loudest = float(np.percentile(levels[:, :: max(1, columns // 20_000)], LOUDEST_PERCENTILE))
    if loudest <= NOTHING:  # nearly all of it
        loudest = float(levels.max())
    shown = (levels.astype(np.float32) - (loudest - DYNAMIC_RANGE)) * (255 / DYNAMIC_RANGE)
    if loudest - DYNAMIC_RANGE < NOTHING:
        shown[levels <= NOTHING] = 0
    return shown.clip(0, 255).round().astype(np.uint8)[::-1]


def spectrogram_tiles(samples: np.ndarray, executor: Executor) -> Tiles:
    """Return the spectrogram of a recording, samples at 16 kHz, shape (samples,)."""
    rate = by_duration(SPECTROGRAM_RATES, len(samples) / SAMPLE_RATE)
    return make_tiles(spectrogram(samples, rate), rate, executor, lossy=True)


def posterior_tiles(posteriors: np.ndarray, executor: Executor) -> Tiles:
    """Return posteriors, shape (frames, phones), as 255 times their square roots."""
    picture = np.sqrt(posteriors.T) * 255
    picture[posteriors.T < LEAST_POSTERIOR] = 0
    return make_tiles(picture.round().astype(np.uint8), FRAMES_PER_SECOND, executor)


def attention_tiles(
    layers: list[LayerWeights], start: float, vectors_per_second: float, executor: Executor
) -> Tiles:
    """Return attention weights as ``ATTENTION_LEVELS`` times their square roots.

    The rows are the keys of the first head of the first layer from past to future, then those of
    its second head, and so on.

    Args:
        layers: weights of each.
        start: time of the first vector, seconds.
        vectors_per_second: of the encoder.
        executor: that encodes the tiles.
    """
    rows = [
        layer.weights.transpose(0, 2, 1).reshape(-1, layer.weights.shape[1]) for layer in layers
    ]
    weights = np.concatenate(rows).clip(0, 1)
    picture = (np.sqrt(weights) * ATTENTION_LEVELS).round().astype(np.uint8)
    return make_tiles(picture, vectors_per_second, executor, start=start)
