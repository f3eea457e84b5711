"""Ogg: walk the pages of a file to its end, without decoding.

Nothing at its beginning says how long an Ogg stream is. Its last page is marked. Streams that
follow each other in one file (chained, as recorders and radio stations write them) are parts of one
recording; see RFC 3533.
"""

from __future__ import annotations

from dataclasses import dataclass

from speechattn.audio.containers.base import COPY_AGAIN, BoundedReader, Header
from speechattn.errors import TRUNCATED

CONTINUED, FIRST, LAST = 1, 2, 4  # flags of a page
NO_GRANULE = (1 << 64) - 1  # of a page on which no packet ends
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
    while data.upto(position, 4) == b"OggS" and position + 27 <= data.size:
        flags, granule, serial, number, count = data.unpack("<5xBQII4xB", position)
        lacing = data.upto(position + 27, count)
        if flags & FIRST and not (streams and streams[-1].serial == serial):
            if streams and streams[-1].expected == 1:
                return Header("", media="Ogg with several streams side by side")
            opus = data.upto(position + 27 + count, 8) == b"OpusHead"
            streams.append(_Stream(serial, position, opus))
        stream = streams[-1] if streams else None
        if stream is None or serial != stream.serial or stream.ended:
            raise data.error(
                f"damaged: an Ogg page of no stream or after its end at byte {position}; "
                f"{COPY_AGAIN}"
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
        end = position + 27 + count + sum(lacing)
        if len(lacing) < count or end > data.size:
            raise data.error(
                f"cut off: the Ogg page at byte {position} should end at byte {end}, the file "
                f"ends at {data.size}; {COPY_AGAIN}",
                TRUNCATED,
            )
        _follow(data, stream, position + 27 + count, lacing)
        stream.expected, stream.ended = stream.expected + 1, bool(flags & LAST)
        stream.open_packet = bool(lacing) and lacing[-1] == 255
        if granule != NO_GRANULE:
            stream.granule = (granule, stream.granule[0])
        stream.end = position = end
    for stream in streams:
        _check_end(data, stream)
    data.check_end(position)
    if len(streams) == 1:
        return Header("OGG")
    data.contradictions.append(f"{len(streams)} recordings follow each other; all are read")
    return Header("OGG", parts=tuple(((each.start, each.end),) for each in streams))


def _follow(data: BoundedReader, stream: _Stream, content: int, lacing: bytes) -> None:
    """Count the samples of the Opus packets that end on a page."""
    stream.held = stream.packet = 0
    if not stream.opus or stream.expected < 2:  # two pages of headers
        return
    begin = position = content
    first = stream.open_packet  # its beginning lies on the page before
    for size in lacing:
        position += size
        if size < 255:
            duration = 0 if first else _opus_samples(data.upto(begin, 2))
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
    if after < before:
        data.contradicts(f"it ends after {after} samples", f"pages before hold {before}")
    elif stream.held and before + stream.held - after >= 2 * stream.packet:
        data.contradicts(f"it ends after {after} samples", f"{before + stream.held} are there")
