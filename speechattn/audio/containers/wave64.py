"""Sony's Wave64: WAV with 16-byte names and 64-bit sizes."""

from __future__ import annotations

from speechattn.audio.containers.base import (
    COPY_AGAIN,
    LEAST_FORGOTTEN,
    MAX_CHUNKS,
    BoundedReader,
    Header,
)
from speechattn.audio.containers.likeness import all_goes_on
from speechattn.audio.containers.riff import wave_format, wave_header


def check_w64(data: BoundedReader, start: int) -> Header:
    """Check a Sony Wave64: 16-byte names, 64-bit sizes that include the 24 bytes of both.

    Args:
        data: the file.
        start: position of the container in it.

    Raises:
        AudioError: if the file is damaged, cut off or was never finished.
    """
    position, layout, fact = start + 40, None, None
    for _ in range(MAX_CHUNKS):
        if position + 24 > data.size:
            break
        name, size = data.unpack("<4s12xQ", position)
        if size < 24:
            if name != b"data" or size or layout is None or data.size <= position + 24:
                break
            size = data.size - position
            data.mend(position + 16, "<Q", size, size - 24)
        if name == b"fmt ":
            layout = wave_format(data, position + 24, min(size - 24, 64), "<")
        elif name == b"fact":
            fact = data.unpack("<Q", position + 24)[0]
        elif name == b"data" and layout is not None:
            if size == 24 and data.size >= position + 24 + layout.block:
                data.mend(position + 16, "<Q", data.size - position, data.size - position - 24)
                size = data.size - position
            whole = start + data.unpack("<Q", start + 16)[0] - position
            if not _is_w64_chunk(data, position + size + -size % 8):
                encoding = layout.encoding("<")
                begin, end, there = position + 24, position + size, data.size - position
                if size + LEAST_FORGOTTEN < whole <= there:
                    by = "and by the size of the whole"
                    data.lengthen(position + 16, "<Q", size - 24, whole - 24, head=24, by=by)
                    size = whole
                elif all_goes_on(data, begin, end, encoding, layout.channels):
                    data.lengthen(position + 16, "<Q", size - 24, there - 24, head=24)
                    size = there
            _check_after_w64(data, position + size, layout.block)
            return wave_header(data, "W64", layout, fact, size - 24, position + 24)
        position += size + -size % 8
    raise data.error(f"has no data chunk: the header is damaged or cut off; {COPY_AGAIN}")


def _is_w64_chunk(data: BoundedReader, position: int) -> bool:
    """Whether a plausible chunk begins at a position, rather than samples."""
    if position + 24 > data.size:
        return False
    name, size = data.unpack("<4s12xQ", position)
    if name == b"riff":
        return True
    return all(32 <= byte < 127 for byte in name) and 24 <= size <= data.size - position


def _check_after_w64(data: BoundedReader, end: int, block: int) -> None:
    """Note bytes after the samples that are no chunk; chunks begin at multiples of 8."""
    for _ in range(MAX_CHUNKS):
        begin = end + -end % 8
        if begin + 24 > data.size:
            break
        name, size = data.unpack("<4s12xQ", begin)
        if name == b"riff":
            data.following = begin
            return
        if not _is_w64_chunk(data, begin):
            break
        end = begin + size
    else:
        return
    padding = data.upto(end, -end % 8)
    data.check_end(end if padding.strip(b"\0") else end + len(padding), block)
