"""Recordings as 16 kHz mono float32 samples, complete or not at all.

Sound files are decoded (:mod:`~speechattn.audio.sndfile`) and resampled
(:mod:`~speechattn.audio.resample`) in blocks, so that a recording of any length needs the same
memory. Samples in memory go the same way. A recording that is cut off, empty, damaged or holds NaN
is an :class:`~speechattn.errors.AudioError`, never a shorter one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import ArrayLike

from speechattn.audio.media import MEDIA_SUFFIXES, has_media
from speechattn.audio.resample import check_channel, check_length, chunk_frames, mono_blocks
from speechattn.audio.sndfile import AnySound, AudioInfo, decode, open_sound
from speechattn.audio.source import AudioSource, LocalSource, is_audio_source
from speechattn.errors import CHANGED, AudioError

if TYPE_CHECKING:
    import torch

BLOCK_SECONDS = 10.0  # length of a block, by default

# Suffixes of the sound files that are looked for in folders, in lower case.
AUDIO_SUFFIXES = frozenset(
    (".wav", ".wave", ".rf64", ".w64", ".aif", ".aiff", ".aifc", ".au", ".snd", ".sph", ".nist")
    + (".caf", ".flac", ".ogg", ".oga", ".opus", ".mp3")
)


def audio_suffixes() -> frozenset[str]:
    """Return the suffixes of what can be read here: with the extra ``media``, more of them."""
    return AUDIO_SUFFIXES | MEDIA_SUFFIXES if has_media() else AUDIO_SUFFIXES


def audio_info(path: AudioSource) -> AudioInfo:
    """Return what a sound file holds, without decoding it.

    Raises:
        AudioError: if the file is missing, unreadable, no sound file, cut off (as far as its
            container tells), without samples, shorter than 5 ms, or of an impossible sample rate.
    """
    with AudioFile(path) as audio:
        return audio.info


def read_audio(path: AudioSource, *, channel: int | None = None) -> tuple[np.ndarray, AudioInfo]:
    """Read a whole sound file.

    Args:
        path: of the file, or an open binary file; it is read from its position, which is put back.
        channel: which channel, from 0; None for the mean of all.

    Returns:
        The samples at 16 kHz, float32, shape (samples,), and what the file holds.

    Raises:
        AudioError: as :class:`AudioFile` and its blocks.
    """
    with AudioFile(path, channel=channel) as audio:
        # Joined afterwards: a damaged header may promise more than any memory holds.
        samples = np.concatenate(list(audio.blocks()))
    return samples, audio.info


class AudioFile:
    """A sound file that is read in blocks; a context manager.

    Attributes:
        info: what the file holds.

    Args:
        path: of the file, or an open binary file; it is read from its position, which is put back.
            A :class:`~speechattn.audio.source.LocalSource` stays for its owner to close.
        channel: which channel, from 0; None for the mean of all.
        on_samples: called with ``info`` and the samples of all channels as they are decoded, at
            their own rate, float32, shape (samples, channels); it must not keep the array.

    Raises:
        AudioError: as :func:`audio_info`, or if there is no such channel.
    """

    def __init__(
        self,
        path: AudioSource | LocalSource,
        *,
        channel: int | None = None,
        on_samples: Callable[[AudioInfo, np.ndarray], None] | None = None,
    ) -> None:
        self._owned = not isinstance(path, LocalSource)
        self._source = path if isinstance(path, LocalSource) else LocalSource(path)
        self._name = self._source.name
        try:
            self._sound, self.info = self._open()
        except BaseException:
            if self._owned:
                self._source.close()
            raise
        self._channel = channel
        self._on_samples = on_samples
        self._started = False
        try:
            check_channel(channel, self.info.channels, self._name)
        except AudioError:
            self.close()
            raise

    def _open(self) -> tuple[AnySound, AudioInfo]:
        sound, info = open_sound(self._source.path, self._name)
        return sound, replace(info, path=Path(self._name)) if self._source.is_copy else info

    def __enter__(self) -> AudioFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; an open file that was given stays open."""
        self._sound.close()
        if self._owned:
            self._source.close()

    def blocks(self, seconds: float = BLOCK_SECONDS) -> Iterator[np.ndarray]:
        """Read the recording from the beginning, in blocks.

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
            self._sound, info = self._open()
            if info != self.info:
                message = f"{self._name}: changed while it was read; read it again"
                raise AudioError(message, CHANGED)
        self._started = True
        chunks = decode(self._sound, self.info, self._name)
        if self._on_samples is not None:
            chunks = _passed_on(chunks, self.info, self._on_samples)
        return mono_blocks(chunks, self.info.sample_rate, self._channel, seconds, self._name)


def _passed_on(
    chunks: Iterable[np.ndarray],
    info: AudioInfo,
    on_samples: Callable[[AudioInfo, np.ndarray], None],
) -> Iterator[np.ndarray]:
    """Yield chunks, and call a function with each of them first."""
    for chunk in chunks:
        on_samples(info, chunk)
        yield chunk


def array_blocks(
    samples: ArrayLike | torch.Tensor,
    sample_rate: int,
    *,
    seconds: float = BLOCK_SECONDS,
    channel: int | None = None,
    on_samples: Callable[[AudioInfo, np.ndarray], None] | None = None,
) -> Iterator[np.ndarray]:
    """Read samples in memory as :meth:`AudioFile.blocks` reads a file.

    Args:
        samples: array or tensor, shape (samples,) or (channels, samples). Floats are taken as they
            are; integers of 8 to 32 bits are divided by their full scale.
        sample_rate: Hz.
        seconds: length of a block; the last one may be shorter.
        channel: which channel, from 0; None for the mean of all.
        on_samples: as for :class:`AudioFile`.

    Returns:
        Iterator of float32 arrays at 16 kHz, shape (samples,).

    Raises:
        AudioError: if shape, type, rate or channel are invalid, there are fewer than 5 ms, or
            (from the iterator) a sample is NaN, infinite or beyond any level.
    """
    array = _checked_channels(samples)
    channels, frames = array.shape
    sample_rate = _whole_rate(sample_rate)
    check_length(frames, sample_rate, "array")
    check_channel(channel, channels, "array")
    size = chunk_frames(channels)
    starts = range(0, frames, size)
    chunks: Iterator[np.ndarray] = (_as_float(array[:, i : i + size]).T for i in starts)
    if on_samples is not None:
        kind = str(array.dtype)
        info = AudioInfo(Path("array"), sample_rate, channels, frames, "array", kind)
        chunks = _passed_on(chunks, info, on_samples)
    return mono_blocks(chunks, sample_rate, channel, seconds, "array")


def _checked_channels(samples: ArrayLike | torch.Tensor) -> np.ndarray:
    array = as_channels(samples, integers=True)
    if array.shape[0] > array.shape[1] > 0:
        raise AudioError(
            f"array: shape {array.shape} has more channels than samples; "
            "transpose it to (channels, samples)"
        )
    if array.size == 0:
        raise AudioError(f"array: shape {array.shape} holds no samples; leave it out")
    return array


def _whole_rate(sample_rate: float) -> int:
    number = isinstance(sample_rate, (int, float, np.number)) and not isinstance(sample_rate, bool)
    if not number or not np.isfinite(sample_rate) or sample_rate % 1:
        raise AudioError(f"array: sample rate {sample_rate!r} is no whole number of Hz; name it")
    return int(sample_rate)


def num_channels(audio: AudioSource | LocalSource | ArrayLike | torch.Tensor) -> int:
    """Return the channels of a sound file, or of samples of shape (n,) or (channels, n).

    Raises:
        AudioError: as :class:`AudioFile` or :func:`array_blocks`.
    """
    if isinstance(audio, LocalSource) or is_audio_source(audio):
        with AudioFile(cast("AudioSource | LocalSource", audio)) as file:
            return file.info.channels
    return _checked_channels(cast(ArrayLike, audio)).shape[0]


def as_channels(samples: ArrayLike | torch.Tensor, integers: bool) -> np.ndarray:
    """Return samples in memory as an array of shape (channels, samples), of a known scale.

    Args:
        samples: array, tensor on any device, or lists; shape (samples,) or (channels, samples).
        integers: whether integers of up to 32 bits are allowed beside floats.

    Raises:
        AudioError: if the type or the number of dimensions is another.
    """
    name, n = ("array", "samples") if integers else ("samples", "n")
    array: Any = samples
    if is_audio_source(array):
        raise AudioError(
            f"{name}: {type(array).__name__} is no array of samples; read it first, for instance "
            "with speechattn.audio.read_audio, or give a file to transcribe()"
        )
    if hasattr(array, "detach"):  # a tensor of PyTorch
        array = array.detach().cpu()
        array = array.float() if array.is_floating_point() else array
    try:
        array = np.asarray(array)
    except ValueError:
        raise AudioError(f"{name}: rows of different lengths; use (channels, {n})") from None
    wide = array.dtype.kind in "iu" and array.itemsize > 4
    if integers and (array.dtype.kind not in "fiu" or wide):
        raise AudioError(
            f"{name}: {array.dtype} samples have no agreed scale; use float32 or int16"
        )
    if not integers and array.dtype.kind != "f":
        raise AudioError(f"{name}: {array.dtype}; floats in [-1, 1] (divide int16 by 32768)")
    if array.ndim not in (1, 2):
        raise AudioError(f"{name}: shape {array.shape}; use ({n},) or (channels, {n})")
    return np.atleast_2d(array)


def _as_float(samples: np.ndarray) -> np.ndarray:
    """Convert samples to float32; integers are centred if unsigned and divided by full scale."""
    if samples.dtype.kind == "f":
        with np.errstate(over="ignore"):  # becomes infinite, and that is reported
            return samples.astype(np.float32)
    half = 2.0 ** (8 * samples.itemsize - 1)
    zero = half if samples.dtype.kind == "u" else 0.0
    return ((samples.astype(np.float64) - zero) / half).astype(np.float32)
