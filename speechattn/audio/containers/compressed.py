"""Ogg and MP3: walk the pages or frames of a compressed stream to its end, without decoding.

Neither container says at its beginning how long it is, so the end has to be found: an Ogg page that
is marked as the last one, or as many MPEG frames as the Xing header counts. (FLAC says how many
samples it holds, but only decoding, in :mod:`~speechattn.audio.sndfile`, tells whether they exist.)
"""

from __future__ import annotations

from speechattn.audio.containers.base import ANY, COPY_AGAIN, BoundedReader, Header
from speechattn.errors import TRUNCATED, UNREADABLE

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
        AudioError: if the file is cut off.
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
        count, samples = count + 1, frame[1]
        position = _resync(data, position + frame[0])
    if (promised or 0) > count or (promised is None and cut):
        total = promised if promised is not None else "more"
        raise data.error(f"cut off: {count} MPEG frames of {total}; {COPY_AGAIN}", TRUNCATED)
    if promised is not None:
        if count > promised + 1:  # some programs count the frame that holds the header
            data.contradicts(f"{promised} MPEG frames", f"{count} are there")
        return Header("MP3")
    # Without that header a decoder guesses the length from the size and the first bit rate.
    return Header("MP3", count * samples, surplus=ANY, shortfall=samples)


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
