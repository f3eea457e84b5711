"""WAV and its relatives: RIFF, RIFX (big-endian), RF64 and BW64 (64-bit sizes), Sony's Wave64.

The size of the ``data`` chunk is compared with the file, unless the program that wrote it did not
know the size and marked it so. For codecs with blocks the ``fact`` chunk tells how many samples of
the last block belong to the recording.
"""

from __future__ import annotations

import struct

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
from speechattn.audio.containers.mpeg import count_mpeg_frames

# "As long as the file": sizes that programs write into a header that they cannot complete.
STREAMED = {0xFFFFFFFF, 0xFFFFFFFF - 36, 0x7FFFFFFF, 0x7FFFFFFF - 36, 0x7FFFF000}
UNKNOWN_64 = {0xFFFFFFFFFFFFFFFF, 0x7FFFFFFFFFFFFFFF}

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
            layout = _wave_format(data, content, size, order)
        elif name == b"fact" and size >= 4:
            fact = data.unpack(f"{order}I", content)[0]
        elif name == b"data":
            break
    else:
        raise data.error(f"has no data chunk: the header is damaged or cut off; {COPY_AGAIN}")
    if layout is None:
        raise data.error(f"has no fmt chunk before its samples; {COPY_AGAIN}")
    foreign = _foreign(layout[0])
    if magic == b"RF64" and long_size is not None and size == 0xFFFFFFFF:
        size = long_size
    if size in UNKNOWN_64 or (size in STREAMED and magic != b"RF64"):
        if content + size != data.size:  # a recording may happen to be as long as that
            data.contradictions.append(ENDLESS)
        return foreign or Header("WAV")
    if size == 0 and content < data.size and not is_chunk(data, content, order):
        size = data.size - content  # the recorder was ended before it could write the size
        if long_at is not None and magic == b"RF64":
            data.mend(long_at, "<Q", size, size)
        else:
            data.mend(content - 4, f"{order}I", size, size)
    else:
        at_whole, at_size, form = start + 4, content - 4, f"{order}I"
        if magic == b"RF64" and long_at is not None and size == long_size:
            at_whole, at_size, form = long_at - 8, long_at, "<Q"
        whole = start + 8 + data.unpack(form, at_whole)[0] - content
        if _leaves_out(data, content, size, whole, order):
            if foreign:
                raise data.error(
                    f"the header says {size} bytes of samples, and by the size of the whole "
                    f"{whole}; convert it to WAV with the program that wrote it"
                )
            _lengthen(data, at_size, form, whole, size, whole)
            size = whole
        _check_after(data, content + size, layout[1], order)
    return _wave_header(data, "WAV", layout, fact, size, content)


def _foreign(tag: int) -> Header | None:
    name = FOREIGN_TAGS.get(tag)
    return Header("", media=f"WAV of {name}") if name else None


def _leaves_out(data: BoundedReader, content: int, size: int, whole: int, order: str) -> bool:
    """Whether a size of samples is wrong, and that up to the end of the container is right."""
    after = content + size + size % 2
    if size + LEAST_FORGOTTEN > whole or content + whole > data.size:
        return False
    return not (is_chunk(data, after, order) or _is_wave(data, after))


def _lengthen(
    data: BoundedReader, position: int, layout: str, value: int, said: int, there: int
) -> None:
    """Correct a size at a position, where ``said`` bytes of samples leave out some of ``there``."""
    data.patches[position] = struct.pack(layout, value)
    data.contradicts(
        f"{said} bytes of samples", f"and by the size of the whole {there}; all are read"
    )


def _is_wave(data: BoundedReader, position: int) -> bool:
    head = data.upto(position, 12)
    return head[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64") and head[8:] == b"WAVE"


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
    data.check_end(end, block)


def _wave_format(data: BoundedReader, content: int, size: int, order: str) -> tuple[int, int, int]:
    """Return format tag, bytes a block and samples a block (or 0) of a ``fmt`` chunk."""
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
    return tag, max(block, 1), per_block


def _wave_header(
    data: BoundedReader,
    kind: str,
    layout: tuple[int, int, int],
    fact: int | None,
    size: int,
    content: int,
) -> Header:
    tag, block, per_block = layout
    if tag in PCM_TAGS:
        data.compare(size, content, block)
        return Header(kind, size // block, surplus=ANY, shortfall=ANY if kind == "WAV" else 0)
    data.compare(size, content)
    if foreign := _foreign(tag):
        return foreign
    if tag in MPEG_TAGS:
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


def check_w64(data: BoundedReader, start: int) -> Header:
    """Check a Sony Wave64: 16-byte names, 64-bit sizes that include the 24 bytes of both.

    Args:
        data: the file.
        start: position of the container in it.

    Raises:
        AudioError: if the file is damaged, cut off or was never finished.
    """
    position, layout, fact = start + 40, None, None
    for _ in range(MAX_CHUNKS):
        if position + 24 > data.size:
            break
        name, size = data.unpack("<4s12xQ", position)
        if size < 24:
            if name != b"data" or size or layout is None or data.size <= position + 24:
                break
            size = data.size - position
            data.mend(position + 16, "<Q", size, size - 24)
        if name == b"fmt ":
            layout = _wave_format(data, position + 24, min(size - 24, 64), "<")
        elif name == b"fact":
            fact = data.unpack("<Q", position + 24)[0]
        elif name == b"data" and layout is not None:
            if size == 24 and data.size >= position + 24 + layout[1]:
                data.mend(position + 16, "<Q", data.size - position, data.size - position - 24)
                size = data.size - position
            whole = start + data.unpack("<Q", start + 16)[0] - position
            if size + LEAST_FORGOTTEN < whole <= data.size - position and not _is_w64_chunk(
                data, position + size + -size % 8
            ):
                _lengthen(data, position + 16, "<Q", whole, size - 24, whole - 24)
                size = whole
            _check_after_w64(data, position + size, layout[1])
            return _wave_header(data, "W64", layout, fact, size - 24, position + 24)
        position += size + -size % 8
    raise data.error(f"has no data chunk: the header is damaged or cut off; {COPY_AGAIN}")


def _is_w64_chunk(data: BoundedReader, position: int) -> bool:
    """Whether a plausible chunk begins at a position, rather than samples."""
    if position + 24 > data.size:
        return False
    name, size = data.unpack("<4s12xQ", position)
    return all(32 <= byte < 127 for byte in name) and 24 <= size <= data.size - position


def _check_after_w64(data: BoundedReader, end: int, block: int) -> None:
    """Note bytes after the samples that are no chunk; chunks begin at multiples of 8."""
    for _ in range(MAX_CHUNKS):
        begin = end + -end % 8
        if begin + 24 > data.size:
            break
        name, size = data.unpack("<4s12xQ", begin)
        if name == b"riff":
            data.following = begin
            return
        if not _is_w64_chunk(data, begin):
            break
        end = begin + size
    else:
        return
    padding = data.upto(end, -end % 8)
    data.check_end(end if padding.strip(b"\0") else end + len(padding), block)
