"""Frames of MPEG audio: their heads, where they are in a file, and the frame with the index."""

from __future__ import annotations

from speechattn.audio.containers.base import SEARCHED_BYTES, BoundedReader

LEAST = 4  # frames that make an MP3 where it does not begin with one
RESYNC_BYTES = 65_536  # bytes searched for the next MPEG frame after damage
FAR_BYTES = 1 << 22  # searched where a recording seems to have ended

_BITRATES = {  # kbit/s by (MPEG 1, layer) and index (ISO 11172-3 and 13818-3)
    (True, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}


def mpeg_frame(head: bytes) -> tuple[int, int] | None:
    """Return bytes and samples of the MPEG audio frame with this head of four bytes, or None."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    rate_index, bit_index, padding = head[2] >> 2 & 3, head[2] >> 4, head[2] >> 1 & 1
    if version == 1 or layer == 4 or rate_index == 3 or bit_index in (0, 15):
        return None
    rate = (44100, 48000, 32000)[rate_index] >> {3: 0, 2: 1, 0: 2}[version]
    bits = _BITRATES[version == 3, layer][bit_index] * 1000
    if layer == 1:
        return (12 * bits // rate + padding) * 4, 384
    samples = 576 if layer == 3 and version != 3 else 1152
    return samples // 8 * bits // rate + padding, samples


def same_kind(head: bytes, other: bytes) -> bool:
    """Whether two frames, by their heads, are of one version, layer and sample rate."""
    return not ((head[1] ^ other[1]) & 0x1E or (head[2] ^ other[2]) & 0x0C)


def resync(data: BoundedReader, position: int) -> int | None:
    """Find the next MPEG frame: at a position or, after damage, where two follow each other."""
    head = data.upto(position, 4)
    if mpeg_frame(head) or len(head) < 4 or head[:3] in (b"TAG", b"APE", b"ID3", b"LYR"):
        return position
    stretch = data.upto(position, RESYNC_BYTES)
    offset = stretch.find(b"\xff")
    while offset >= 0:
        frame = mpeg_frame(stretch[offset : offset + 4])
        if frame and mpeg_frame(data.upto(position + offset + frame[0], 4)):
            return position + offset
        offset = stretch.find(b"\xff", offset + 1)
    return None


def next_chain(data: BoundedReader, position: int) -> int | None:
    """Find where several frames follow each other, far behind what is none."""
    end = position + FAR_BYTES
    while position < end and len(stretch := data.upto(position, SEARCHED_BYTES)) >= 4:
        offset = stretch.find(b"\xff")
        while 0 <= offset <= len(stretch) - 4:
            if mpeg_frame(stretch[offset : offset + 4]) and _is_chain(data, position + offset):
                return position + offset
            offset = stretch.find(b"\xff", offset + 1)
        position += len(stretch) - 3
    return None


def _is_chain(data: BoundedReader, position: int) -> bool:
    """Whether several frames of one kind follow each other from a position on."""
    head = data.upto(position, 4)
    for _ in range(LEAST):
        this = data.upto(position, 4)
        frame = mpeg_frame(this)
        if frame is None or not same_kind(this, head):
            return False
        position += frame[0]
    return True


def count_mpeg_frames(data: BoundedReader, start: int, end: int) -> tuple[int, int]:
    """Return the number of MPEG frames of a stretch, and the samples of each.

    Args:
        data: the file.
        start: position of the first byte.
        end: position after the last one.
    """
    count, samples = 0, 1152
    position = resync(data, start)
    while position is not None and (frame := mpeg_frame(data.upto(position, 4))):
        if position + frame[0] > end:
            break
        count, samples = count + 1, frame[1]
        position = resync(data, position + frame[0])
    return count, samples


def has_index(data: BoundedReader, position: int) -> bool:
    """Whether a frame holds a Xing or Info header, which only the first of a recording does."""
    head = data.upto(position, 44)
    return any(head[at : at + 4] in (b"Xing", b"Info") for at in (13, 15, 21, 23, 36, 38))


def index_frame(head: bytes, count: int) -> bytes:
    """Return a frame without sound that says how many follow.

    Args:
        head: of the frames that follow, four bytes.
        count: of the frames that follow.
    """
    first, mono = head[1] >> 3 & 3 == 3, head[3] >> 6 == 3
    # A frame long enough for the index, without a checksum: of 128 or 64 kbit/s.
    begin = bytes([0xFF, head[1] | 1, (9 if first else 8) << 4 | head[2] & 0x0C, head[3]])
    frame = mpeg_frame(begin)
    size = frame[0] if frame else 0
    side = {(True, False): 32, (True, True): 17, (False, False): 17, (False, True): 9}[first, mono]
    index = b"Xing" + (1).to_bytes(4, "big") + count.to_bytes(4, "big")
    return (begin + bytes(side) + index).ljust(size, b"\0")
