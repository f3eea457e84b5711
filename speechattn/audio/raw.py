"""Sound that comes through a pipe: raw samples of several encodings, with or without a WAV header.

A pipe cannot be read twice, so :func:`read_start` takes as few bytes as it
needs to tell what comes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

import numpy as np

from speechattn.audio.containers.detect import container_of
from speechattn.audio.containers.mpeg import mpeg_frame
from speechattn.errors import TRUNCATED, UNREADABLE, UNSUITABLE, AudioError

PROBE_BYTES = 4096  # of what may be MP3
LONGEST_HEADER = 1 << 20  # bytes before the samples of a WAV
LEAST_STREAMED = 0x7FFF0000  # sizes from here on stand for "as long as it lasts" in a pipe


@dataclass(frozen=True)
class Encoding:
    """How a sample is written.

    Attributes:
        dtype: of NumPy; ``"i3"`` stands for 24 bits, little-endian.
        law: ``"u"`` or ``"A"`` for a logarithmic law of telephony (ITU-T G.711), else ``""``.
    """

    dtype: str
    law: str = ""

    @property
    def width(self) -> int:
        """Bytes of a sample."""
        return int(self.dtype[-1])

    def decode(self, data: bytes) -> np.ndarray:
        """Return samples, full scale 1, shape (n,); ``data`` holds whole samples."""
        if self.law:
            return _law(self.law)[np.frombuffer(data, np.uint8)]
        if self.dtype == "i3":
            parts = np.frombuffer(data, np.uint8).reshape(-1, 3)
            wide = np.zeros((len(parts), 4), np.uint8)
            wide[:, 1:] = parts
            return wide.view("<i4")[:, 0] / 2.0**31
        samples = np.frombuffer(data, self.dtype)
        if samples.dtype.kind == "f":
            return samples.astype(np.float64)
        half = 2.0 ** (8 * self.width - 1)
        return (samples - (half if samples.dtype.kind == "u" else 0.0)) / half


ENCODINGS = {
    "s16le": Encoding("<i2"),
    "s16be": Encoding(">i2"),
    "u8": Encoding("u1"),
    "s24le": Encoding("i3"),
    "s32le": Encoding("<i4"),
    "f32le": Encoding("<f4"),
    "f64le": Encoding("<f8"),
    "mulaw": Encoding("u1", "u"),
    "alaw": Encoding("u1", "A"),
}
_PCM = {8: "u8", 16: "s16le", 24: "s24le", 32: "s32le"}
_FLOAT = {32: "f32le", 64: "f64le"}


def _law(law: str) -> np.ndarray:
    """Return the 256 values of a law, full scale 1."""
    code = np.arange(256)
    if law == "u":
        code = ~code & 0xFF
        size = (((code & 15) << 3) + 132 << (code >> 4 & 7)) - 132
        return np.where(code & 0x80, -size, size) / 2.0**15
    code = code ^ 0x55
    exponent, mantissa = code >> 4 & 7, code & 15
    size = np.where(
        exponent > 0, (mantissa << 4) + 264 << np.maximum(exponent - 1, 0), (mantissa << 4) + 8
    )
    return np.where(code & 0x80, size, -size) / 2.0**15


@dataclass(frozen=True)
class StreamStart:
    """What the beginning of a stream says.

    Attributes:
        first: bytes of samples that have been read already.
        header: encoding, sample rate (Hz) and channels by a WAV header; None for raw samples.
        length: bytes of samples that the header promises, ``first`` included; None if unknown.
    """

    first: bytes
    header: tuple[str, int, int] | None = None
    length: int | None = None


def read_start(read: Callable[[int], bytes]) -> StreamStart:
    """Read the header of a stream, if it has one.

    Args:
        read: returns the next bytes, as many as asked for unless the stream ends before.

    Raises:
        AudioError: if it is a sound file other than WAV, or a WAV of a coding that is not read.
    """
    start = read(12)
    kind = "MP3" if start[:3] == b"ID3" else container_of(start)
    if kind == "WAV":
        return _wav(read)
    if kind:
        _refuse(kind)
    frame = mpeg_frame(start[:4])
    if frame is not None:  # or samples that happen to look like it: two frames do not
        start += read(PROBE_BYTES - len(start))
        second = mpeg_frame(start[frame[0] : frame[0] + 4])
        if second is not None and start[1] == start[frame[0] + 1]:
            _refuse("MP3")
    return StreamStart(start)


def _refuse(kind: str) -> NoReturn:
    raise AudioError(
        f"is {kind}, and not WAV or raw samples; decode it first, for instance with "
        "`ffmpeg -v error -i FILE -f wav -`, or use `speechattn transcribe`",
        UNREADABLE,
    )


def _wav(read: Callable[[int], bytes]) -> StreamStart:
    layout, done, long_size = None, 0, None
    while True:
        head = _exactly(read, 8)
        name, size = struct.unpack("<4sI", head)
        if name == b"data":
            break
        padded = size + size % 2
        done += 8 + padded
        if done > LONGEST_HEADER:
            raise AudioError("is a WAV with a damaged header; record or copy it again")
        content = _exactly(read, padded)
        if name == b"fmt ":
            layout = _layout(content)
        elif name == b"ds64" and len(content) >= 16:
            long_size = struct.unpack_from("<Q", content, 8)[0]
    if layout is None:
        raise AudioError("is a WAV without a fmt chunk before its samples; record it again")
    length: int | None = size
    if size == 0xFFFFFFFF and long_size:
        length = long_size
    elif size == 0 or size >= LEAST_STREAMED:
        length = None
    return StreamStart(b"", layout, length)


def _layout(content: bytes) -> tuple[str, int, int]:
    if len(content) < 16:
        raise AudioError("is a WAV with a damaged fmt chunk; record or copy it again")
    tag, channels, rate, _, block, bits = struct.unpack_from("<HHIIHH", content)
    if tag == 0xFFFE and len(content) >= 26:  # the tag stands in an extension
        tag = struct.unpack_from("<H", content, 24)[0]
    names = {1: _PCM, 3: _FLOAT, 6: {8: "alaw"}, 7: {8: "mulaw"}}.get(tag, {})
    name = names.get(bits)
    if name is None or channels == 0 or block != channels * ENCODINGS[name].width:
        raise AudioError(
            f"is a WAV of format {tag:#x} with {bits} bits and {channels} channels, which is not "
            "read from a pipe; convert it to 16-bit PCM, or use `speechattn transcribe`",
            UNSUITABLE,
        )
    return name, rate, channels


def _exactly(read: Callable[[int], bytes], count: int) -> bytes:
    data = read(count)
    if len(data) < count:
        raise AudioError("is a WAV that ends inside its header; record it again", TRUNCATED)
    return data
