"""Any number of channels at any rate to mono at 16 kHz, in blocks.

Everything is done chunk by chunk, so that a recording of any length needs the same memory. ``n``
samples at ``rate`` Hz become exactly ``floor(n * 16000 / rate + 1/2)`` samples at 16 kHz, whatever
the chunks and blocks. Impossible rates, missing channels, too few samples, NaN and absurd levels
are refused here, for files and for samples in memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import soxr

from speechattn.errors import EMPTY, NOT_FINITE, TOO_SHORT, UNSUITABLE, AudioError
from speechattn.segments import SAMPLE_RATE, SHIFT_SAMPLES

MIN_RATE = 4_000  # Hz; below, too little of speech is left
MAX_RATE = 768_000  # Hz; above, the header is wrong
MIN_SAMPLES = SHIFT_SAMPLES // 2  # at 16 kHz (5 ms); fewer give no frame
MAX_LEVEL = 2.0**40  # of a sample, where full scale is 1; beyond, the energy of a frame overflows
CHUNK_FRAMES = 65_536  # samples per channel decoded and resampled at a time
CHUNK_VALUES = 1 << 20  # samples of all channels decoded at a time, at most


def resampled_length(frames: int, sample_rate: int) -> int:
    """Return how many samples at 16 kHz ``frames`` samples become, rounded half up."""
    return (2 * frames * SAMPLE_RATE + sample_rate) // (2 * sample_rate)


def chunk_frames(channels: int) -> int:
    """Return the samples per channel in a chunk of that many channels."""
    return max(1, min(CHUNK_FRAMES, CHUNK_VALUES // channels))


def resampler(sample_rate: int) -> soxr.ResampleStream:
    """Return a stream of mono float32 samples from ``sample_rate`` Hz to 16 kHz."""
    return soxr.ResampleStream(sample_rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")


def check_length(frames: int, sample_rate: int, name: str) -> None:
    """Refuse a recording that gives no frame at 16 kHz.

    Args:
        frames: samples per channel.
        sample_rate: Hz.
        name: of the recording, for messages.

    Raises:
        AudioError: if the rate is impossible or there are fewer than 5 ms.
    """
    if not MIN_RATE <= sample_rate <= MAX_RATE:
        raise AudioError(
            f"{name}: sample rate {sample_rate} Hz is not between {MIN_RATE} and {MAX_RATE} Hz; "
            "record or convert it at 16000 Hz",
            UNSUITABLE,
        )
    if frames <= 0:
        raise AudioError(f"{name}: holds no samples (0 s); leave it out or record it again", EMPTY)
    if resampled_length(frames, sample_rate) < MIN_SAMPLES:
        raise AudioError(
            f"{name}: {frames} samples at {sample_rate} Hz are {1000 * frames / sample_rate:.2f} "
            "ms; at least 5 ms are needed for one frame; leave it out",
            TOO_SHORT,
        )


def check_channel(channel: int | None, channels: int, name: str) -> None:
    """Refuse a channel that does not exist.

    Args:
        channel: counted from 0; None stands for the mean of all.
        channels: number of channels.
        name: of the recording, for messages.

    Raises:
        AudioError: if there is no such channel.
    """
    if channel is None:
        return
    whole = isinstance(channel, (int, np.integer)) and not isinstance(channel, bool)
    if not whole or not 0 <= channel < channels:
        raise AudioError(
            f"{name}: no channel {channel}; it has {channels}, counted from 0 to {channels - 1}",
            UNSUITABLE,
        )


def check_samples(samples: np.ndarray, done: int, sample_rate: int, name: str) -> None:
    """Refuse samples that are no sound: NaN, infinite, or beyond ``MAX_LEVEL``.

    Args:
        samples: mono, shape (samples,).
        done: number of samples before them.
        sample_rate: Hz.
        name: of the recording, for messages.

    Raises:
        AudioError: naming the first one.
    """
    usable = np.abs(samples) <= MAX_LEVEL  # false for NaN
    if not usable.all():
        bad = int(np.argmin(usable))
        value = samples[bad]
        problem = (
            f"{value:.3g}, where full scale is 1; scale the recording to -1 to 1"
            if np.isfinite(value)
            else f"{value}; write the recording again without NaN and infinite values"
        )
        which = f"sample {done + bad} (at {(done + bad) / sample_rate:.4f} s)"
        raise AudioError(f"{name}: {which} is {problem}", NOT_FINITE)


def mono_blocks(
    chunks: Iterable[np.ndarray], sample_rate: int, channel: int | None, seconds: float, name: str
) -> Iterator[np.ndarray]:
    """Mix down and resample.

    Args:
        chunks: float32 arrays, shape (samples, channels).
        sample_rate: of the chunks, Hz.
        channel: which channel, from 0; None for the mean of all.
        seconds: length of a block; the last one may be shorter. It changes no sample.
        name: of the recording, for messages.

    Returns:
        Iterator of float32 arrays at 16 kHz, shape (samples,).

    Raises:
        AudioError: if ``seconds`` is not positive or (from the iterator) as :func:`check_samples`.
    """
    if not np.isfinite(seconds) or not seconds > 0:
        raise AudioError(f"{name}: blocks of {seconds} s; give a length above 0 s")
    mono = _mono(chunks, sample_rate, channel, name)
    return _reblock(_resample(mono, sample_rate), max(1, round(seconds * SAMPLE_RATE)))


def _mono(
    chunks: Iterable[np.ndarray], sample_rate: int, channel: int | None, name: str
) -> Iterator[np.ndarray]:
    """Yield one channel, or the mean of all; every sample is checked."""
    done = 0
    for chunk in chunks:
        if chunk.shape[1] == 1:
            mono = np.array(chunk[:, 0])  # a copy: the decoder reuses its buffer
        elif channel is None:
            with np.errstate(invalid="ignore"):  # of infinities, which are refused below
                mono = chunk.mean(axis=1, dtype=np.float64).astype(np.float32)
        else:
            mono = np.array(chunk[:, channel])
        check_samples(mono, done, sample_rate, name)
        done += len(mono)
        yield mono


def _resample(chunks: Iterable[np.ndarray], sample_rate: int) -> Iterator[np.ndarray]:
    """Resample to 16 kHz, to ``resampled_length`` samples in all; soxr removes its own delay."""
    if sample_rate == SAMPLE_RATE:
        yield from chunks
        return
    stream = resampler(sample_rate)
    taken = given = 0
    for chunk in chunks:
        taken += len(chunk)
        out = stream.resample_chunk(chunk)
        given += len(out)
        yield out
    rest = stream.resample_chunk(np.empty(0, np.float32), last=True)
    missing = resampled_length(taken, sample_rate) - given
    yield np.pad(rest[:missing], (0, max(0, missing - len(rest))))


def _reblock(chunks: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """Yield the same samples in arrays of ``size``, the last one shorter."""
    parts: list[np.ndarray] = []
    count = 0  # of samples in parts
    for chunk in chunks:
        while count + len(chunk) >= size:
            parts.append(chunk[: size - count])
            chunk = chunk[size - count :]
            yield np.concatenate(parts)
            parts, count = [], 0
        if len(chunk):
            parts.append(chunk)
            count += len(chunk)
    if count:
        yield np.concatenate(parts)
