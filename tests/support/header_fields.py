"""Header fields of every container that libsndfile writes, each with wrong values.

Nothing here asks the package what a header means: the fields are taken from the descriptions of the
formats, by position in files that libsndfile wrote.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

import soundfile

from support.bad_headers import RATE, encode

KINDS = ("WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF", "NIST", "FLAC", "OGG", "MP3")
SUFFIXES = {"WAVEX": "wav", "RF64": "wav", "NIST": "sph", "OGG": "oga"}


class Field(NamedTuple):
    """A number in a header.

    Attributes:
        name: of the field.
        at: position of its first byte.
        layout: of :mod:`struct`; or ``"text"`` for a number in digits.
        fixed: called with the changed file, returns it with its checksums put right.
    """

    name: str
    at: int
    layout: str
    fixed: Callable[[bytes], bytes] = bytes

    def value(self, data: bytes) -> int:
        """The value of the field in a file."""
        return struct.unpack_from(self.layout, data, self.at)[0]

    def changed(self, data: bytes, value: int) -> bytes:
        """The file with another value in this field."""
        changed = bytearray(data)
        struct.pack_into(self.layout, changed, self.at, value)
        return self.fixed(bytes(changed))

    def wrong(self, data: bytes) -> Iterator[int]:
        """Values that the field could have and has not: extremes and neighbours."""
        size = 8 * struct.calcsize(self.layout)
        signed = self.layout[-1].islower()
        low, high = (-(1 << size - 1), (1 << size - 1) - 1) if signed else (0, (1 << size) - 1)
        value = self.value(data)
        values = {
            0,
            1,
            2,
            3,
            8,
            high,
            high - 1,
            high // 2,
            high // 2 + 1,
            low,
            value - 1,
            value + 1,
        }
        values |= {2 * value, value // 2, 16, 24, 32}
        yield from sorted(v for v in values if low <= v <= high and v != value)


def subtypes(kind: str) -> list[str]:
    """The codings that libsndfile writes in a container."""
    found = []
    for subtype in soundfile.available_subtypes(kind):
        try:
            encode(kind, subtype, [0.0] * 4000)
        except soundfile.LibsndfileError:
            continue
        found.append(subtype)
    return found


def fields(kind: str, data: bytes) -> list[Field]:
    """The fields of a file that libsndfile wrote."""
    return list(_FIELDS[kind](data))


def _fmt(data: bytes, at: int, size: int) -> Iterator[Field]:
    for name, offset, layout in (
        ("tag", 0, "<H"), ("channels", 2, "<H"), ("rate", 4, "<I"), ("bytes_a_second", 8, "<I"),
        ("block", 12, "<H"), ("bits", 14, "<H"), ("extension", 16, "<H"), ("valid_bits", 18, "<H"),
        ("speakers", 20, "<I"), ("subformat", 24, "<H"),
    ):  # fmt: skip
        if offset + struct.calcsize(layout) <= size:
            yield Field(name, at + offset, layout)


def _riff(data: bytes) -> Iterator[Field]:
    yield Field("riff_size", 4, "<I")
    position = 12
    while position + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, position)
        label = name.decode("latin-1").strip()
        yield Field(f"{label}_size", position + 4, "<I")
        content = position + 8
        if name == b"fmt ":
            yield from _fmt(data, content, size)
        elif name == b"fact":
            yield Field("fact", content, "<I")
        elif name == b"ds64":
            for number, part in enumerate(("long_riff", "long_data", "long_samples")):
                yield Field(part, content + 8 * number, "<Q")
            yield Field("table", content + 24, "<I")
        elif name == b"data":
            break
        position = content + size + size % 2


def _w64(data: bytes) -> Iterator[Field]:
    yield Field("riff_size", 16, "<Q")
    position = 40
    while position + 24 <= len(data):
        name, size = struct.unpack_from("<4s12xQ", data, position)
        yield Field(f"{name.decode().strip()}_size", position + 16, "<Q")
        if name == b"fmt ":
            yield from _fmt(data, position + 24, size - 24)
        elif name == b"fact":
            yield Field("fact", position + 24, "<Q")
        elif name == b"data":
            break
        position += size + -size % 8


def _aiff(data: bytes) -> Iterator[Field]:
    yield Field("form_size", 4, ">I")
    position = 12
    while position + 8 <= len(data):
        name, size = struct.unpack_from(">4sI", data, position)
        content = position + 8
        yield Field(f"{name.decode().strip()}_size", position + 4, ">I")
        if name == b"COMM":
            yield Field("channels", content, ">H")
            yield Field("frames", content + 2, ">I")
            yield Field("bits", content + 6, ">H")
            yield Field("rate_exponent", content + 8, ">H")
            yield Field("rate_mantissa", content + 10, ">Q")
            if size >= 22:
                yield Field("coding", content + 18, ">I")
        elif name == b"SSND":
            yield Field("offset", content, ">I")
            yield Field("block", content + 4, ">I")
            break
        position = content + size + size % 2


def _au(data: bytes) -> Iterator[Field]:
    order = ">" if data[:4] == b".snd" else "<"
    for number, name in enumerate(("offset", "size", "encoding", "rate", "channels"), 1):
        yield Field(name, 4 * number, f"{order}I")


def _caf(data: bytes) -> Iterator[Field]:
    yield Field("version", 4, ">H")
    yield Field("flags", 6, ">H")
    position = 8
    while position + 12 <= len(data):
        name, size = struct.unpack_from(">4sq", data, position)
        content = position + 12
        yield Field(f"{name.decode().strip()}_size", position + 4, ">q")
        if name == b"desc":
            parts = (
                "coding",
                "coding_flags",
                "bytes_a_packet",
                "frames_a_packet",
                "channels",
                "bits",
            )
            yield Field("rate", content, ">Q")
            for number, part in enumerate(parts):
                yield Field(part, content + 8 + 4 * number, ">I")
        elif name == b"pakt":
            yield Field("packets", content, ">q")
            yield Field("packet_frames", content + 8, ">q")
            yield Field("priming", content + 16, ">i")
            yield Field("remainder", content + 20, ">i")
        elif name == b"data":
            yield Field("edits", content, ">I")
            if size < 0:
                break
        position = content + size


class _Text(Field):
    """A number in a line of a NIST SPHERE header; its digits keep their place."""

    def value(self, data: bytes) -> int:
        return int(data[self.at : self.at + int(self.layout)].split()[0])

    def changed(self, data: bytes, value: int) -> bytes:
        width = int(self.layout)
        text = str(value).encode().ljust(width)
        return data[: self.at] + text[:width] + data[self.at + width :]

    def wrong(self, data: bytes) -> Iterator[int]:
        value, width = self.value(data), int(self.layout)
        values = {0, 1, 2, 3, 4, 8, value - 1, value + 1, 2 * value, value // 2, 10**width - 1}
        yield from sorted(v for v in values if v != value and len(str(v)) <= width)


def _nist(data: bytes) -> Iterator[Field]:
    length = data.index(b"\n", 8)
    yield _Text("header", 8, str(length - 8))
    for found in re.finditer(rb"(\w+) -i (\d+)\n", data[:1024]):
        yield _Text(found[1].decode(), found.start(2), str(len(found[2])))


class _Bits(Field):
    """Bits of a big-endian number of 8 bytes; ``layout`` is ``low:count``."""

    def _part(self) -> tuple[int, int]:
        low, count = self.layout.split(":")
        return int(low), int(count)

    def value(self, data: bytes) -> int:
        low, count = self._part()
        return int.from_bytes(data[self.at : self.at + 8], "big") >> low & (1 << count) - 1

    def changed(self, data: bytes, value: int) -> bytes:
        low, count = self._part()
        whole = int.from_bytes(data[self.at : self.at + 8], "big")
        whole = whole & ~((1 << count) - 1 << low) | value << low
        return data[: self.at] + whole.to_bytes(8, "big") + data[self.at + 8 :]

    def wrong(self, data: bytes) -> Iterator[int]:
        value, high = self.value(data), (1 << self._part()[1]) - 1
        values = {0, 1, 2, high, high - 1, value - 1, value + 1, 2 * value, value // 2}
        yield from sorted(v for v in values if 0 <= v <= high and v != value)


def _flac(data: bytes) -> Iterator[Field]:
    yield Field("least_block", 8, ">H")
    yield Field("most_block", 10, ">H")
    yield _Bits("least_frame", 12, "40:24")
    yield _Bits("most_frame", 15, "40:24")
    yield _Bits("rate", 18, "44:20")
    yield _Bits("channels", 18, "41:3")
    yield _Bits("bits", 18, "36:5")
    yield _Bits("samples", 18, "0:36")
    yield Field("md5", 26, ">Q")


def page_checksums(data: bytes) -> bytes:
    """An Ogg file with the checksum of each page computed again (RFC 3533)."""
    changed, position = bytearray(data), 0
    while data[position : position + 4] == b"OggS":
        count = data[position + 26]
        end = position + 27 + count + sum(data[position + 27 : position + 27 + count])
        changed[position + 22 : position + 26] = bytes(4)
        checksum = 0
        for byte in changed[position:end]:
            checksum = (checksum << 8 & 0xFFFFFFFF) ^ _CRC[checksum >> 24 ^ byte]
        struct.pack_into("<I", changed, position + 22, checksum)
        position = end
    return bytes(changed)


def _crc_table() -> list[int]:
    table = []
    for value in range(256):
        value <<= 24
        for _ in range(8):
            value = (value << 1 ^ (0x04C11DB7 if value & 0x80000000 else 0)) & 0xFFFFFFFF
        table.append(value)
    return table


_CRC = _crc_table()


def _ogg(data: bytes) -> Iterator[Field]:
    pages = [found.start() for found in re.finditer(b"OggS", data)]
    for label, page in (
        ("first", pages[0]),
        ("middle", pages[len(pages) // 2]),
        ("last", pages[-1]),
    ):
        for name, offset, layout in (
            ("version", 4, "<B"), ("flags", 5, "<B"), ("granule", 6, "<q"), ("serial", 14, "<I"),
            ("number", 18, "<I"),
        ):  # fmt: skip
            yield Field(f"{label}_{name}", page + offset, layout, page_checksums)
    vorbis, opus = data.find(b"\1vorbis"), data.find(b"OpusHead")
    if vorbis > 0:
        parts = (("version", 7, "<I"), ("channels", 11, "<B"), ("rate", 12, "<I"),
                 ("bit_rate", 20, "<i"), ("blocks", 28, "<B"), ("framing", 29, "<B"))  # fmt: skip
    else:
        parts = (("version", 8, "<B"), ("channels", 9, "<B"), ("skip", 10, "<H"),
                 ("rate", 12, "<I"), ("gain", 16, "<h"), ("mapping", 18, "<B"))  # fmt: skip
    for name, offset, layout in parts:
        yield Field(name, max(vorbis, opus) + offset, layout, page_checksums)


def _mp3(data: bytes) -> Iterator[Field]:
    for name, offset in (("frame_version_layer", 1), ("frame_rate", 2), ("frame_mode", 3)):
        yield Field(name, offset, ">B")
    tag = max(data.find(b"Xing"), data.find(b"Info"))
    yield Field("index_flags", tag + 4, ">I")
    yield Field("index_frames", tag + 8, ">I")
    yield Field("index_bytes", tag + 12, ">I")
    yield Field("encoder_delay", tag + 141, ">I")
    second = data.index(data[:2], 4)
    for name, offset in (("second_version_layer", 1), ("second_rate", 2), ("second_mode", 3)):
        yield Field(name, second + offset, ">B")


_FIELDS: dict[str, Callable[[bytes], Iterator[Field]]] = {
    "WAV": _riff, "WAVEX": _riff, "RF64": _riff, "W64": _w64, "AIFF": _aiff, "AU": _au,
    "CAF": _caf, "NIST": _nist, "FLAC": _flac, "OGG": _ogg, "MP3": _mp3,
}  # fmt: skip

__all__ = ["KINDS", "RATE", "SUFFIXES", "Field", "fields", "page_checksums", "subtypes"]
