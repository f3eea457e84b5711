"""MP3: walk the MPEG frames of a file to its end, without decoding.

The index in the first frame (a Xing or Info header) says how many frames follow. Where there is
none and the bit rate varies, a decoder guesses the length from the size, so that it is given an
index with the number of frames that were counted. Recordings that follow each other in one file,
with or without tags between them, are read one after the other.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from speechattn.audio.containers.base import (
    ANY,
    COPY_AGAIN,
    LEAST_FORGOTTEN,
    SEARCHED_BYTES,
    BoundedReader,
    Header,
)
from speechattn.audio.containers.pieces import Pieces, patched
from speechattn.errors import TRUNCATED

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


@dataclass
class _Part:
    """One recording in a file.

    Attributes:
        start: position of its first byte, that of the frame with the index if it has one.
        end: position after its last frame.
        index: position of the number of frames in its index; None without.
        promised: that number.
        trimmed: samples that the decoder takes off, by its index.
        count: frames that are there, without the one that holds the index.
        samples: of each.
        varies: whether the bit rate does.
        cut: whether its last frame is cut off.
        gaps: first and last position of what is between its frames and is none.
    """

    start: int
    end: int = 0
    index: int | None = None
    promised: int = 0
    trimmed: int = 0
    count: int = 0
    samples: int = 1152
    varies: bool = False
    cut: bool = False
    gaps: list[tuple[int, int]] = field(default_factory=list)


def late_mp3(data: BoundedReader, start: int) -> Header | None:
    """Check a file that begins within an MPEG frame, as recordings of a broadcast do.

    Args:
        data: the file.
        start: position from which on frames are looked for.

    Returns:
        None if there are hardly any.

    Raises:
        AudioError: as :func:`check_mp3`.
    """
    first = _next_chain(data, start)
    if first is None:
        return None
    gap = f"{first - start} bytes before the first MPEG frame are no sound and are left out"
    data.contradictions.append(gap if first > start else "the size of the ID3 tag is wrong")
    return check_mp3(data, first, whole=False)


def _is_chain(data: BoundedReader, position: int) -> bool:
    """Whether several frames of one kind follow each other from a position on."""
    head = data.upto(position, 4)
    for _ in range(LEAST):
        this = data.upto(position, 4)
        frame = mpeg_frame(this)
        if frame is None or (this[1] ^ head[1]) & 0x1E or (this[2] ^ head[2]) & 0x0C:
            return False
        position += frame[0]
    return True


def check_mp3(data: BoundedReader, start: int, *, whole: bool = True) -> Header:
    """Count MPEG frames; compare them with the index if there is one.

    Args:
        data: the file.
        start: position of the first MPEG frame in it.
        whole: whether the decoder can read the file as it is.

    Raises:
        AudioError: if the file is cut off, or its sample rate changes.
    """
    parts: list[_Part] = []
    position: int | None = start
    while position is not None:
        part, position = _walk(data, position)
        parts.append(part)
        total: int | str = "more" if part.index is None else part.promised
        if part.promised > part.count or (part.cut and part.index is None):
            raise data.error(
                f"cut off: {part.count} MPEG frames of {total}; {COPY_AGAIN}", TRUNCATED
            )
        if part.index is not None and part.promised < part.count:
            data.contradicts(
                f"{part.promised} MPEG frames", f"{part.count} are there; all are read"
            )
            data.patches[part.index] = part.count.to_bytes(4, "big")
    if len(parts) > 1:
        data.contradictions.append(f"{len(parts)} recordings follow each other; all are read")
        samples = sum(part.count * part.samples - part.trimmed for part in parts)
        slack = 2 * sum(part.samples for part in parts)
        pieces = tuple(_pieces(data, part, always=True) for part in parts)
        return Header("MP3", samples, shortfall=slack, parts=pieces)
    part = parts[0]
    frames = part.count * part.samples
    if not whole:
        pieces = (_pieces(data, part, always=True),)
        return Header("MP3", frames - part.trimmed, shortfall=2 * part.samples, parts=pieces)
    if part.index is not None:
        return Header("MP3", frames - part.trimmed, shortfall=2 * part.samples)
    if part.varies or part.gaps:
        pieces = (_pieces(data, part, always=True),)
        return Header("MP3", frames, shortfall=2 * part.samples, parts=pieces)
    return Header("MP3", frames, surplus=ANY, shortfall=part.samples)


def _walk(data: BoundedReader, start: int) -> tuple[_Part, int | None]:
    """Walk the frames of one recording; return it, and where the next one begins."""
    part = _Part(start, end=start)
    head = data.upto(start, 4)
    first = mpeg_frame(head)
    position: int | None = start
    if first is not None and _read_index(data, part, first[0]):
        position = part.end = start + first[0]
    while position is not None and (frame := mpeg_frame(this := data.upto(position, 4))):
        if position + frame[0] > data.size:
            part.cut = True
            return part, None
        if position > start and _has_index(data, position):
            return part, position
        if (this[1] ^ head[1]) & 0x1E or (this[2] ^ head[2]) & 0x0C:
            raise data.error(
                f"damaged, or its sample rate changes: the MPEG frame at byte {position} is of "
                f"another kind than the first; {COPY_AGAIN}"
            )
        if (this[3] >> 6 == 3) != (head[3] >> 6 == 3):
            data.contradictions.append(
                f"the number of channels changes at byte {position}; what follows may be wrong"
            )
            head = this
        part.varies |= (this[2] ^ head[2]) & 0xF0 != 0
        part.count, part.samples = part.count + 1, frame[1]
        part.end = position + frame[0]
        position = _resync(data, part.end)
        if position is not None and position > part.end:
            data.contradictions.append(
                f"{position - part.end} bytes at byte {part.end} are no MPEG frame and are left out"
            )
            part.gaps.append((part.end, position))
    return part, _following(data, part.end)


def _following(data: BoundedReader, end: int) -> int | None:
    """Return where another recording begins after the last frame of one."""
    after = _after_tags(data, end)
    following = _resync(data, after)
    if following is not None and mpeg_frame(data.upto(following, 4)):
        return following
    rest = data.size - after
    if rest < LEAST_FORGOTTEN:
        return None
    following = _next_chain(data, after)
    if following is not None:
        data.contradictions.append(
            f"{following - after} bytes at byte {after} are no MPEG frame and are left out"
        )
    elif data.upto(after, SEARCHED_BYTES).strip(b"\0"):
        data.contradictions.append(
            f"{rest} bytes after the last MPEG frame are none and are left out"
        )
    return following


def _next_chain(data: BoundedReader, position: int) -> int | None:
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


def _read_index(data: BoundedReader, part: _Part, size: int) -> bool:
    """Read the index in the first frame of a recording; return whether there is one."""
    frame = data.upto(part.start, min(size, 240))
    for tag in (b"Xing", b"Info"):
        at = frame.find(tag)
        if at > 0 and at + 12 <= len(frame) and frame[at + 7] & 1:
            part.index = part.start + at + 8
            part.promised = int.from_bytes(frame[at + 8 : at + 12], "big")
            # The encoder's delay and padding stand behind a table of contents and its own name.
            if frame[at + 7] & 15 == 15 and frame[at + 120 : at + 124].isalpha():
                delays = int.from_bytes(frame[at + 141 : at + 144], "big")
                part.trimmed = (delays >> 12) + (delays & 0xFFF)
            return True
    return False


def _pieces(data: BoundedReader, part: _Part, always: bool = False) -> Pieces:
    """Return what a decoder reads of a recording, with an index if it has none."""
    if part.index is None and (part.varies or always):
        gaps = [gap for gap in part.gaps if gap[1] < part.end]
        begins = [part.start, *(after for _, after in gaps)]
        ends = [*(before for before, _ in gaps), part.end]
        return _index_frame(data.upto(part.start, 4), part.count), *zip(begins, ends)
    patches = {at: new for at, new in data.patches.items() if part.start <= at < part.end}
    return patched(part.end, patches, part.start)


def _index_frame(head: bytes, count: int) -> bytes:
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


def _has_index(data: BoundedReader, position: int) -> bool:
    """Whether a frame holds a Xing or Info header, which only the first of a recording does."""
    head = data.upto(position, 44)
    return any(head[at : at + 4] in (b"Xing", b"Info") for at in (13, 15, 21, 23, 36, 38))


def _after_tags(data: BoundedReader, position: int) -> int:
    """Return the position after all tags (ID3, APE, Lyrics3) that begin at a position."""
    while True:
        head = data.upto(position, 32)
        if head[:3] == b"TAG":
            position += 128
        elif head[:3] == b"ID3" and len(head) >= 10:
            size = sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0)))
            position += 10 + size + (10 if head[5] & 0x10 else 0)
        elif head[:8] == b"APETAGEX" and len(head) == 32:
            is_header = head[23] & 0x20
            position += 32 + (int.from_bytes(head[12:16], "little") if is_header else 0)
        elif head[:11] == b"LYRICSBEGIN":
            text = data.upto(position, 1 << 20)
            ends = [text.find(mark) for mark in (b"LYRICS200", b"LYRICSEND")]
            if max(ends) < 0:
                return position
            position += min(end for end in ends if end >= 0) + 9
        else:
            return position


def joined_mp3(data: BoundedReader, start: int) -> Header | None:
    """Check MP3s that follow each other within another container.

    Args:
        data: the file up to the end of the last one.
        start: position of the first byte of the first one.

    Returns:
        None if it is only one.

    Raises:
        AudioError: as :func:`check_mp3`.
    """
    first = _resync(data, start)
    if first is None or _walk(data, first)[1] is None:
        return None
    data.contradictions.clear()
    return check_mp3(data, first, whole=False)


def count_mpeg_frames(data: BoundedReader, start: int, end: int) -> tuple[int, int]:
    """Return the number of MPEG frames of a stretch, and the samples of each.

    Args:
        data: the file.
        start: position of the first byte.
        end: position after the last one.
    """
    count, samples = 0, 1152
    position = _resync(data, start)
    while position is not None and (frame := mpeg_frame(data.upto(position, 4))):
        if position + frame[0] > end:
            break
        count, samples = count + 1, frame[1]
        position = _resync(data, position + frame[0])
    return count, samples


def _resync(data: BoundedReader, position: int) -> int | None:
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
