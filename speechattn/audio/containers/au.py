"""AU files, of Sun and NeXT: a header of six numbers, big-endian or, rarely, little-endian."""

from __future__ import annotations

from speechattn.audio.containers.base import ENDLESS, BoundedReader, Header
from speechattn.audio.containers.likeness import all_goes_on
from speechattn.audio.encodings import ENCODINGS, Encoding

_ENCODINGS = {  # by their number in the header; a NumPy type without byte order
    1: "mulaw", 2: "i1", 3: "i2", 4: "i3", 5: "i4", 6: "f4", 7: "f8", 27: "alaw",
}  # fmt: skip


def check_au(data: BoundedReader, start: int, order: str) -> Header:
    """Compare the size in the header of an AU file with the file.

    Args:
        data: the file.
        start: position of the container in it.
        order: of bytes, ``"<"`` or ``">"``.

    Raises:
        AudioError: if the file is damaged or cut off.
    """
    offset, size, coding, rate, channels = data.unpack(f"{order}5I", start + 4)
    if channels == 0 or rate == 0:
        raise data.error(
            f"the header says {channels} channels at {rate} Hz; convert it again from its source"
        )
    begin = start + offset
    if size == 0 and data.size > begin:
        data.mend(start + 8, f"{order}I", data.size - begin, data.size - begin)
    elif size == 0xFFFFFFFF:
        data.contradictions.append(ENDLESS)
    else:
        name = _ENCODINGS.get(coding, "")
        encoding = ENCODINGS.get(name) or (Encoding(order + name) if name else None)
        block = encoding.width * channels if encoding else 1
        data.compare(size, begin, block)
        end = begin + size
        if all_goes_on(data, begin, end, encoding, channels):
            data.lengthen(start + 8, f"{order}I", size, data.size - begin)
        else:
            data.check_end(end, block)
    return Header("AU")
