"""FLAC: its header compared with its first and last frames (RFC 9639).

Each frame says its number, or that of its first sample, under a checksum. The decoder checks the
samples; it stops where the header says that they end, and takes the rate of the header.
"""

from __future__ import annotations

from speechattn.audio.containers.base import COPY_AGAIN, BoundedReader, Header

TAIL_BYTES = 1 << 20  # of the end of a file that are searched for the last frame
MAX_BLOCKS = 1000  # of metadata
STREAM_MARKS = (b"fLaC\0\0\0\x22", b"fLaC\x80\0\0\x22")  # with the block that comes first
_RATES = (
    0,
    88_200,
    176_400,
    192_000,
    8_000,
    16_000,
    22_050,
    24_000,
    32_000,
    44_100,
    48_000,
    96_000,
)


def check_flac(data: BoundedReader, start: int) -> Header:
    """Compare the number of samples and the rate in the header with the frames.

    Args:
        data: the file.
        start: position of the container in it.

    Raises:
        AudioError: if they contradict each other and the decoder would mishear them.
    """
    position, info = start + 4, b""
    for _ in range(MAX_BLOCKS):
        kind, *size = data.exactly(position, 4)
        length = int.from_bytes(bytes(size), "big")
        if kind & 0x7F == 0 and length >= 34:
            info = data.exactly(position + 4, 34)
            info_at = position + 4
        position += 4 + length
        if kind & 0x80:
            break
    else:
        raise data.error(f"more than {MAX_BLOCKS} blocks of metadata; {COPY_AGAIN}")
    if not info:
        return Header("FLAC")  # the decoder says what is wrong
    packed = int.from_bytes(info[10:18], "big")
    rate, samples = packed >> 44, packed & (1 << 36) - 1
    first = _frame(data.upto(position, 24))
    if first is not None and first[2] and first[2] != rate:
        raise data.error(
            f"the header says {rate} Hz, its frames say {first[2]} Hz; convert it again from its "
            "source"
        )
    data.following = data.find(STREAM_MARKS, position)
    end = data.size if data.following is None else data.following
    begin = max(position, end - TAIL_BYTES)
    tail = data.upto(begin, end - begin)
    there = _samples_to_end(tail, first[1] if first else 0)
    if samples and there is not None and there > samples:
        data.contradicts(f"{samples} samples", f"{there} are there; all are read")
        mended = (packed >> 36 << 36 | there).to_bytes(8, "big")
        data.patches[info_at + 10] = mended
    return Header("FLAC")


def _samples_to_end(tail: bytes, block: int) -> int | None:
    """Return the number of samples up to the end of the last frame, by its head."""
    at = len(tail)
    while (at := tail.rfind(b"\xff", 0, at)) >= 0:
        frame = _frame(tail[at : at + 24])
        if frame is not None and (not block or frame[1] <= block):
            number, size, _, by_frames = frame
            return (number * block if by_frames else number) + size
    return None


def _frame(head: bytes) -> tuple[int, int, int, bool] | None:
    """Return what the head of a frame says, None if it is none.

    Returns:
        Its number, its samples, its rate in Hz (0 for that of the header), and whether the number
        counts frames and not samples.
    """
    if len(head) < 6 or head[0] != 0xFF or head[1] & 0xFE != 0xF8 or head[3] & 1:
        return None
    size_code, rate_code = head[2] >> 4, head[2] & 15
    if size_code == 0 or rate_code == 15:
        return None
    lead = head[4]
    extra = 0
    if lead >= 0xC0:
        extra = 7 - (lead ^ 0xFF).bit_length()
    elif lead >= 0x80:
        return None
    number = lead if not extra else lead & (0x3F >> extra)
    at = 5
    for byte in head[at : at + extra]:
        if byte & 0xC0 != 0x80:
            return None
        number = number << 6 | byte & 0x3F
    at += extra
    if size_code in (6, 7):
        width = size_code - 5
        size = int.from_bytes(head[at : at + width], "big") + 1
        at += width
    elif size_code == 1:
        size = 192
    else:
        size = 576 << size_code - 2 if size_code < 6 else 256 << size_code - 8
    rate = 0
    if rate_code < 12:
        rate = _RATES[rate_code]
    else:
        width = 1 if rate_code == 12 else 2
        scale = {12: 1000, 13: 1, 14: 10}[rate_code]
        rate = int.from_bytes(head[at : at + width], "big") * scale
        at += width
    if at >= len(head) or _crc8(head[:at]) != head[at]:
        return None
    return number, size, rate, not head[1] & 1


def _crc8(data: bytes) -> int:
    checksum = 0
    for byte in data:
        checksum ^= byte
        for _ in range(8):
            checksum = (checksum << 1 ^ (0x07 if checksum & 0x80 else 0)) & 0xFF
    return checksum
