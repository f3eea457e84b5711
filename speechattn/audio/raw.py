"""Sound that comes through a pipe: raw samples of several encodings, with or without a WAV header.

A pipe cannot be read twice, so :func:`read_start` takes as few bytes as it needs to tell what
comes. :class:`speechattn.audio.piped.PipedSamples` reads what follows.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from speechattn.audio.containers.detect import container_of
from speechattn.audio.containers.mpeg_frames import mpeg_frame
from speechattn.audio.encodings import ENCODINGS
from speechattn.errors import TRUNCATED, UNREADABLE, UNSUITABLE, AudioError

PROBE_BYTES = 4096  # of what may be MP3
LONGEST_HEADER = 1 << 20  # bytes before the samples of a WAV
LEAST_STREAMED = 0x7FFF0000  # sizes from here on stand for "as long as it lasts" in a pipe

_PCM = {8: "u8", 16: "s16le", 24: "s24le", 32: "s32le"}
_FLOAT = {32: "f32le", 64: "f64le"}


@dataclass(frozen=True)
class StreamStart:
    """What the beginning of a stream says.

    Attributes:
        first: bytes of samples that have been read already.
        header: encoding, sample rate (Hz) and channels by a WAV header; None for raw samples.
        length: bytes of samples that the header promises, ``first`` included; None if unknown.
        whole: the same by the size of the whole, with chunks that follow them; None if unknown.
    """

    first: bytes
    header: tuple[str, int, int] | None = None
    length: int | None = None
    whole: int | None = None


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
        return read_wav(read, start)
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


def read_wav(read: Callable[[int], bytes], start: bytes) -> StreamStart:
    """Read the header of a WAV.

    Args:
        read: as for :func:`read_start`.
        start: its first twelve bytes, which have been read.

    Raises:
        AudioError: if it is damaged, or of a coding that is not read.
    """
    layout, done, long_size = None, 0, None
    whole = struct.unpack_from("<I", start, 4)[0]
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
            whole, long_size = struct.unpack_from("<QQ", content)
    if layout is None:
        raise AudioError("is a WAV without a fmt chunk before its samples; record it again")
    length: int | None = size
    if size == 0xFFFFFFFF and long_size:
        length = long_size
    elif size == 0 or size >= LEAST_STREAMED:
        length = None
    whole -= 4 + done + 8
    return StreamStart(b"", layout, length, whole if 0 < whole < 1 << 62 else None)


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
