"""The audio door: whatever comes in, 16 kHz mono float32 comes out, complete or not at all.

Sound files are decoded (:mod:`~speechattn.audio.sndfile`) and resampled (:mod:`~speechattn.audio.resample`) in
blocks, so a recording of any length needs the same memory; samples in memory go the same way. A
recording that is cut off, empty, damaged or holds NaN is an
:class:`~speechattn.errors.AudioError`, never a shorter or emptier one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from speechattn.audio.resample import check_channel, check_length, chunk_frames, mono_blocks
from speechattn.audio.sndfile import AudioInfo, decode, open_sound
from speechattn.errors import CHANGED, AudioError
from speechattn.text import one_line

BLOCK_SECONDS = 10.0  # of the blocks handed out, unless told

# Names of sound files to look for in folders, in lower case.
AUDIO_SUFFIXES = frozenset(
    (".wav", ".wave", ".rf64", ".w64", ".aif", ".aiff", ".aifc", ".au", ".snd", ".sph", ".nist")
    + (".caf", ".flac", ".ogg", ".oga", ".opus", ".mp3")
)


def audio_info(path: str | os.PathLike) -> AudioInfo:
    """Look into a sound file without decoding it.

    Raises:
        AudioError: if the file is missing, unreadable, no sound file, cut off (as far as its
            container tells), without samples, shorter than 5 ms, or of an impossible sample rate.
    """
    with AudioFile(path) as audio:
        return audio.info


def read_audio(
    path: str | os.PathLike, *, channel: int | None = None
) -> tuple[np.ndarray, AudioInfo]:
    """Read a whole sound file.

    Args:
        path: the file.
        channel: which channel, from 0; None for the mean of all.

    Returns:
        The samples at 16 kHz, float32, shape (samples,), and what the file is.

    Raises:
        AudioError: as :class:`AudioFile` and its blocks.
    """
    with AudioFile(path, channel=channel) as audio:
        # Joined afterwards: a damaged header may promise more than any memory holds.
        samples = np.concatenate(list(audio.blocks()))
    return samples, audio.info


class AudioFile:
    """A sound file to be read in blocks; a context manager.

    Attributes:
        info: what the file holds.

    Args:
        path: the file.
        channel: which channel, from 0; None for the mean of all.
        on_samples: is called with ``info`` and the samples of all channels as they are decoded, at
            their own rate, float32, shape (samples, channels); must not keep them.

    Raises:
        AudioError: as :func:`audio_info`, or if there is no such channel.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        *,
        channel: int | None = None,
        on_samples: Callable[[AudioInfo, np.ndarray], None] | None = None,
    ) -> None:
        self._name = one_line(path)
        self._path = Path(path)
        self._sound, self.info = open_sound(self._path)
        self._channel = channel
        self._on_samples = on_samples
        self._started = False
        try:
            check_channel(channel, self.info.channels, self._name)
        except AudioError:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *exception) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._sound.close()

    def blocks(self, seconds: float = BLOCK_SECONDS) -> Iterator[np.ndarray]:
        """The recording from the beginning, in blocks.

        Args:
            seconds: length of a block; the last one may be shorter. It changes no sample.

        Returns:
            Iterator of float32 arrays at 16 kHz, shape (samples,).

        Raises:
            AudioError: if the file cannot be decoded to its end, holds fewer samples than
                ``info.frames``, or a sample is NaN, infinite or beyond any level.
        """
        if self._started:
            self._sound.close()
            self._sound, info = open_sound(self._path)
            if info != self.info:
                message = f"{self._name}: changed while it was read; read it again"
                raise AudioError(message, CHANGED)
        self._started = True
        chunks = decode(self._sound, self.info, self._name)
        if self._on_samples is not None:
            chunks = self._shown(chunks)
        return mono_blocks(chunks, self.info.sample_rate, self._channel, seconds, self._name)

    def _shown(self, chunks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        for chunk in chunks:
            self._on_samples(self.info, chunk)
            yield chunk


def array_blocks(
    samples: np.ndarray,
    sample_rate: int,
    *,
    seconds: float = BLOCK_SECONDS,
    channel: int | None = None,
) -> Iterator[np.ndarray]:
    """The same door for samples in memory.

    Args:
        samples: array or tensor, shape (samples,) or (channels, samples). Floats are taken as they
            are, integers of 8 to 32 bits are divided by their full scale.
        sample_rate: Hz.
        seconds: length of a block; the last one may be shorter.
        channel: which channel, from 0; None for the mean of all.

    Returns:
        Iterator of float32 arrays at 16 kHz, shape (samples,).

    Raises:
        AudioError: if shape, type, rate or channel make no sense, there are fewer than 5 ms, or
            (from the iterator) a sample is NaN, infinite or beyond any level.
    """
    samples = _as_channels(samples)
    channels, frames = samples.shape
    sample_rate = _whole_rate(sample_rate)
    check_length(frames, sample_rate, "array")
    check_channel(channel, channels, "array")
    size = chunk_frames(channels)
    chunks = (_as_float(samples[:, i : i + size]).T for i in range(0, frames, size))
    return mono_blocks(chunks, sample_rate, channel, seconds, "array")


def _whole_rate(sample_rate: float) -> int:
    number = isinstance(sample_rate, (int, float, np.number)) and not isinstance(sample_rate, bool)
    if not number or not np.isfinite(sample_rate) or sample_rate % 1:
        raise AudioError(f"array: sample rate {sample_rate!r} is no whole number of Hz; name it")
    return int(sample_rate)


def _as_channels(samples: np.ndarray) -> np.ndarray:
    """Samples of any kind as an array, shape (channels, samples), of a type with a known scale."""
    if hasattr(samples, "detach"):  # a torch tensor, on whatever device
        samples = samples.detach().cpu()
        samples = samples.float() if samples.is_floating_point() else samples
    try:
        samples = np.asarray(samples)
    except ValueError:
        raise AudioError("array: rows of different lengths; use (channels, samples)") from None
    if samples.dtype.kind not in "fiu" or (samples.dtype.kind in "iu" and samples.itemsize > 4):
        raise AudioError(
            f"array: {samples.dtype} samples have no agreed scale; use float32 or int16"
        )
    if samples.ndim not in (1, 2):
        raise AudioError(f"array: shape {samples.shape}; use (samples,) or (channels, samples)")
    samples = np.atleast_2d(samples)
    if samples.shape[0] > samples.shape[1] > 0:
        raise AudioError(
            f"array: shape {samples.shape} has more channels than samples; "
            "transpose it to (channels, samples)"
        )
    if samples.size == 0:
        raise AudioError(f"array: shape {samples.shape} holds no samples; leave it out")
    return samples


def _as_float(samples: np.ndarray) -> np.ndarray:
    """Samples as float32; integers are divided by their full scale, unsigned ones centred first."""
    if samples.dtype.kind == "f":
        with np.errstate(over="ignore"):  # becomes infinite, and that is reported
            return samples.astype(np.float32)
    half = 2.0 ** (8 * samples.itemsize - 1)
    zero = half if samples.dtype.kind == "u" else 0.0
    return ((samples.astype(np.float64) - zero) / half).astype(np.float32)
