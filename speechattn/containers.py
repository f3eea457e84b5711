"""Sound file containers: does a file hold what its header promises?

A decoder that meets the end of a file early hands out what is there and says nothing, so a cut-off
download becomes a shorter utterance. The headers are therefore read here first, without decoding,
in small bounded reads, and no size found in a file is believed before it is compared with the file.
A compressed stream whose length is only known to its decoder (FLAC) is left to :mod:`audio`.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from speechattn.errors import AudioError

MAX_CHUNKS = 10_000  # chunks walked through before a file is called damaged
RESYNC_BYTES = 65_536  # bytes searched for the next MPEG frame after damage
COPY_AGAIN = "copy or download it again"
UNFINISHED = "the recording was not finished: repair the header or record it again"

# "As long as the file": what programs write into a header that they cannot go back to.
STREAMED = {0xFFFFFFFF, 0xFFFFFFFF - 36, 0x7FFFFFFF, 0x7FFFFFFF - 36, 0x7FFFF000}
ANY = 1 << 62  # more samples than any file
UNKNOWN_64 = {0xFFFFFFFFFFFFFFFF, 0x7FFFFFFFFFFFFFFF}

PCM_TAGS = {1, 3, 6, 7, 0xFFFE}  # WAVE formats with a fixed number of bytes a sample

FOREIGN = (  # offset, bytes, name: what people try that is no container we read
    (4, b"ftyp", "MP4/M4A"),
    (0, b"wvpk", "WavPack"),
    (0, b"\x1aE\xdf\xa3", "Matroska/WebM"),
    (0, b"0&\xb2u", "Windows Media"),
    (0, b"#!AMR", "AMR"),
    (0, b"ajkg", "Shorten"),
    (0, b"MAC ", "Monkey's Audio"),
)


@dataclass(frozen=True)
class Header:
    """What a container says about the samples in it.

    Attributes:
        kind: container, such as ``"WAV"``; ``""`` if this module does not know it.
        frames: samples per channel, None where only the decoder knows.
        surplus: samples that the decoder may promise beyond ``frames``; with more, ``frames`` is
            not to be trusted.
        shortfall: samples that the decoder may promise less than ``frames``.
    """

    kind: str
    frames: int | None = None
    surplus: int = 0
    shortfall: int = 0


class _Bytes:
    """A file and its size, for reads that must not come up short."""

    def __init__(self, file: BinaryIO, name: str, size: int) -> None:
        self.file, self.name, self.size = file, name, size

    def upto(self, position: int, count: int) -> bytes:
        """At most ``count`` bytes, fewer at the end of the file."""
        self.file.seek(position)
        return self.file.read(count)

    def exactly(self, position: int, count: int) -> bytes:
        """``count`` bytes, all of them in the file."""
        data = self.upto(position, count)
        if len(data) < count:
            raise self.error(f"cut off inside the header at byte {self.size}; {COPY_AGAIN}")
        return data

    def unpack(self, layout: str, position: int) -> tuple:
        """Numbers at a position, as :func:`struct.unpack` gives them."""
        return struct.unpack(layout, self.exactly(position, struct.calcsize(layout)))

    def error(self, problem: str) -> AudioError:
        return AudioError(f"{self.name}: {problem}")


def printable(path: str | os.PathLike) -> str:
    """A path on one line that any terminal can show."""
    text = os.fsdecode(path)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def check_container(path: str | os.PathLike) -> Header:
    """Compare a sound file's header with the file.

    Args:
        path: a regular file; a name that no container matches gives ``Header("")``.

    Raises:
        AudioError: if the file cannot be opened, is empty, is of a kind that nothing here reads,
            is cut off, or was never finished.
    """
    name = printable(path)
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise AudioError(f"{name}: is a folder; name a sound file in it")
        if not stat.S_ISREG(status.st_mode):
            raise AudioError(f"{name}: is no regular file; save the sound to a file first")
        if status.st_size == 0:
            raise AudioError(f"{name}: is empty (0 bytes); {COPY_AGAIN}")
        with open(path, "rb") as file:
            return _check(_Bytes(file, name, status.st_size))
    except FileNotFoundError:
        raise AudioError(f"{name}: not found; check the path") from None
    except PermissionError:
        raise AudioError(f"{name}: may not be read; change its permissions") from None
    except (OSError, ValueError) as error:
        raise AudioError(f"{name}: cannot be opened ({error}); check the path") from None


def _check(data: _Bytes) -> Header:
    start = _after_id3(data)
    magic = data.upto(start, 16)
    if magic[:4] in (b"RIFF", b"RIFX", b"RF64") and magic[8:12] == b"WAVE":
        return _check_wav(data, start, magic[:4])
    if magic[:4] == b"riff":
        return _check_w64(data, start)
    if magic[:4] == b"FORM" and magic[8:12] in (b"AIFF", b"AIFC"):
        return _check_aiff(data, start)
    if magic[:4] in (b".snd", b"dns."):
        return _check_au(data, start, ">" if magic[:4] == b".snd" else "<")
    if magic[:8] == b"NIST_1A\n":
        return _check_nist(data, start)
    if magic[:4] == b"caff":
        return _check_caf(data, start)
    if magic[:4] == b"OggS":
        return _check_ogg(data, start)
    if magic[:4] == b"fLaC":
        return Header("FLAC")
    if _mpeg_frame(magic[:4]):
        return _check_mp3(data, start)
    for offset, mark, kind in FOREIGN:
        if magic[offset : offset + len(mark)] == mark:
            raise data.error(f"is a {kind} file, which is not read; convert it to WAV or FLAC")
    return Header("")


def _after_id3(data: _Bytes) -> int:
    """Position after the ID3v2 tags at the head of a file (their size has 7 bits a byte)."""
    position = 0
    for _ in range(16):
        tag = data.upto(position, 10)
        if len(tag) < 10 or tag[:3] != b"ID3":
            break
        position += 10 + sum((byte & 0x7F) << shift for byte, shift in zip(tag[6:], (21, 14, 7, 0)))
    return position


def _compare(data: _Bytes, declared: int, begin: int, block: int = 1) -> None:
    """Raise if fewer whole blocks follow ``begin`` than ``declared`` bytes would hold."""
    present = max(0, data.size - begin)
    if declared // block > present // block:
        raise data.error(
            f"cut off: the header promises {declared} bytes of samples, the file holds {present}; "
            f"{COPY_AGAIN}"
        )


def _unfinished(data: _Bytes, present: int) -> AudioError:
    return data.error(f"the header says 0 bytes of samples but {present} follow; {UNFINISHED}")


# --- RIFF, RIFX, RF64, W64 -----------------------------------------------------------------------


def _chunks(data: _Bytes, position: int, order: str) -> Iterator[tuple[bytes, int, int]]:
    """(name, position of the content, size) of IFF chunks, which begin at even offsets."""
    for _ in range(MAX_CHUNKS):
        if position + 8 > data.size:
            return
        name, size = data.unpack(f"{order}4sI", position)
        yield name, position + 8, size
        position += 8 + size + size % 2
    raise data.error(f"more than {MAX_CHUNKS} chunks before the samples; {COPY_AGAIN}")


def _is_chunk(data: _Bytes, position: int, order: str) -> bool:
    """Whether a plausible chunk begins here, rather than samples."""
    head = data.upto(position, 8)
    if len(head) < 8:
        return False
    name, size = struct.unpack(f"{order}4sI", head)
    return all(32 <= byte < 127 for byte in name) and position + 8 + size <= data.size


def _check_wav(data: _Bytes, start: int, magic: bytes) -> Header:
    order = ">" if magic == b"RIFX" else "<"
    layout = fact = long_size = None
    for name, content, size in _chunks(data, start + 12, order):
        if name == b"ds64":
            long_size = data.unpack("<Q", content + 8)[0]
        elif name == b"fmt ":
            layout = _wave_format(data, content, size, order)
        elif name == b"fact" and size >= 4:
            fact = data.unpack(f"{order}I", content)[0]
        elif name == b"data":
            break
    else:
        raise data.error(f"has no data chunk: the header is damaged or cut off; {COPY_AGAIN}")
    if layout is None:
        raise data.error(f"has no fmt chunk before its samples; {COPY_AGAIN}")
    if magic == b"RF64" and long_size is not None and size == 0xFFFFFFFF:
        size = long_size
    if size in UNKNOWN_64 or (size in STREAMED and magic != b"RF64"):
        return Header("WAV")
    if size == 0 and content < data.size and not _is_chunk(data, content, order):
        raise _unfinished(data, data.size - content)
    return _wave_header(data, "WAV", layout, fact, size, content)


def _wave_format(data: _Bytes, content: int, size: int, order: str) -> tuple[int, int, int]:
    """(format tag, bytes a block, samples a block or 0) of a ``fmt`` chunk."""
    tag, channels, rate, _, block = data.unpack(f"{order}HHIIH", content)
    if channels == 0:
        raise data.error("the header says 0 channels; convert it again from its source")
    if rate == 0:
        raise data.error("the header says 0 Hz; convert it again from its source")
    per_block = data.unpack(f"{order}H", content + 18)[0] if size >= 20 else 0
    return tag, max(block, 1), per_block


def _wave_header(
    data: _Bytes,
    kind: str,
    layout: tuple[int, int, int],
    fact: int | None,
    size: int,
    content: int,
) -> Header:
    tag, block, per_block = layout
    if tag in PCM_TAGS:
        _compare(data, size, content, block)
        return Header(kind, size // block, surplus=ANY, shortfall=ANY if kind == "WAV" else 0)
    _compare(data, size, content)
    # Block codecs pad the last block; the fact chunk says how many samples are real, and is wrong
    # in many files. Decoders have been seen to add one block more (GSM 6.10).
    surplus = 2 * max(per_block, 320)
    most = -(-size // block) * per_block
    if fact and (not most or most - surplus <= fact <= most):
        return Header(kind, fact, surplus=surplus, shortfall=0 if most else ANY)
    return Header(kind, most or None, surplus=ANY, shortfall=ANY)


def _check_w64(data: _Bytes, start: int) -> Header:
    """Sony Wave64: 16-byte names, 64-bit sizes that include the 24 bytes of name and size."""
    position, layout, fact = start + 40, None, None
    for _ in range(MAX_CHUNKS):
        if position + 24 > data.size:
            break
        name, size = data.unpack("<4s12xQ", position)
        if size < 24:
            if name == b"data" and data.size > position + 24:
                raise _unfinished(data, data.size - position - 24)
            break
        if name == b"fmt ":
            layout = _wave_format(data, position + 24, min(size - 24, 64), "<")
        elif name == b"fact":
            fact = data.unpack("<Q", position + 24)[0]
        elif name == b"data" and layout is not None:
            if size == 24 and data.size >= position + 24 + layout[1]:
                raise _unfinished(data, data.size - position - 24)
            return _wave_header(data, "W64", layout, fact, size - 24, position + 24)
        position += size + -size % 8
    raise data.error(f"has no data chunk: the header is damaged or cut off; {COPY_AGAIN}")


# --- AIFF, AU, NIST SPHERE, CAF ------------------------------------------------------------------


def _check_aiff(data: _Bytes, start: int) -> Header:
    channels, bits, compressed, sound = 0, 0, False, None
    for name, content, size in _chunks(data, start + 12, ">"):
        if name == b"COMM":
            channels, _, bits = data.unpack(">HIH", content)
            compressed = size >= 22 and data.exactly(content + 18, 4) not in (b"NONE", b"sowt")
            if channels == 0:
                raise data.error("the header says 0 channels; convert it again from its source")
        elif name == b"SSND":
            offset = data.unpack(">I", content)[0]
            sound = content + 8 + offset, size - 8 - offset
            if size in (0, 8) and data.size > content + 8 and not _is_chunk(data, content + 8, ">"):
                raise _unfinished(data, data.size - content - 8)
    if sound is None:
        raise data.error(f"has no SSND chunk: the header is damaged or cut off; {COPY_AGAIN}")
    if channels == 0:
        raise data.error(f"has no COMM chunk: the header is damaged or cut off; {COPY_AGAIN}")
    block = 1 if compressed else channels * max(1, (bits + 7) // 8)
    _compare(data, sound[1], sound[0], block)
    return Header("AIFF")


def _check_au(data: _Bytes, start: int, order: str) -> Header:
    offset, size, encoding, rate, channels = data.unpack(f"{order}5I", start + 4)
    if channels == 0 or rate == 0:
        raise data.error(
            f"the header says {channels} channels at {rate} Hz; convert it again from its source"
        )
    begin = start + offset
    if size == 0 and data.size > begin:
        raise _unfinished(data, data.size - begin)
    if size != 0xFFFFFFFF:
        width = {1: 1, 2: 1, 3: 2, 4: 3, 5: 4, 6: 4, 7: 8, 27: 1}.get(encoding)
        _compare(data, size, begin, width * channels if width else 1)
    return Header("AU")


def _check_nist(data: _Bytes, start: int) -> Header:
    """NIST SPHERE: lines ``name -type value`` up to ``end_head``, in a block of stated size."""
    try:
        length = int(data.exactly(start + 8, 8))
    except ValueError:
        length = 0
    if not 16 < length <= 1 << 20:
        raise data.error(f"a NIST SPHERE header of {length} bytes is damaged; {COPY_AGAIN}")
    fields = {}
    for line in data.exactly(start, length).decode("latin-1").split("\n")[2:]:
        words = line.split(None, 2)
        if words[:1] == ["end_head"]:
            break
        if len(words) == 3:
            fields[words[0]] = words[2].strip()
    coding = fields.get("sample_coding", "pcm")
    if "shorten" in coding or "wavpack" in coding or "shortpack" in coding:
        raise data.error(f"NIST SPHERE with sample_coding {coding}; decompress it with sph2pipe")
    values = []
    for key, default in (("channel_count", 1), ("sample_count", None), ("sample_n_bytes", None)):
        text = fields.get(key, default)
        if not str(text).isascii() or not str(text).isdigit() or int(text) == 0:
            raise data.error(f"NIST SPHERE header with {key} {text}; convert it from its source")
        values.append(int(text))
    channels, frames, width = values
    _compare(data, frames * channels * width, start + length, channels * width)
    return Header("NIST", frames, surplus=ANY)


def _check_caf(data: _Bytes, start: int) -> Header:
    """Core Audio: 64-bit chunk sizes; -1 (to the end of the file) is more than libsndfile reads."""
    position = start + 8
    for _ in range(MAX_CHUNKS):
        if position + 12 > data.size:
            break
        name, size = data.unpack(">4sq", position)
        begin = position + 12
        if name == b"data":
            if size in (0, 4) and data.size > begin + 4 and not _is_caf_chunk(data, begin + size):
                raise _unfinished(data, data.size - begin - 4)
            if size < 0:
                raise data.error(f"a CAF of unknown length; {UNFINISHED}")
            _compare(data, size, begin)
            return Header("CAF")
        if size < 0:
            break
        position = begin + size
    raise data.error(f"has no data chunk: the header is damaged or cut off; {COPY_AGAIN}")


def _is_caf_chunk(data: _Bytes, position: int) -> bool:
    head = data.upto(position, 12)
    if len(head) < 12:
        return False
    name, size = struct.unpack(">4sq", head)
    return all(32 <= byte < 127 for byte in name) and 0 <= size <= data.size - position - 12


# --- Ogg, MP3 ------------------------------------------------------------------------------------


def _check_ogg(data: _Bytes, start: int) -> Header:
    """Walk the pages of an Ogg stream (RFC 3533): numbered without gaps, the last one marked."""
    position, serial, expected, ended = start, None, 0, False
    while data.upto(position, 4) == b"OggS" and position + 27 <= data.size:
        flags, stream, number, count = data.unpack("<5xB8xII4xB", position)
        if serial is None:
            serial = stream
        if stream != serial or ended:
            raise data.error(
                f"a second Ogg stream begins at byte {position}, which is not read; "
                "split the file or convert it to WAV or FLAC"
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
            f"({expected} pages up to byte {min(position, data.size)}); {COPY_AGAIN}"
        )
    return Header("OGG")


_BITRATES = {  # kbit/s by (MPEG 1, layer) and index (ISO 11172-3 and 13818-3)
    (True, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}


def _mpeg_frame(head: bytes) -> tuple[int, int] | None:
    """(bytes, samples) of the MPEG audio frame that begins with these four bytes, or None."""
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


def _check_mp3(data: _Bytes, start: int) -> Header:
    """Count MPEG frames; compare them with the Xing/Info header if there is one."""
    promised = None
    first = data.upto(start, 200)
    for tag in (b"Xing", b"Info"):
        at = first.find(tag)
        if 0 < at and at + 12 <= len(first) and first[at + 7] & 1:
            promised = int.from_bytes(first[at + 8 : at + 12], "big")
            start += _mpeg_frame(first)[0]
            break
    position, count, samples, cut = start, 0, 1152, False
    while position is not None and (frame := _mpeg_frame(data.upto(position, 4))):
        if position + frame[0] > data.size:
            cut = True
            break
        count, samples = count + 1, frame[1]
        position = _resync(data, position + frame[0])
    if (promised or 0) > count or (promised is None and cut):
        total = promised if promised is not None else "more"
        raise data.error(f"cut off: {count} MPEG frames of {total}; {COPY_AGAIN}")
    if promised is not None:
        return Header("MP3")
    # Without that header a decoder guesses the length from the size and the first bit rate.
    return Header("MP3", count * samples, surplus=ANY, shortfall=samples)


def _resync(data: _Bytes, position: int) -> int | None:
    """Position of the next MPEG frame: here, or after damage where two follow each other."""
    head = data.upto(position, 4)
    if _mpeg_frame(head) or len(head) < 4 or head[:3] in (b"TAG", b"APE", b"ID3", b"LYR"):
        return position
    stretch = data.upto(position, RESYNC_BYTES)
    at = stretch.find(b"\xff")
    while at >= 0:
        frame = _mpeg_frame(stretch[at : at + 4])
        if frame and _mpeg_frame(data.upto(position + at + frame[0], 4)):
            return position + at
        at = stretch.find(b"\xff", at + 1)
    return None
