"""The front end: log-mel energies or MFCCs of 25 ms windows, every 10 ms.

Follows Kaldi (``compute-fbank-feats`` and ``compute-mfcc-feats`` with dither 0 and
``snip_edges=False``): 100 frames a second, each window centred on its 10 ms, samples beyond either
end of the recording mirrored. Samples in [-1, 1] are scaled to the range of 16-bit integers, as in
Kaldi, so that the energies of quiet recordings stay above the floor.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import torch

from speechattn.errors import ConfigError
from speechattn.segments import SAMPLE_RATE, SHIFT_SAMPLES, WINDOW_SAMPLES, num_frames

FFT_SIZE = 512  # samples, the next power of two above the window
FULL_SCALE = 32768.0  # what a sample of 1.0 becomes
ENERGY_FLOOR = torch.finfo(torch.float32).eps  # Kaldi's floor under a logarithm
LEAD = (WINDOW_SAMPLES - SHIFT_SAMPLES) // 2  # 120 samples of frame 0 lie before the recording
CHUNK_FRAMES = 512  # frames computed at a time; they fit the cache

_WINDOWS = {
    "povey": lambda n: torch.hann_window(n, periodic=False, dtype=torch.float64) ** 0.85,
    "hanning": lambda n: torch.hann_window(n, periodic=False, dtype=torch.float64),
    "hamming": lambda n: torch.hamming_window(n, periodic=False, dtype=torch.float64),
    "rectangular": lambda n: torch.ones(n, dtype=torch.float64),
}


@dataclass(frozen=True)
class FrontEndConfig:
    """How frames are computed: Kaldi's options, with its defaults except for 80 mel bins.

    Attributes:
        kind: ``"fbank"`` (log-mel energies) or ``"mfcc"``.
        num_mel_bins: number of triangular filters.
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

    Args:
        config: options; the default ones if None.
        device: where frames are computed.

    Example:
        >>> FrontEnd()(torch.zeros(16_000)).shape
        torch.Size([100, 80])
    """

    def __init__(
        self, config: FrontEndConfig | None = None, device: str | torch.device = "cpu"
    ) -> None:
        self.config = config or FrontEndConfig()
        self.device = torch.device(device)
        self._window = _WINDOWS[self.config.window_type](WINDOW_SAMPLES).float().to(self.device)
        self._mel = mel_filters(self.config).T.contiguous().to(self.device)
        if self.config.kind == "mfcc":
            self._dct = cepstral_transform(self.config).to(self.device)

    def __call__(self, samples: torch.Tensor) -> torch.Tensor:
        """Return the frames of a whole recording.

        Args:
            samples: shape (n,), 16 kHz, floats in [-1, 1]. NaN gives NaN frames; ``load.py``
                refuses such recordings.

        Returns:
            Shape ((n + 80) // 160, dim).
        """
        stream = self.stream()
        return torch.cat([stream.push(samples), stream.finish()])

    def stream(self) -> FrontEndStream:
        """Return a stream that takes samples in blocks of any size."""
        return FrontEndStream(self)

    def frames_of(self, buffer: torch.Tensor, count: int) -> torch.Tensor:
        """Return frames of consecutive samples, without mirroring.

        Args:
            buffer: samples from the beginning of the first frame's window on, shape (n,) with n at
                least (count - 1) * 160 + 400.
            count: number of frames.

        Returns:
            Shape (count, dim).
        """
        windows = buffer.as_strided((count, WINDOW_SAMPLES), (SHIFT_SAMPLES, 1))
        chunks = [
            self._vectors(windows[start : start + CHUNK_FRAMES])
            for start in range(0, count, CHUNK_FRAMES)
        ]
        return torch.cat(chunks) if chunks else buffer.new_zeros(0, self.config.dim)

    def _vectors(self, windows: torch.Tensor) -> torch.Tensor:
        x = windows * FULL_SCALE
        if self.config.remove_dc_offset:
            x = x - x.mean(1, keepdim=True)
        energy = (x * x).sum(1).clamp_min(ENERGY_FLOOR).log() if self.config.use_energy else None
        if self.config.preemphasis:
            previous = torch.cat([x[:, :1], x[:, :-1]], 1)
            x = x - self.config.preemphasis * previous
        spectrum = torch.view_as_real(torch.fft.rfft(x * self._window, n=FFT_SIZE)).square()
        power = spectrum[..., 0] + spectrum[..., 1]  # faster than a sum over so short an axis
        # No filter covers the Nyquist bin, as in Kaldi.
        log_mel = (power[:, :-1] @ self._mel).clamp_min(ENERGY_FLOOR).log()
        if self.config.kind == "fbank":
            return log_mel
        cepstra = log_mel @ self._dct
        if energy is not None:
            cepstra[:, 0] = energy
        return cepstra


class FrontEndStream:
    """Front end of one recording that comes in blocks; keeps the samples of the next frames."""

    def __init__(self, front_end: FrontEnd) -> None:
        self._front_end = front_end
        self._buffer = torch.zeros(0, device=front_end.device)
        self._received = 0  # samples pushed so far
        self._started = False  # whether the mirrored lead stands at the head of the buffer
        self._emitted = 0  # frames returned so far
        self._finished = False

    def push(self, samples: torch.Tensor) -> torch.Tensor:
        """Add samples, shape (n,), and return the frames that are complete, shape (m, dim).

        Raises:
            ValueError: if the samples are no floats of one channel, or the stream is finished.
        """
        if self._finished:
            raise ValueError("samples: this stream has been finished; make another one")
        samples = torch.as_tensor(samples)
        if samples.ndim != 1:
            raise ValueError(f"samples: shape {tuple(samples.shape)}; one channel, shape (n,)")
        if not samples.is_floating_point():
            raise ValueError(f"samples: {samples.dtype}; floats in [-1, 1] (divide int16 by 32768)")
        samples = samples.to(self._front_end.device, torch.float32)
        self._buffer = torch.cat([self._buffer, samples])
        self._received += len(samples)
        if not self._started:
            if self._received < LEAD:
                return self._emit(0)
            self._buffer = torch.cat([self._buffer[:LEAD].flip(0), self._buffer])
            self._started = True
        complete = (len(self._buffer) - WINDOW_SAMPLES) // SHIFT_SAMPLES + 1
        return self._emit(max(0, complete))

    def finish(self) -> torch.Tensor:
        """Return the frames that reach past the end of the recording, shape (m, dim)."""
        self._finished = True
        remaining = num_frames(self._received) - self._emitted
        needed = (remaining - 1) * SHIFT_SAMPLES + WINDOW_SAMPLES
        if remaining > 0 and self._emitted == 0:
            # Too short for a single frame: mirrored at both ends, perhaps more than once.
            samples = self._buffer[LEAD:] if self._started else self._buffer
            positions = torch.arange(-LEAD, needed - LEAD, device=samples.device)
            self._buffer = samples[mirrored(positions, self._received)]
        elif remaining > 0 and len(self._buffer) < needed:
            tail = self._buffer.flip(0)[: needed - len(self._buffer)]
            self._buffer = torch.cat([self._buffer, tail])
        return self._emit(max(0, remaining))

    def _emit(self, count: int) -> torch.Tensor:
        frames = self._front_end.frames_of(self._buffer, count)
        self._buffer = self._buffer[count * SHIFT_SAMPLES :]
        self._emitted += count
        return frames


def mirrored(positions: torch.Tensor, length: int) -> torch.Tensor:
    """Mirror positions outside of 0 to ``length`` at the ends, as often as needed."""
    positions = positions % (2 * length)
    return torch.where(positions < length, positions, 2 * length - 1 - positions)


def mel_filters(config: FrontEndConfig) -> torch.Tensor:
    """Return triangular filters, equally wide in mel = 1127 ln(1 + f / 700).

    Returns:
        Shape (num_mel_bins, 256), weights over the bins of the power spectrum below Nyquist.
    """

    def mel(hertz: torch.Tensor) -> torch.Tensor:
        return 1127.0 * torch.log1p(hertz / 700.0)

    edges = mel(torch.tensor([config.low_freq, config.upper_edge], dtype=torch.float64))
    points = torch.linspace(
        float(edges[0]), float(edges[1]), config.num_mel_bins + 2, dtype=torch.float64
    )
    left, centre, right = (points[i : i + config.num_mel_bins, None] for i in range(3))
    bins = mel(torch.arange(FFT_SIZE // 2, dtype=torch.float64) * SAMPLE_RATE / FFT_SIZE)
    rising = (bins - left) / (centre - left)
    falling = (right - bins) / (right - centre)
    return torch.minimum(rising, falling).clamp_min(0).float()


def cepstral_transform(config: FrontEndConfig) -> torch.Tensor:
    """Return orthonormal DCT-II and liftering in one matrix, shape (num_mel_bins, num_ceps)."""
    n = config.num_mel_bins
    k = torch.arange(config.num_ceps, dtype=torch.float64)
    i = torch.arange(n, dtype=torch.float64)[:, None]
    dct = torch.cos(math.pi / n * (i + 0.5) * k) * math.sqrt(2 / n)
    dct[:, 0] = math.sqrt(1 / n)
    if config.cepstral_lifter:
        lifter = config.cepstral_lifter
        dct = dct * (1 + 0.5 * lifter * torch.sin(math.pi * k / lifter))
    return dct.float()
