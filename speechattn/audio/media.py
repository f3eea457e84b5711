"""Sound that libsndfile does not read, by FFmpeg: what phones, browsers and cameras write.

The extra ``media`` brings PyAV, whose wheels hold FFmpeg. A file is decoded once to count its
samples, because hardly any of these containers says their number, and once more as it is read.
Where time stamps leave a gap, silence fills it, so that times are those of the picture beside it.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from speechattn.audio.resample import MAX_RATE, MIN_RATE, chunk_frames
from speechattn.errors import DAMAGED, EMPTY, TRUNCATED, UNREADABLE, UNSUITABLE, AudioError

if TYPE_CHECKING:
    import av

INSTALL = "pip install 'speechattn[media]'"

# Suffixes of recordings that are read with the extra, in lower case.
MEDIA_SUFFIXES = frozenset(
    (".m4a", ".m4b", ".aac", ".mp4", ".mov", ".3gp", ".3g2", ".amr", ".awb", ".webm", ".weba")
    + (".mkv", ".mka", ".avi", ".wma", ".wmv", ".asf", ".wv", ".ape", ".tta", ".ac3", ".spx")
)

# Demuxers that may be used. Others open further files or addresses that a file names.
_DEMUXERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,aac,amr,amrnb,amrwb,avi,asf,wv,ape,tta,ac3,eac3,ogg,wav,"
    "mp3,flac,caf"
)
GAP_SECONDS = 0.2  # between time stamps; encoders delay the first by up to 0.1 s
LONGEST_GAP = 24 * 3600.0  # seconds; a longer one is damage
LOST_SECONDS = 0.25  # of the length in the header that may lack: packets of padding
_FULL_SCALE = {"u": 2.0**7, "i2": 2.0**15, "i4": 2.0**31, "i8": 2.0**63}


@functools.cache
def has_media() -> bool:
    """Whether PyAV is installed."""
    return importlib.util.find_spec("av") is not None


class MediaSound:
    """The first track of sound in a file, read once from front to back.

    Args:
        path: of the file.
        name: of the file, for messages.

    Attributes:
        samplerate: Hz.
        channels: number of channels.
        frames: samples per channel.
        format: name of the container.
        subtype: name of the coding.
        contradictions: as for :class:`~speechattn.audio.containers.base.Header`.

    Raises:
        AudioError: if it cannot be decoded to its end, holds no sound, or is cut off.
    """

    def __init__(self, path: Path, name: str) -> None:
        self._path, self._name = path, name
        self.samplerate = self.channels = self.frames = 0
        self.format = self.subtype = ""
        self._promised: float | None = None  # seconds
        self._tracks = 1
        self._filled = 0  # samples of silence
        self._begin = 0.0  # first time stamp of the file, seconds
        self._done = 0.0  # seconds decoded
        for chunk in self._chunks():
            self.frames += len(chunk)
        self.contradictions = tuple(self._compared())
        self._rest = self._chunks()
        self._left = np.empty((0, self.channels), np.float32)

    def _compared(self) -> Iterator[str]:
        """Compare what was decoded with what the container says."""
        if not self.frames:
            raise AudioError(f"{self._name}: holds no samples (0 s); record it again", EMPTY)
        seconds = self.frames / self.samplerate
        if self._promised is None:
            yield "the header does not say how long it is: if it was cut off, nothing tells"
        elif seconds < self._promised - self._begin - max(LOST_SECONDS, 0.005 * self._promised):
            raise AudioError(
                f"{self._name}: cut off or damaged: {seconds:.2f} of {self._promised:.2f} s can "
                "be decoded; copy it again",
                TRUNCATED,
            )
        if self._tracks > 1:
            yield f"holds {self._tracks} tracks of sound, of which the first is read"
        if self._filled:
            yield (
                f"its time stamps leave {self._filled / self.samplerate:.2f} s without sound, "
                "which are read as silence"
            )

    def read(self, *, out: np.ndarray) -> np.ndarray:
        """Read the next samples into an array, shape (samples, channels); none at the end."""
        while not len(self._left):
            chunk = next(self._rest, None)
            if chunk is None:
                return out[:0]
            self._left = chunk
        count = min(len(out), len(self._left))
        out[:count], self._left = self._left[:count], self._left[count:]
        return out[:count]

    def close(self) -> None:
        """Close the file."""
        self._rest.close()

    def _chunks(self) -> Generator[np.ndarray, None, None]:
        """Yield the samples from the beginning, float32, shape (samples, channels)."""
        import av

        try:
            with self._path.open("rb") as file, self._opened(file) as container:
                yield from self._decoded(container)
        except av.FFmpegError as error:
            reason = getattr(error, "strerror", None) or str(error)
            where = f"after {self._done:.2f} s " if self._done else ""
            raise AudioError(
                f"{self._name}: cannot be decoded {where}({' '.join(str(reason).split())}): cut "
                "off, damaged or of another format; copy or convert it again",
                DAMAGED,
            ) from None

    def _opened(self, file: Any) -> av.container.InputContainer:
        import av

        options = {"format_whitelist": _DEMUXERS, "protocol_whitelist": "file"}
        # Titles and the like are not used, and may be in any coding.
        return av.open(file, options=options, metadata_errors="replace")

    def _decoded(self, container: av.container.InputContainer) -> Iterator[np.ndarray]:
        tracks = container.streams.audio
        if not tracks:
            raise AudioError(f"{self._name}: holds no sound; leave it out", UNREADABLE)
        stream, self._tracks = tracks[0], len(tracks)
        if stream.codec_context is None:  # no decoder, or no name of the coding
            raise AudioError(
                f"{self._name}: holds sound of a coding that is not known here; convert it to WAV "
                "or FLAC with the program that wrote it",
                UNREADABLE,
            )
        base = stream.time_base
        self._promised = None
        if stream.duration is not None and base is not None:
            self._promised = float(stream.duration * base)
        elif container.duration is not None and len(container.streams) == 1:
            self._promised = container.duration / 1_000_000
        if container.format.name in ("aac", "amr", "amrnb", "amrwb", "ac3"):
            self._promised = None  # guessed from the size
        self.format, self.subtype = container.format.name, stream.codec_context.name
        begin = self._begin = (container.start_time or 0) / 1_000_000
        done = self._filled = 0
        for frame in container.decode(stream):
            samples = as_float(frame)
            if not done:
                self._start(frame)
            if (frame.sample_rate, samples.shape[1]) != (self.samplerate, self.channels):
                raise AudioError(
                    f"{self._name}: changes from {self.samplerate} Hz with {self.channels} "
                    f"channels to {frame.sample_rate} Hz with {samples.shape[1]} after "
                    f"{self._done:.2f} s; convert it to WAV or FLAC",
                    UNSUITABLE,
                )
            if frame.pts is not None and frame.time_base is not None:
                gap = float(frame.pts * frame.time_base) - begin - done / self.samplerate
                if gap > LONGEST_GAP:
                    raise AudioError(f"{self._name}: a gap of {gap:.0f} s; convert it", DAMAGED)
                if gap > GAP_SECONDS:
                    for silence in self._silence(round(gap * self.samplerate)):
                        yield silence
                        done += len(silence)
                        self._filled += len(silence)
            done += len(samples)
            self._done = done / self.samplerate
            yield samples

    def _start(self, frame: av.AudioFrame) -> None:
        self.samplerate, self.channels = frame.sample_rate, len(frame.layout.channels)
        if not MIN_RATE <= self.samplerate <= MAX_RATE:
            raise AudioError(
                f"{self._name}: sample rate {self.samplerate} Hz is not between {MIN_RATE} and "
                f"{MAX_RATE} Hz; record or convert it at 16000 Hz",
                UNSUITABLE,
            )

    def _silence(self, frames: int) -> Iterator[np.ndarray]:
        most = chunk_frames(self.channels)
        for start in range(0, frames, most):
            yield np.zeros((min(most, frames - start), self.channels), np.float32)


def as_float(frame: av.AudioFrame) -> np.ndarray:
    """Return the samples of a frame, full scale 1, float32, shape (samples, channels)."""
    array = frame.to_ndarray()
    channels = len(frame.layout.channels)
    array = array.T if frame.format.is_planar else array.reshape(-1, channels)
    if array.dtype.kind == "f":
        return array.astype(np.float32)
    if array.dtype.kind == "u":
        return ((array.astype(np.float64) - _FULL_SCALE["u"]) / _FULL_SCALE["u"]).astype(np.float32)
    return (array / _FULL_SCALE[f"i{array.itemsize}"]).astype(np.float32)
