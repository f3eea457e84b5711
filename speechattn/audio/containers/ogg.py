"""Ogg: walk the pages of a file to its end, without decoding.

Nothing at its beginning says how long an Ogg stream is. Its last page is marked. Streams that
follow each other in one file (chained, as recorders and radio stations write them) are parts of one
recording; see RFC 3533. A decoder leaves out a page whose checksum is wrong, so that it is compared
here. Recorders that are stopped leave unusual ends, which the decoder of Opus refuses; it is given
the last page as it should be.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from speechattn.audio.containers.base import COPY_AGAIN, BoundedReader, Header
from speechattn.audio.containers.pieces import patched
from speechattn.errors import TRUNCATED

CONTINUED, FIRST, LAST = 1, 2, 4  # flags of a page
NO_GRANULE = (1 << 64) - 1  # of a page on which no packet ends
FIRST_PAGE = b"OggS\0\2"
_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))  # bits of a byte, reversed
OPUS_RATE = 48_000  # Hz, in which Opus counts
_OPUS_MS = {  # durations of a frame by configuration, milliseconds (RFC 6716, table 2)
    **dict.fromkeys(range(12), (10.0, 20.0, 40.0, 60.0)),
    **dict.fromkeys(range(12, 16), (10.0, 20.0)),
    **dict.fromkeys(range(16, 32), (2.5, 5.0, 10.0, 20.0)),
}


@dataclass
class _Stream:
    """One stream of the chain.

    Attributes:
        serial: its number.
        start: position of its first page.
        opus: whether it is Opus.
        expected: number of its next page.
        end: position after its last page.
        ended: whether the last page is marked as such.
        last: positions of its last page and of that before.
        unsaid: whether packets end on the last page, and it does not say how many samples.
        open_packet: whether the last packet goes on on the next page.
        granule: samples up to the end of the last page, and before that page.
        held: samples of Opus packets on the last page.
        packet: samples of the longest of them.
    """

    serial: int
    start: int
    opus: bool
    expected: int = 0
    end: int = 0
    ended: bool = False
    last: tuple[int, int] = (0, 0)
    unsaid: bool = False
    open_packet: bool = False
    granule: tuple[int, int] = (0, 0)
    held: int = 0
    packet: int = 0


def check_ogg(data: BoundedReader, start: int) -> Header:
    """Check the pages of a file: those of each stream numbered without gaps, the last one marked.

    Args:
        data: the file.
        start: position of the container in it.

    Raises:
        AudioError: if the file is damaged, cut off, or holds streams side by side.
    """
    position = start
    streams: list[_Stream] = []
    while True:
        if data.upto(position, 4) != b"OggS" or position + 27 > data.size:
            following = data.find((FIRST_PAGE,), position) if streams else None
            if following is None:
                break
            data.contradictions.append(
                f"{following - position} bytes at byte {position} are no Ogg page and are left out"
            )
            position = following
        flags, _, serial, _, count = data.unpack("<5xBQII4xB", position)
        began = streams[-1].expected == 1 if streams else False  # and nothing else yet
        if flags & FIRST and not (began and streams[-1].serial == serial):
            if began:
                return Header("", media="Ogg with several streams side by side")
            opus = data.upto(position + 27 + count, 8) == b"OpusHead"
            streams.append(_Stream(serial, position, opus))
        _read_page(data, streams[-1] if streams else None, position)
        position = streams[-1].end
    for stream in streams:
        _check_end(data, stream)
    data.check_end(position)
    if len(streams) == 1 and start == 0 and position == streams[0].end:
        return Header("OGG")
    if len(streams) > 1:
        data.contradictions.append(f"{len(streams)} recordings follow each other; all are read")
    parts = tuple(
        patched(
            each.end,
            {at: new for at, new in data.patches.items() if each.start <= at < each.end},
            each.start,
        )
        for each in streams
    )
    return Header("OGG", parts=parts)


def _read_page(data: BoundedReader, stream: _Stream | None, position: int) -> None:
    """Check a page and add it to its stream."""
    flags, granule, serial, number, count = data.unpack("<5xBQII4xB", position)
    if stream is None or serial != stream.serial or stream.ended:
        raise data.error(
            f"damaged: an Ogg page of no stream or after its end at byte {position}; {COPY_AGAIN}"
        )
    if number != stream.expected:
        raise data.error(
            f"damaged: Ogg page {number} at byte {position} where {stream.expected} should "
            f"be; {COPY_AGAIN}"
        )
    if bool(flags & CONTINUED) != stream.open_packet:
        raise data.error(
            f"damaged: the Ogg page at byte {position} does not go on where the one before "
            f"it ends; {COPY_AGAIN}"
        )
    lacing = data.upto(position + 27, count)
    end = position + 27 + count + sum(lacing)
    if len(lacing) < count or end > data.size:
        raise data.error(
            f"cut off: the Ogg page at byte {position} should end at byte {end}, the file "
            f"ends at {data.size}; {COPY_AGAIN}",
            TRUNCATED,
        )
    page = data.upto(position, end - position)
    if _checksum(page) != page[22:26]:
        raise data.error(
            f"damaged: the checksum of the Ogg page at byte {position} is wrong; {COPY_AGAIN}"
        )
    _follow(stream, page, lacing)
    stream.expected, stream.ended = stream.expected + 1, bool(flags & LAST)
    stream.open_packet = bool(lacing) and lacing[-1] == 255
    stream.unsaid = granule == NO_GRANULE and any(size < 255 for size in lacing)
    if granule != NO_GRANULE:
        stream.granule = (granule, stream.granule[0])
    stream.last, stream.end = (position, stream.last[0]), end


def _checksum(page: bytes) -> bytes:
    """Return the four bytes of a page's checksum: CRC-32 from the other end of each byte."""
    mirrored = (page[:22] + bytes(4) + page[26:]).translate(_MIRRORED)
    register = zlib.crc32(mirrored, 0xFFFFFFFF) ^ 0xFFFFFFFF
    return register.to_bytes(4, "little").translate(_MIRRORED)[::-1]


def _follow(stream: _Stream, page: bytes, lacing: bytes) -> None:
    """Count the samples of the Opus packets that end on a page."""
    stream.held = stream.packet = 0
    if not stream.opus or stream.expected < 2:  # two pages of headers
        return
    begin = position = 27 + len(lacing)
    first = stream.open_packet  # its beginning lies on the page before
    for size in lacing:
        position += size
        if size < 255:
            head = page[begin : min(begin + 2, position)]
            duration = 0 if first else _opus_samples(head)
            stream.held += duration
            stream.packet = max(stream.packet, duration)
            begin, first = position, False


def _opus_samples(head: bytes) -> int:
    """Return the samples at 48 kHz of a packet that begins with these two bytes."""
    if not head:
        return 0
    durations = _OPUS_MS[head[0] >> 3]
    duration = durations[(head[0] >> 3) % len(durations)]
    code = head[0] & 3
    frames = (1, 2, 2)[code] if code < 3 else head[1] & 63 if len(head) > 1 else 1
    return int(OPUS_RATE * duration / 1000) * frames


def _check_end(data: BoundedReader, stream: _Stream) -> None:
    """Note an end without mark, and one before the last packets."""
    if not stream.ended:
        data.contradictions.append(
            f"the Ogg stream has no mark at its end (byte {stream.end}): if it was cut off, the "
            "rest is missing"
        )
    after, before = stream.granule
    if stream.unsaid:
        whole = after + stream.held
        data.contradictions.append(
            f"the last page of the Ogg stream (byte {stream.last[0]}) does not say where it ends"
            + ("; all is read" if stream.opus else ": a little sound may be missing")
        )
        if stream.opus:
            _mend_page(data, stream.last[0], stream.end, whole)
        return
    if after < before:
        data.contradicts(f"it ends after {after} samples", f"pages before hold {before}")
    elif stream.held and before + stream.held - after >= 2 * stream.packet:
        data.contradicts(f"it ends after {after} samples", f"{before + stream.held} are there")
    if stream.opus and stream.expected > 3 and stream.last[0] + 27 == stream.end:
        stream.end = stream.last[0]  # an empty page, and the one before is cut by its count
        _mend_page(data, stream.last[1], stream.end, after)
    elif stream.opus and not stream.ended:
        _mend_page(data, stream.last[0], stream.end, after)


def _mend_page(data: BoundedReader, at: int, end: int, granule: int) -> None:
    """Have a page read as the last one of its stream, with this number of samples up to its end."""
    page = bytearray(data.upto(at, end - at))
    page[5] |= LAST
    page[6:14] = struct.pack("<Q", granule)
    page[22:26] = _checksum(bytes(page))
    data.patches[at + 5], data.patches[at + 22] = bytes(page[5:14]), bytes(page[22:26])
