"""WAVs whose samples stand in a list of chunks, some of which say how long it is silent (``wavl``).

Decoders do not read them. They are given the same samples in one chunk.
"""

from __future__ import annotations

import struct

from speechattn.audio.containers.base import COPY_AGAIN, BoundedReader, Header
from speechattn.audio.containers.pieces import Pieces
from speechattn.audio.encodings import ENCODINGS, Encoding
from speechattn.errors import TRUNCATED, UNREADABLE

ZEROS = 1 << 20  # bytes of silence in a piece
LARGEST = 0xFFFFFFFF  # bytes of samples in a WAV
_SILENCE = {ENCODINGS["u8"]: b"\x80", ENCODINGS["alaw"]: b"\xd5", ENCODINGS["mulaw"]: b"\xff"}


def read_wave_list(
    data: BoundedReader,
    start: int,
    content: int,
    size: int,
    encoding: Encoding | None,
    block: int,
    order: str,
) -> Header:
    """Read a list of samples and silences.

    Args:
        data: the file.
        start: position of the container in it.
        content: position of the content of the list.
        size: of the content.
        encoding: of the samples; None if they are compressed.
        block: bytes of a sample of all channels.
        order: of bytes, ``"<"`` or ``">"``.

    Raises:
        AudioError: if it is cut off, or its samples are compressed.
    """
    if encoding is None:
        raise data.error(
            "a WAV with a list of compressed parts (wavl); convert it with the program that wrote "
            "it",
            UNREADABLE,
        )
    end = content + size
    if end > data.size:
        raise data.error(
            f"cut off: its list of samples (wavl) ends at byte {end}, the file at {data.size}; "
            f"{COPY_AGAIN}",
            TRUNCATED,
        )
    parts: list[bytes | tuple[int, int]] = []
    zeros = _SILENCE.get(encoding, b"\0") * (ZEROS // block * block)
    total, position = 0, content + 4
    while position + 8 <= end:
        name, count = data.unpack(f"{order}4sI", position)
        begin = position + 8
        position = begin + count + count % 2
        if begin + count > end or name not in (b"data", b"slnt"):
            raise data.error(f"damaged at byte {begin - 8} of its list of samples; {COPY_AGAIN}")
        if name == b"data":
            count -= count % block
            parts.append((begin, begin + count))
        else:
            count = data.unpack(f"{order}I", begin)[0] * block
            if total + count <= LARGEST:
                whole, rest = divmod(count, len(zeros))
                parts += [zeros] * whole + [zeros[:rest]]
        total += count
        if total > LARGEST:
            raise data.error(f"damaged: {total} bytes of samples and silence in its list")
    size_of_all = struct.pack(f"{order}I", total)
    fmt = (start + 12, content - 8)  # and what else stands before
    whole_size = struct.pack(f"{order}I", min(LARGEST, 12 + fmt[1] - fmt[0] + total))
    magic = b"RIFX" if order == ">" else b"RIFF"
    pieces: Pieces = (magic + whole_size + b"WAVE", fmt, b"data" + size_of_all, *parts)
    return Header("WAV", total // block, parts=(pieces,))
