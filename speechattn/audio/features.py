"""The front end: log-mel energies or MFCCs of 25 ms windows, every 10 ms.

Follows Kaldi (``compute-fbank-feats`` and ``compute-mfcc-feats`` with dither 0 and
``snip_edges=False``): 100 frames a second, each window centred on its 10 ms, samples beyond either
end of the recording mirrored. Samples in [-1, 1] are scaled to the range of 16-bit integers, as in
Kaldi, so that the energies of quiet recordings stay above the floor.
"""

from __future__ import annotations

import functools
import math
import sys
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from speechattn.audio.filters import FFT_SIZE, cepstral_transform, check_filters, mel_filters
from speechattn.errors import ConfigError
from speechattn.process import may_compile
from speechattn.segments import SAMPLE_RATE, SHIFT_SAMPLES, WINDOW_SAMPLES, num_frames

if TYPE_CHECKING:
    import torch

FULL_SCALE = 32768.0  # what a sample of 1.0 becomes
ENERGY_FLOOR = float(np.finfo(np.float32).eps)  # Kaldi's floor under a logarithm
CHUNK_FRAMES = 2048  # computed at a time, so that memory stays small
LEAD = (WINDOW_SAMPLES - SHIFT_SAMPLES) // 2  # 120 samples of frame 0 lie before the recording

_WINDOWS: dict[str, Callable[[int], np.ndarray]] = {
    "povey": lambda n: np.hanning(n) ** 0.85,
    "hanning": np.hanning,
    "hamming": np.hamming,
    "rectangular": np.ones,
}

Samples = TypeVar("Samples", "np.ndarray", "torch.Tensor")


@dataclass(frozen=True)
class FrontEndConfig:
    """How frames are computed: Kaldi's options, with its defaults except for 80 mel bins.

    Attributes:
        kind: ``"fbank"`` (log-mel energies) or ``"mfcc"``.
        num_mel_bins: number of triangular filters. Where one would be empty, a recipe is refused
            and a front end warns; between the default edges, none is up to 126.
        low_freq: lower edge of the first filter, in Hz.
        high_freq: upper edge of the last filter, in Hz; 0 or less counts down from 8000.
        num_ceps: number of coefficients of an MFCC frame, C0 included.
        cepstral_lifter: cepstral liftering coefficient; 0 for none.
        use_energy: with MFCC, the log energy of the window takes the place of C0.
        preemphasis: pre-emphasis coefficient; 0 for none.
        window_type: ``"povey"``, ``"hanning"``, ``"hamming"`` or ``"rectangular"``.
        remove_dc_offset: whether the mean of every window is subtracted.
    """

    kind: str = "fbank"
    num_mel_bins: int = 80
    low_freq: float = 20.0
    high_freq: float = 0.0
    num_ceps: int = 13
    cepstral_lifter: float = 22.0
    use_energy: bool = False
    preemphasis: float = 0.97
    window_type: str = "povey"
    remove_dc_offset: bool = True

    def __post_init__(self) -> None:
        for name in ("num_mel_bins", "num_ceps"):
            if type(getattr(self, name)) is not int:
                raise ConfigError(f"front_end.{name}: {getattr(self, name)!r}; a whole number")
        for name in ("low_freq", "high_freq", "cepstral_lifter", "preemphasis"):
            value = getattr(self, name)
            if type(value) not in (int, float) or not math.isfinite(value):
                raise ConfigError(f"front_end.{name}: {value!r}; a number")
        if self.kind not in ("fbank", "mfcc"):
            raise ConfigError(f"front_end.kind: {self.kind!r}; it is 'fbank' or 'mfcc'")
        if not 0 <= self.preemphasis <= 1:
            raise ConfigError(f"front_end.preemphasis: {self.preemphasis}; from 0 to 1")
        if self.cepstral_lifter < 0:
            raise ConfigError(f"front_end.cepstral_lifter: {self.cepstral_lifter}; 0 or more")
        if self.use_energy and self.kind != "mfcc":
            raise ConfigError("front_end.use_energy: true with fbank; it is for mfcc only")
        if self.window_type not in list(_WINDOWS):
            raise ConfigError(
                f"front_end.window_type: {self.window_type!r}; one of {', '.join(_WINDOWS)}"
            )
        if self.num_mel_bins < 3:
            raise ConfigError(f"front_end.num_mel_bins: {self.num_mel_bins}; at least 3")
        if self.kind == "mfcc" and not 1 <= self.num_ceps <= self.num_mel_bins:
            raise ConfigError(
                f"front_end.num_ceps: {self.num_ceps}; from 1 to num_mel_bins ({self.num_mel_bins})"
            )
        if not 0 <= self.low_freq < self.upper_edge <= SAMPLE_RATE / 2:
            raise ConfigError(
                f"front_end: filters from {self.low_freq} to {self.upper_edge} Hz; "
                f"the edges must rise within 0 to {SAMPLE_RATE // 2} Hz"
            )

    @property
    def upper_edge(self) -> float:
        """Upper edge of the last filter in Hz."""
        return self.high_freq if self.high_freq > 0 else SAMPLE_RATE / 2 + self.high_freq

    @property
    def dim(self) -> int:
        """Numbers in a frame."""
        return self.num_mel_bins if self.kind == "fbank" else self.num_ceps

    def to_dict(self) -> dict:
        """Return the options as JSON values, for a checkpoint."""
        return asdict(self)


class FrontEnd:
    """Computes frames of a whole recording or of a stream; both give the same numbers.

    Arrays give arrays, and tensors give tensors.

    Args:
        config: options; the default ones if None.
        device: where tensors of frames are put; they are computed on the CPU.

    Example:
        >>> FrontEnd()(np.zeros(16_000, np.float32)).shape
        (100, 80)
    """

    def __init__(
        self, config: FrontEndConfig | None = None, device: str | torch.device = "cpu"
    ) -> None:
        self.config = config or FrontEndConfig()
        try:
            check_filters(self.config)
        except ConfigError as error:  # models of before this was looked at may have such filters
            warnings.warn(str(error), stacklevel=2)
        self.device = device
        self._window = _WINDOWS[self.config.window_type](WINDOW_SAMPLES) * FULL_SCALE

    def __call__(self, samples: Samples) -> Samples:
        """Return the frames of a whole recording.

        Args:
            samples: array or tensor of shape (n,), 16 kHz, floats in [-1, 1]. NaN gives NaN frames;
                ``load.py`` refuses such recordings.

        Returns:
            float32, shape ((n + 80) // 160, dim).
        """
        stream = self.stream()
        frames = np.concatenate([stream.push(as_array(samples)), stream.finish()])
        return self.as_given(frames, is_tensor(samples))

    def stream(self) -> FrontEndStream:
        """Return a stream that takes samples in blocks of any size."""
        return FrontEndStream(self)

    def as_given(self, frames: np.ndarray, tensors: bool) -> Any:
        """Return frames, as a tensor on the device if the samples were one."""
        if not tensors:
            return frames
        import torch

        return torch.from_numpy(frames).to(self.device)

    def frames_of(self, buffer: np.ndarray, count: int) -> np.ndarray:
        """Return frames of consecutive samples, without mirroring.

        Args:
            buffer: samples from the beginning of the first frame's window on, float32, shape (n,)
                with n at least (count - 1) * 160 + 400.
            count: number of frames.

        Returns:
            float32, shape (count, dim).

        Raises:
            ValueError: if there are fewer samples.
        """
        buffer = np.ascontiguousarray(buffer, np.float32)
        if count and len(buffer) < (count - 1) * SHIFT_SAMPLES + WINDOW_SAMPLES:
            raise ValueError(f"buffer: {len(buffer)} samples; too few for {count} frames")
        parts = [
            self._frames(buffer[start * SHIFT_SAMPLES :], min(CHUNK_FRAMES, count - start))
            for start in range(0, count, CHUNK_FRAMES)
        ]
        if len(parts) == 1:
            return parts[0]
        return np.concatenate([np.empty((0, self.config.dim), np.float32), *parts])

    def _frames(self, buffer: np.ndarray, count: int) -> np.ndarray:
        log_mel = np.log(np.maximum(self._energies(buffer, count), ENERGY_FLOOR))
        if self.config.kind == "fbank":
            return log_mel
        cepstra = np.ascontiguousarray((log_mel[:, :, None] * self._dct).sum(1))
        if self.config.use_energy:
            x = self._windows_of(buffer, count) * np.float32(FULL_SCALE)
            cepstra[:, 0] = np.log(np.maximum(np.square(x).sum(1), ENERGY_FLOOR))
        return cepstra

    def _energies(self, buffer: np.ndarray, count: int) -> np.ndarray:
        """Return the mel energies of frames, float32, shape (count, num_mel_bins)."""
        if may_compile():
            return self._kernel(buffer, count)
        x = self._windows_of(buffer, count)
        x = x - np.float32(self.config.preemphasis) * x[:, [0, *range(WINDOW_SAMPLES - 1)]]
        spectrum = np.fft.rfft(x * self._window, FFT_SIZE)
        # No filter covers the Nyquist bin, as in Kaldi.
        return (np.square(np.abs(spectrum[:, :-1])) @ self._filters.T).astype(np.float32)

    def _windows_of(self, buffer: np.ndarray, count: int) -> np.ndarray:
        """Return the samples of each frame, perhaps without their mean, shape (count, 400)."""
        windows = np.lib.stride_tricks.sliding_window_view(buffer, WINDOW_SAMPLES)
        windows = windows[: count * SHIFT_SAMPLES : SHIFT_SAMPLES]
        if self.config.remove_dc_offset:
            windows = windows - windows.mean(1, keepdims=True)
        return windows

    @functools.cached_property
    def _filters(self) -> np.ndarray:
        return mel_filters(self.config)

    @functools.cached_property
    def _dct(self) -> np.ndarray:
        return cepstral_transform(self.config)

    @functools.cached_property
    def _kernel(self) -> Any:
        from speechattn.audio.mel_kernel import MelKernel

        config = self.config
        return MelKernel(self._window, self._filters, config.remove_dc_offset, config.preemphasis)


class FrontEndStream:
    """Front end of one recording that comes in blocks; keeps the samples of the next frames."""

    def __init__(self, front_end: FrontEnd) -> None:
        self._front_end = front_end
        self._buffer = np.empty(0, np.float32)
        self._received = 0  # samples pushed so far
        self._started = False  # whether the mirrored lead stands at the head of the buffer
        self._emitted = 0  # frames returned so far
        self._finished = False
        self._gives_tensors = False

    def push(self, samples: Samples) -> Samples:
        """Add samples, shape (n,), and return the frames that are complete, shape (m, dim).

        Raises:
            ValueError: if the samples are no floats of one channel, or the stream is finished.
        """
        if self._finished:
            raise ValueError("samples: this stream has been finished; make another one")
        values = as_array(samples)
        if values.ndim != 1:
            raise ValueError(f"samples: shape {values.shape}; one channel, shape (n,)")
        if values.dtype.kind != "f":
            raise ValueError(f"samples: {values.dtype}; floats in [-1, 1] (divide int16 by 32768)")
        self._gives_tensors = is_tensor(samples)
        self._buffer = np.concatenate([self._buffer, values.astype(np.float32, copy=False)])
        self._received += len(values)
        complete = 0
        if not self._started and self._received >= LEAD:
            self._buffer = np.concatenate([self._buffer[:LEAD][::-1], self._buffer])
            self._started = True
        if self._started:
            complete = (len(self._buffer) - WINDOW_SAMPLES) // SHIFT_SAMPLES + 1
        return self._emit(max(0, complete))

    def finish(self) -> Any:
        """Return the frames that reach past the end of the recording, shape (m, dim)."""
        self._finished = True
        remaining = num_frames(self._received) - self._emitted
        needed = (remaining - 1) * SHIFT_SAMPLES + WINDOW_SAMPLES
        if remaining > 0 and self._emitted == 0:
            # Too short for a single frame: mirrored at both ends, perhaps more than once.
            samples = self._buffer[LEAD:] if self._started else self._buffer
            self._buffer = samples[mirrored(np.arange(-LEAD, needed - LEAD), self._received)]
        elif remaining > 0 and len(self._buffer) < needed:
            tail = self._buffer[::-1][: needed - len(self._buffer)]
            self._buffer = np.concatenate([self._buffer, tail])
        return self._emit(max(0, remaining))

    def _emit(self, count: int) -> Any:
        frames = self._front_end.frames_of(self._buffer, count)
        self._buffer = self._buffer[count * SHIFT_SAMPLES :]
        self._emitted += count
        return self._front_end.as_given(frames, self._gives_tensors)


def is_tensor(samples: object) -> bool:
    """Whether samples are a tensor of PyTorch."""
    kind = getattr(sys.modules.get("torch"), "Tensor", None)  # another thread may be importing it
    return kind is not None and isinstance(samples, kind)


def as_array(values: Any) -> np.ndarray:
    """Return a tensor of any kind as an array, float32 if it is of floats; others as NumPy does."""
    if not is_tensor(values):
        return np.asarray(values)
    values = values.detach().cpu()
    return (values.float() if values.is_floating_point() else values).numpy()


def mirrored(positions: np.ndarray, length: int) -> np.ndarray:
    """Mirror positions outside of 0 to ``length`` at the ends, as often as needed."""
    positions = positions % (2 * length)
    return np.where(positions < length, positions, 2 * length - 1 - positions)
