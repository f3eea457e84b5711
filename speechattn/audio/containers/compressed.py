"""Ogg and MP3: walk the pages or frames of a compressed stream to its end, without decoding.

Neither container says at its beginning how long it is, so the end has to be found: an Ogg page that
is marked as the last one, or as many MPEG frames as the Xing header counts. (FLAC says how many
samples it holds, but only decoding, in :mod:`~speechattn.audio.sndfile`, tells whether they exist.)
"""

from __future__ import annotations

from speechattn.audio.containers.base import ANY, COPY_AGAIN, BoundedReader, Header
from speechattn.errors import TRUNCATED, UNREADABLE, AudioError

RESYNC_BYTES = 65_536  # bytes searched for the next MPEG frame after damage

_BITRATES = {  # kbit/s by (MPEG 1, layer) and index (ISO 11172-3 and 13818-3)
    (True, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}


def check_ogg(data: BoundedReader, start: int) -> Header:
    """Check the pages of an Ogg stream (RFC 3533): numbered without gaps, the last one marked.

    Args:
        data: the file.
        start: position of the container in it.

    Raises:
        AudioError: if the file is damaged, cut off or holds a second stream.
    """
    position, expected, ended = start, 0, False
    serial: int | None = None
    while data.upto(position, 4) == b"OggS" and position + 27 <= data.size:
        flags, stream, number, count = data.unpack("<5xB8xII4xB", position)
        if serial is None:
            serial = stream
        if stream != serial or ended:
            raise data.error(
                f"a second Ogg stream begins at byte {position}, which is not read; "
                "split the file or convert it to WAV or FLAC",
                UNREADABLE,
            )
        if number != expected:
            raise data.error(
                f"damaged: Ogg page {number} at byte {position} where {expected} should be; "
                f"{COPY_AGAIN}"
            )
        expected, ended = expected + 1, bool(flags & 4)
        position += 27 + count + sum(data.exactly(position + 27, count))
    if position > data.size or not ended:
        raise data.error(
            f"cut off: the Ogg stream has no end in its {data.size} bytes "
            f"({expected} pages up to byte {min(position, data.size)}); {COPY_AGAIN}",
            TRUNCATED,
        )
    data.check_end(position)
    return Header("OGG")


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


def check_mp3(data: BoundedReader, start: int) -> Header:
    """Count MPEG frames; compare them with the Xing/Info header if there is one.

    Args:
        data: the file.
        start: position of the first MPEG frame in it.

    Raises:
        AudioError: if the file is cut off, or joined from several of which the decoder would read
            the first.
    """
    promised = None
    first = data.upto(start, 200)
    for tag in (b"Xing", b"Info"):
        tag_at = first.find(tag)
        frame = mpeg_frame(first)
        if frame and tag_at > 0 and tag_at + 12 <= len(first) and first[tag_at + 7] & 1:
            promised = int.from_bytes(first[tag_at + 8 : tag_at + 12], "big")
            start += frame[0]
            break
    position: int | None = start
    count, samples, cut = 0, 1152, False
    while position is not None and (frame := mpeg_frame(data.upto(position, 4))):
        if position + frame[0] > data.size:
            cut = True
            break
        if promised is not None and _has_index(data, position):
            raise _joined(data, position)
        count, samples = count + 1, frame[1]
        position = _resync(data, position + frame[0])
    if position is not None and not cut:
        after = _after_tags(data, position)
        following = _resync(data, after) if after > position else None
        if following is not None and mpeg_frame(data.upto(following, 4)):
            raise _joined(data, following)
    if (promised or 0) > count or (promised is None and cut):
        total = promised if promised is not None else "more"
        raise data.error(f"cut off: {count} MPEG frames of {total}; {COPY_AGAIN}", TRUNCATED)
    if promised is not None:
        if count > promised + 1:  # some programs count the frame that holds the header
            data.contradicts(f"{promised} MPEG frames", f"{count} are there")
        return Header("MP3")
    # Without that header a decoder guesses the length from the size and the first bit rate.
    return Header("MP3", count * samples, surplus=ANY, shortfall=samples)


def _joined(data: BoundedReader, position: int) -> AudioError:
    return data.error(
        f"joined from several MP3 recordings: another begins at byte {position}, and only what is "
        "before it would be read; split the file or convert it to WAV or FLAC",
        UNREADABLE,
    )


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
