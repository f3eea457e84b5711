"""WAV and its relatives: RIFF, RIFX (big-endian), RF64 and BW64 (64-bit sizes).

The size of the ``data`` chunk is compared with the file, unless the program that wrote it did not
know the size and marked it so. For codecs with blocks the ``fact`` chunk tells how many samples of
the last block belong to the recording.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from speechattn.audio.containers.base import (
    ANY,
    COPY_AGAIN,
    ENDLESS,
    LEAST_FORGOTTEN,
    MAX_CHUNKS,
    SECOND_SOUND,
    BoundedReader,
    Header,
    chunks,
    is_chunk,
)
from speechattn.audio.containers.likeness import goes_on
from speechattn.audio.containers.mpeg import joined_mp3
from speechattn.audio.containers.mpeg_frames import count_mpeg_frames
from speechattn.audio.containers.wave_list import read_wave_list
from speechattn.audio.encodings import ENCODINGS, Encoding

# "As long as the file": sizes that programs write into a header that they cannot complete.
STREAMED = {0xFFFFFFFF, 0xFFFFFFFF - 36, 0x7FFFFFFF, 0x7FFFFFFF - 36, 0x7FFFF000}
UNKNOWN_64 = {0xFFFFFFFFFFFFFFFF, 0x7FFFFFFFFFFFFFFF}

WAVES = (b"RIFF", b"RIFX", b"RF64", b"BW64")
TEXT_CHUNKS = (b"LIST", b"id3 ", b"ID3 ", b"bext", b"iXML", b"_PMX", b"cue ", b"smpl", b"JUNK")
TEXT_BYTES = 1 << 16  # of such chunks that are looked through
LEAST_UNKNOWN = 1 << 40  # samples; numbers from here on stand for an unknown number

MPEG_TAGS = {0x50, 0x55}  # WAVE formats that hold MPEG audio, such as MP3
BLOCK_TAGS = {0x02, 0x11, 0x31}  # ADPCM and GSM 6.10: the header says the samples of a block
FOREIGN_TAGS = {  # codings that libsndfile does not read in a WAV, and FFmpeg does
    0x14: "G.723", 0x22: "TrueSpeech", 0x42: "G.723.1", 0x45: "G.726", 0x50: "MPEG audio (MP2)",
    0x57: "AMR", 0x58: "AMR-WB", 0x64: "G.726", 0x65: "G.722", 0x83: "G.729", 0xFF: "AAC",
    0x160: "Windows Media Audio", 0x161: "Windows Media Audio", 0x28F: "G.722", 0x1600: "AAC",
    0x1602: "AAC", 0x1610: "AAC", 0x2000: "AC-3", 0x2001: "DTS", 0x674F: "Vorbis", 0x704F: "Opus",
    0xA106: "AAC", 0xA109: "Speex", 0xF1AC: "FLAC",
}  # fmt: skip
EXTENSIBLE = 0xFFFE  # the format stands in an extension
LAW_TAGS = {6, 7}  # A-law and mu-law
PCM_TAGS = {1, 3, *LAW_TAGS, EXTENSIBLE}  # WAVE formats with a fixed number of bytes a sample


class Layout(NamedTuple):
    """What a ``fmt`` chunk says.

    Attributes:
        tag: number of the format.
        block: bytes of a block; of samples without compression, those of all channels.
        per_block: samples of a block by the header, or 0.
        coding: number of the format, that of the extension if there is one.
        channels: number of channels.
    """

    tag: int
    block: int
    per_block: int
    coding: int
    channels: int

    def encoding(self, order: str) -> Encoding | None:
        """Return how a sample is written; None if it is compressed."""
        width, rest = divmod(self.block, self.channels)
        if self.tag not in PCM_TAGS or rest:
            return None
        if self.coding in LAW_TAGS:
            return ENCODINGS["alaw" if self.coding == 6 else "mulaw"] if width == 1 else None
        if self.coding == 3:
            return Encoding(f"{order}f{width}") if width in (4, 8) else None
        if self.coding != 1 or width not in (1, 2, 3, 4):
            return None
        return ENCODINGS["u8"] if width == 1 else Encoding(f"{order}i{width}")


def check_wav(data: BoundedReader, start: int, magic: bytes) -> Header:
    """Walk the chunks of a RIFF, RIFX or RF64 file to its samples.

    Args:
        data: the file.
        start: position of the container in it.
        magic: its first four bytes.

    Raises:
        AudioError: if the file is damaged, cut off or was never finished.
    """
    order = ">" if magic == b"RIFX" else "<"
    layout = fact = long_size = long_at = None
    if magic == b"BW64":  # RF64 by another name (ITU-R BS.2088)
        magic = data.patches[start] = b"RF64"
    for name, content, size in chunks(data, start + 12, order):
        if name == b"ds64":
            long_at = content + 8
            long_size = data.unpack("<Q", long_at)[0]
        elif name == b"fmt ":
            layout = wave_format(data, content, size, order)
        elif name == b"fact" and size >= 4:
            fact = data.unpack(f"{order}I", content)[0]
        elif name == b"LIST" and layout and data.upto(content, 4) == b"wavl":
            encoding = layout.encoding(order)
            return read_wave_list(data, start, content, size, encoding, layout.block, order)
        elif name == b"data":
            break
    else:
        raise data.error(f"has no data chunk: the header is damaged or cut off; {COPY_AGAIN}")
    if layout is None:
        raise data.error(f"has no fmt chunk before its samples; {COPY_AGAIN}")
    foreign = _foreign(layout[0])
    if magic == b"RF64" and long_size is not None and size == 0xFFFFFFFF:
        size = long_size
    at_whole, at_size, form = start + 4, content - 4, f"{order}I"
    if magic == b"RF64" and long_at is not None and size in (0, long_size, *UNKNOWN_64):
        at_whole, at_size, form = long_at - 8, long_at, "<Q"
    if size in UNKNOWN_64 or (size in STREAMED and magic != b"RF64"):
        if content + size == data.size:  # a recording may happen to be as long as that
            return foreign or Header("WAV")
        data.contradictions.append(ENDLESS)
        end = _end_of_all(data, content, order)
        if end < data.size:
            data.patches[at_size] = struct.pack(form, end - content)
        return foreign or Header("WAV")
    if size == 0 and content < data.size and not is_chunk(data, content, order):
        # The recorder was ended before it could write the size.
        size = _end_of_all(data, content, order) - content
        data.mend(at_size, form, size, size)
    else:
        whole = start + 8 + data.unpack(form, at_whole)[0] - content
        size = _sound_size(data, content, size, whole, layout, (at_size, form, order))
        _check_after(data, content + size, layout.block, order)
    return wave_header(data, "WAV", layout, fact, size, content)


def _end_of_all(data: BoundedReader, content: int, order: str) -> int:
    """Return where samples end whose number is not known: before chunks of text or another WAV."""
    data.following = _next_wave(data, content)
    return _before_chunks(data, content, data.following or data.size, order)


def _sound_size(
    data: BoundedReader,
    content: int,
    size: int,
    whole: int,
    layout: Layout,
    number: tuple[int, str, str],
) -> int:
    """Return how many bytes of samples there are.

    Args:
        data: the file.
        content: position of the first sample.
        size: bytes of samples by the header.
        whole: bytes to the end of the container.
        layout: of the samples.
        number: position and layout of the number of bytes, and order of those of the file.
    """
    at_size, form, order = number
    after = content + size + size % 2
    if is_chunk(data, after, order) or _is_wave(data, after):
        return size
    if size + LEAST_FORGOTTEN <= whole <= data.size - content:
        whole = _before_chunks(data, after, content + whole, order) - content
        if _foreign(layout.tag):
            raise data.error(
                f"the header says {size} bytes of samples, and by the size of the whole "
                f"{whole}; convert it to WAV with the program that wrote it"
            )
        data.lengthen(at_size, form, size, whole, by="and by the size of the whole")
        return whole
    encoding = layout.encoding(order)
    if encoding is None or data.size - after < LEAST_FORGOTTEN:
        return size
    end = _before_chunks(data, after, _next_wave(data, after) or data.size, order)
    if not goes_on(data, content, content + size, end, encoding, layout.channels):
        return size
    data.lengthen(at_size, form, size, end - content)
    return end - content


def _before_chunks(data: BoundedReader, begin: int, end: int, order: str) -> int:
    """Return where the chunks of text begin that end at a position."""
    least = max(begin, end - TEXT_BYTES)
    text = data.upto(least, end - least)
    at = len(text)
    while (at := max(text.rfind(name, 0, at) for name in TEXT_CHUNKS)) >= 0:
        size = struct.unpack_from(f"{order}I", text.ljust(at + 8, b"\0"), at + 4)[0]
        if size + size % 2 + least + at + 8 == end:
            end, text = least + at, text[:at]
    return end


def _foreign(tag: int) -> Header | None:
    name = FOREIGN_TAGS.get(tag)
    return Header("", media=f"WAV of {name}") if name else None


def _is_wave(data: BoundedReader, position: int) -> bool:
    head = data.upto(position, 12)
    return head[:4] in WAVES and head[8:] == b"WAVE"


def _next_wave(data: BoundedReader, position: int) -> int | None:
    """Return where the next WAV begins."""
    while (found := data.find(WAVES, position)) is not None:
        if _is_wave(data, found):
            return found
        position = found + 4
    return None


def _check_after(data: BoundedReader, end: int, block: int, order: str) -> None:
    """Note bytes after the samples that are no chunk."""
    if end % 2:
        if data.upto(end, 1).strip(b"\0"):
            data.contradicts(
                "that the samples end at an odd byte",
                "but what follows is not the 0 of an even end",
            )
        end += 1
    for _ in range(MAX_CHUNKS):
        if _is_wave(data, end):
            data.following = end
            return
        if not is_chunk(data, end, order):
            break
        if data.upto(end, 4) == b"data":
            raise data.error(SECOND_SOUND)
        size = data.unpack(f"{order}I", end + 4)[0]
        end += 8 + size + size % 2
    if found := _next_wave(data, end):
        data.contradictions.append(f"{found - end} bytes at byte {end} are no sound")
        data.following = found
    else:
        data.check_end(end, block)


def wave_format(data: BoundedReader, content: int, size: int, order: str) -> Layout:
    """Read a ``fmt`` chunk.

    Args:
        data: the file.
        content: position of the content of the chunk.
        size: of the content.
        order: of bytes, ``"<"`` or ``">"``.

    Raises:
        AudioError: if no recording has what it says.
    """
    tag, channels, rate, rate_bytes, block = data.unpack(f"{order}HHIIH", content)
    if channels == 0:
        raise data.error("the header says 0 channels; convert it again from its source")
    if rate == 0:
        raise data.error("the header says 0 Hz; convert it again from its source")
    bits = data.unpack(f"{order}H", content + 14)[0] if size >= 16 else 0
    if tag == EXTENSIBLE and size >= 26:  # the coding stands in the extension
        coding = data.unpack(f"{order}H", content + 24)[0]
    else:
        coding = tag
    if tag in PCM_TAGS and size >= 16:
        width = channels * ((bits + 7) // 8)
        if block != width:
            data.contradicts(
                f"{channels} x {bits} bits a sample",
                f"but {block} and not {width} bytes",
            )
            # The decoder reads 24 bits in 4 bytes rightly, but not in the extended form.
            wide, rest = divmod(8 * block, channels)
            if coding == 1 and tag == EXTENSIBLE and rate_bytes == rate * block and not rest:
                if wide in (8, 16, 24, 32):
                    data.patches[content + 14] = struct.pack(f"{order}H", wide)
        if rate_bytes != rate * block:
            data.contradicts(
                f"{rate} Hz", f"but {rate_bytes} and not {rate * block} bytes a second"
            )
    if coding in LAW_TAGS and size >= 16 and bits != 8:
        raise data.error(
            f"the header says A-law or mu-law of {bits} bits, which does not exist; "
            "convert it again from its source"
        )
    per_block = 0
    if tag in BLOCK_TAGS and size >= 20:
        per_block = data.unpack(f"{order}H", content + 18)[0]
        expected = rate * block / max(1, per_block)
        if abs(rate_bytes - expected) > 0.05 * expected + 1:
            data.contradicts(
                f"{rate} Hz", f"but {rate_bytes} and not {expected:.0f} bytes a second"
            )
    return Layout(tag, max(block, 1), per_block, coding, channels)


def wave_header(
    data: BoundedReader,
    kind: str,
    layout: Layout,
    fact: int | None,
    size: int,
    content: int,
) -> Header:
    """Compare the size of the samples with the file.

    Args:
        data: the file.
        kind: of the container.
        layout: of the samples.
        fact: number of samples by the ``fact`` chunk.
        size: bytes of samples.
        content: position of the first.

    Raises:
        AudioError: if the file is cut off.
    """
    tag, block, per_block = layout.tag, layout.block, layout.per_block
    if tag in PCM_TAGS:
        data.compare(size, content, block)
        return Header(kind, size // block, surplus=ANY, shortfall=ANY if kind == "WAV" else 0)
    data.compare(size, content)
    if foreign := _foreign(tag):
        return foreign
    if tag in MPEG_TAGS:
        inside = BoundedReader(data.file, data.name, min(data.size, content + size))
        if (mp3 := joined_mp3(inside, content)) is not None:
            data.contradictions += inside.contradictions
            return mp3
        count, samples = count_mpeg_frames(data, content, content + size)
        # The decoder takes off the delay of the encoder and what pads the last frame.
        return Header(kind, count * samples or None, surplus=ANY, shortfall=4 * samples)
    if tag in BLOCK_TAGS and size % block:
        data.contradicts(
            f"{size} bytes of samples", f"which is no whole number of blocks of {block} bytes"
        )
    # Block codecs pad the last block. The fact chunk says how many samples are real, but is wrong
    # in many files. Some decoders add one block more (GSM 6.10).
    surplus = 2 * max(per_block, 320)
    most = -(-size // block) * per_block
    if fact and (not most or most - surplus <= fact <= most):
        return Header(kind, fact, surplus=surplus, shortfall=0 if most else ANY)
    halved = fact is not None and abs(2 * fact - most) < 2 * surplus  # stereo, by some programs
    if fact is not None and most and not halved and fact < LEAST_UNKNOWN:
        data.contradicts(f"{fact} samples", f"{most} are there")
    return Header(kind, most or None, surplus=ANY, shortfall=ANY)
