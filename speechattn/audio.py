"""The audio door: whatever comes in, 16 kHz mono float32 comes out, complete or not at all.

Sound files are decoded by libsndfile and resampled by soxr, both in blocks, so a recording of any
length needs the same memory. A file that is cut off, empty, damaged or holds NaN is an
:class:`~speechattn.errors.AudioError`, never a shorter or emptier recording.

Lengths: ``n`` samples at ``rate`` Hz become ``floor(n * 16000 / rate + 1/2)`` samples at 16 kHz,
exactly, whatever the blocks.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from speechattn.containers import Header, check_container, printable
from speechattn.errors import AudioError
from speechattn.timing import SAMPLE_RATE, SHIFT_SAMPLES

MIN_RATE = 4_000  # Hz; below, too little of speech is left
MAX_RATE = 768_000  # Hz; above, the header is wrong
MIN_SAMPLES = SHIFT_SAMPLES // 2  # at 16 kHz; fewer (5 ms) give no frame
DECODE_FRAMES = 65_536  # samples per channel decoded and resampled at a time
DECODE_VALUES = 1 << 20  # samples of all channels decoded at a time, at most
BLOCK_SECONDS = 10.0  # of the blocks handed out, unless told

# Names of sound files to look for in folders, in lower case.
AUDIO_SUFFIXES = frozenset(
    (".wav", ".wave", ".rf64", ".w64", ".aif", ".aiff", ".aifc", ".au", ".snd", ".sph", ".nist")
    + (".caf", ".flac", ".ogg", ".oga", ".opus", ".mp3")
)

# What libsndfile calls a container → what containers.py has checked it as. Containers that do not
# say how long they are (VOC, IRCAM, AVR ...) are refused: a cut-off one could not be told.
_CHECKED = {"WAVEX": "WAV", "RF64": "WAV", "HTK": ""}  # libsndfile itself checks HTK's length


@dataclass(frozen=True)
class AudioInfo:
    """What a sound file holds.

    Attributes:
        path: the file.
        sample_rate: Hz, as recorded.
        channels: number of channels.
        frames: samples per channel at ``sample_rate``.
        format: container, such as ``"WAV"`` or ``"OGG"``.
        subtype: coding, such as ``"PCM_16"`` or ``"OPUS"``.
    """

    path: Path
    sample_rate: int
    channels: int
    frames: int
    format: str
    subtype: str

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.frames / self.sample_rate


class _Sound(soundfile.SoundFile):
    """A sound file that is read once from front to back.

    soundfile seeks after every read of a seekable file. In Opus and MP3 that restarts the decoder:
    the samples after each seam come out wrong, by more than the signal. (DWVW cannot seek at all.)
    """

    def seekable(self) -> bool:
        return False


def resampled_length(frames: int, sample_rate: int) -> int:
    """Samples at 16 kHz of ``frames`` samples at ``sample_rate`` Hz, rounded half up."""
    return (2 * frames * SAMPLE_RATE + sample_rate) // (2 * sample_rate)


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

    Raises:
        AudioError: as :func:`audio_info`, or if there is no such channel.
    """

    def __init__(self, path: str | os.PathLike, *, channel: int | None = None) -> None:
        self._name = printable(path)
        self._path = Path(path)
        self._sound, self.info = _open(self._path)
        self._channel = channel
        self._started = False
        try:
            _check_channel(channel, self.info.channels, self._name)
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
                ``info.frames``, or a sample is NaN or infinite.
        """
        if self._started:
            self._sound.close()
            self._sound, info = _open(self._path)
            if info != self.info:
                raise AudioError(f"{self._name}: changed while it was read; read it again")
        self._started = True
        chunks = _decode(self._sound, self.info, self._name)
        return _door(chunks, self.info.sample_rate, self._channel, seconds, self._name)


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
            (from the iterator) a sample is NaN or infinite.
    """
    samples = _as_channels(samples)
    channels, frames = samples.shape
    sample_rate = _whole_rate(sample_rate)
    _check_length(frames, sample_rate, "array")
    _check_channel(channel, channels, "array")
    size = _chunk_frames(channels)
    chunks = (_as_float(samples[:, i : i + size]).T for i in range(0, frames, size))
    return _door(chunks, sample_rate, channel, seconds, "array")


# --- opening and decoding ------------------------------------------------------------------------


def _open(path: Path) -> tuple[_Sound, AudioInfo]:
    """Open a sound file of which everything that can be checked without decoding is right."""
    name = printable(path)
    header = check_container(path)
    try:
        # Bytes, because soundfile cannot encode every name that a folder may hold.
        sound = _Sound(str(path) if sys.platform == "win32" else os.fsencode(path))
    except (soundfile.SoundFileError, TypeError, ValueError) as error:
        if header.kind:
            problem = f"this {header.kind} file cannot be decoded ({_reason(error)})"
        else:
            with path.open("rb") as file:
                start = file.read(8)
            problem = f"no sound file that can be read (begins with {start!r}: {_reason(error)})"
        raise AudioError(f"{name}: {problem}; convert it to WAV or FLAC") from None
    try:
        if _CHECKED.get(sound.format, sound.format) != header.kind:
            raise AudioError(
                f"{name}: is {sound.format} {sound.subtype}, of which it cannot be told whether "
                "it is complete; convert it to WAV or FLAC"
            )
        frames = _frames(sound, header, name)
        _check_length(frames, sound.samplerate, name)
    except AudioError:
        sound.close()
        raise
    return sound, AudioInfo(
        path, sound.samplerate, sound.channels, frames, sound.format, sound.subtype
    )


def _frames(sound: _Sound, header: Header, name: str) -> int:
    """Samples per channel that the file must turn out to hold."""
    frames = sound.frames
    if frames >= 1 << 60:  # a FLAC written to a pipe does not say; only decoding tells
        frames = _count_frames(sound.name, name)
    if header.frames is None or frames - header.frames > header.surplus:
        return frames
    if frames < header.frames - header.shortfall:
        why = "its bit rate varies and it has no Xing header" if header.kind == "MP3" else "cut off"
        raise AudioError(
            f"{name}: the decoder finds {frames} of {header.frames} samples ({why}); "
            "convert it to WAV or FLAC, or copy it again"
        )
    return min(frames, header.frames)


def _count_frames(path: str | bytes, name: str) -> int:
    """Samples per channel, by decoding them all."""
    frames = 0
    with _Sound(path) as sound:
        buffer = np.empty((_chunk_frames(sound.channels), sound.channels), np.float32)
        while count := len(_read(sound, buffer, frames, name)):
            frames += count
    return frames


def _decode(sound: _Sound, info: AudioInfo, name: str) -> Iterator[np.ndarray]:
    """Chunks of all channels at the original rate, float32, shape (samples, channels)."""
    buffer = np.empty((_chunk_frames(info.channels), info.channels), np.float32)
    done = 0
    while done < info.frames:
        # Never past the end: a FLAC decoder takes what follows the last frame for damage.
        chunk = _read(sound, buffer[: info.frames - done], done, name)
        if len(chunk) == 0:
            raise AudioError(
                f"{name}: cut off or damaged: {done} of {info.frames} samples can be decoded "
                f"({done / info.sample_rate:.2f} of {info.duration:.2f} s); copy it again"
            )
        done += len(chunk)
        yield chunk


def _read(sound: _Sound, buffer: np.ndarray, done: int, name: str) -> np.ndarray:
    try:
        return sound.read(out=buffer)
    except soundfile.SoundFileError as error:
        raise AudioError(
            f"{name}: cannot be decoded after {done / sound.samplerate:.2f} s "
            f"({_reason(error)}): cut off or damaged; copy it again"
        ) from None


def _reason(error: Exception) -> str:
    """libsndfile's own words, on one line."""
    text = getattr(error, "error_string", None) or str(error)
    return " ".join(text.split()).rstrip(".")


def _chunk_frames(channels: int) -> int:
    return max(1, min(DECODE_FRAMES, DECODE_VALUES // channels))


# --- checks --------------------------------------------------------------------------------------


def _whole_rate(sample_rate: float) -> int:
    number = isinstance(sample_rate, (int, float, np.number)) and not isinstance(sample_rate, bool)
    if not number or not np.isfinite(sample_rate) or sample_rate % 1:
        raise AudioError(f"array: sample rate {sample_rate!r} is no whole number of Hz; name it")
    return int(sample_rate)


def _check_length(frames: int, sample_rate: int, name: str) -> None:
    if not MIN_RATE <= sample_rate <= MAX_RATE:
        raise AudioError(
            f"{name}: sample rate {sample_rate} Hz is not between {MIN_RATE} and {MAX_RATE} Hz; "
            "record or convert it at 16000 Hz"
        )
    if frames <= 0:
        raise AudioError(f"{name}: holds no samples (0 s); leave it out or record it again")
    if resampled_length(frames, sample_rate) < MIN_SAMPLES:
        raise AudioError(
            f"{name}: {frames} samples at {sample_rate} Hz are {1000 * frames / sample_rate:.2f} "
            "ms; at least 5 ms are needed for one frame; leave it out"
        )


def _check_channel(channel: int | None, channels: int, name: str) -> None:
    if channel is None:
        return
    whole = isinstance(channel, (int, np.integer)) and not isinstance(channel, bool)
    if not whole or not 0 <= channel < channels:
        raise AudioError(
            f"{name}: no channel {channel}; it has {channels}, counted from 0 to {channels - 1}"
        )


def _check_finite(samples: np.ndarray, done: int, sample_rate: int, name: str) -> None:
    finite = np.isfinite(samples)
    if not finite.all():
        bad = int(np.argmin(finite))
        raise AudioError(
            f"{name}: sample {done + bad} (at {(done + bad) / sample_rate:.4f} s) is "
            f"{samples[bad]}; write the recording again without NaN and infinite values"
        )


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


# --- the door itself -----------------------------------------------------------------------------


def _door(
    chunks: Iterable[np.ndarray], sample_rate: int, channel: int | None, seconds: float, name: str
) -> Iterator[np.ndarray]:
    """Chunks of shape (samples, channels) → mono blocks of ``seconds`` at 16 kHz."""
    if not np.isfinite(seconds) or not seconds > 0:
        raise AudioError(f"{name}: blocks of {seconds} s; give a length above 0 s")
    mono = _mono(chunks, sample_rate, channel, name)
    return _reblock(_resample(mono, sample_rate), max(1, round(seconds * SAMPLE_RATE)))


def _mono(
    chunks: Iterable[np.ndarray], sample_rate: int, channel: int | None, name: str
) -> Iterator[np.ndarray]:
    """One channel, or the mean of all, of which every sample is finite."""
    done = 0
    for chunk in chunks:
        if chunk.shape[1] == 1:
            mono = np.array(chunk[:, 0])  # a copy: the decoder uses its buffer again
        elif channel is None:
            mono = chunk.mean(axis=1, dtype=np.float64).astype(np.float32)
        else:
            mono = np.array(chunk[:, channel])
        _check_finite(mono, done, sample_rate, name)
        done += len(mono)
        yield mono


def _resample(chunks: Iterable[np.ndarray], sample_rate: int) -> Iterator[np.ndarray]:
    """To 16 kHz, ``resampled_length`` samples in all; soxr's delay is already taken out."""
    if sample_rate == SAMPLE_RATE:
        yield from chunks
        return
    stream = soxr.ResampleStream(sample_rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")
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
    """The same samples in arrays of ``size``, the last one shorter."""
    parts: list[np.ndarray] = []
    held = 0
    for chunk in chunks:
        while held + len(chunk) >= size:
            parts.append(chunk[: size - held])
            chunk = chunk[size - held :]
            yield np.concatenate(parts)
            parts, held = [], 0
        if len(chunk):
            parts.append(chunk)
            held += len(chunk)
    if held:
        yield np.concatenate(parts)
