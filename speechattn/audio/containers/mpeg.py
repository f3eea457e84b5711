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
from speechattn.audio.containers.mpeg_frames import (
    has_index,
    index_frame,
    mpeg_frame,
    next_chain,
    resync,
    same_kind,
)
from speechattn.audio.containers.pieces import Pieces, patched
from speechattn.errors import TRUNCATED

ID3_HEAD = 10  # bytes


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
    first = next_chain(data, start)
    if first is None:
        return None
    gap = f"{first - start} bytes before the first MPEG frame are no sound and are left out"
    data.contradictions.append(gap if first > start else "the size of the ID3 tag is wrong")
    return check_mp3(data, first, whole=False)


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
    after = _after_tags(data, part.end)
    if part.count < 2 and part.index is None and data.upto(after, SEARCHED_BYTES).strip(b"\0"):
        raise data.error(  # the decoder would search it aloud, on standard error
            "begins like an MP3, but no second MPEG frame follows; convert it to WAV or FLAC"
        )
    frames = part.count * part.samples
    if not whole:
        pieces = (_pieces(data, part, always=True),)
        return Header("MP3", frames - part.trimmed, shortfall=2 * part.samples, parts=pieces)
    if part.index is not None:
        # The decoder would speak of what follows, on standard error.
        pieces_without = (_pieces(data, part),) if after < data.size else ()
        frames -= part.trimmed
        return Header("MP3", frames, shortfall=2 * part.samples, parts=pieces_without)
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
        if position > start and has_index(data, position):
            return part, position
        if not same_kind(this, head):
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
        position = resync(data, part.end)
        if position is not None and position > part.end:
            data.contradictions.append(
                f"{position - part.end} bytes at byte {part.end} are no MPEG frame and are left out"
            )
            part.gaps.append((part.end, position))
    return part, _following(data, part.end)


def _following(data: BoundedReader, end: int) -> int | None:
    """Return where another recording begins after the last frame of one."""
    after = _after_tags(data, end)
    following = resync(data, after)
    if following is not None and mpeg_frame(data.upto(following, 4)):
        return following
    rest = data.size - after
    if rest < LEAST_FORGOTTEN:
        return None
    following = next_chain(data, after)
    if following is not None:
        data.contradictions.append(
            f"{following - after} bytes at byte {after} are no MPEG frame and are left out"
        )
    elif data.upto(after, SEARCHED_BYTES).strip(b"\0"):
        data.contradictions.append(
            f"{rest} bytes after the last MPEG frame are none and are left out"
        )
    return following


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
        return index_frame(data.upto(part.start, 4), part.count), *zip(begins, ends)
    patches = {at: new for at, new in data.patches.items() if part.start <= at < part.end}
    return patched(part.end, patches, part.start)


def id3_bytes(head: bytes) -> int:
    """Return the bytes of an ID3v2 tag by its head of ten, which they count (7 bits a byte)."""
    return ID3_HEAD + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0)))


def _after_tags(data: BoundedReader, position: int) -> int:
    """Return the position after all tags (ID3, APE, Lyrics3) that begin at a position."""
    while True:
        head = data.upto(position, 32)
        if head[:3] == b"TAG":
            position += 128
        elif head[:3] == b"ID3" and len(head) >= ID3_HEAD:
            position += id3_bytes(head) + (ID3_HEAD if head[5] & 0x10 else 0)
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
    first = resync(data, start)
    if first is None or _walk(data, first)[1] is None:
        return None
    data.contradictions.clear()
    return check_mp3(data, first, whole=False)
