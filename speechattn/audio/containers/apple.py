"""AIFF and Core Audio files, of Apple: big-endian chunks.

The header says the number of samples or of packets besides the size of the chunk, so that each can
be held against the other.
"""

from __future__ import annotations

import struct

from speechattn.audio.containers.adpcm import IMA_BYTES, ima_channels
from speechattn.audio.containers.base import (
    ANY,
    COPY_AGAIN,
    LEAST_FORGOTTEN,
    MAX_CHUNKS,
    SECOND_SOUND,
    BoundedReader,
    Header,
    chunks,
    is_chunk,
)
from speechattn.audio.containers.likeness import all_goes_on
from speechattn.audio.encodings import ENCODINGS, Encoding

_AIFF_WIDTHS = {  # bytes of a sample by coding, where it is not that of the bits in the header
    b"raw ": 1, b"ulaw": 1, b"alaw": 1, b"ULAW": 1, b"ALAW": 1, b"fl32": 4, b"FL32": 4,
    b"fl64": 8, b"FL64": 8, b"in24": 3, b"in32": 4, b"42ni": 3, b"23ni": 4,
}  # fmt: skip
_AIFF_PCM = (b"NONE", b"sowt", b"twos")
_AIFF_PACKETS = {b"GSM ": (33, 160), b"agsm": (33, 160)}  # bytes and samples of a packet
_IMA_SEEN = 128  # packets that are compared with the number of channels
_CAF_PCM = (b"lpcm", b"ulaw", b"alaw")
_CAF_UNKNOWN = -1  # size of a chunk that lasts to the end of the file


def check_aiff(data: BoundedReader, start: int) -> Header:
    """Check an AIFF or AIFF-C file.

    Args:
        data: the file.
        start: position of the container in it.

    Raises:
        AudioError: if the file is damaged or cut off.
    """
    channels, frames, bits, coding, common, content_of_sound = 0, 0, 0, b"NONE", 0, 0
    sound: tuple[int, int] | None = None
    for name, content, size in chunks(data, start + 12, ">"):
        if name == b"COMM":
            common = content
            channels, frames, bits = data.unpack(">HIH", content)
            coding = data.exactly(content + 18, 4) if size >= 22 else b"NONE"
            if channels == 0:
                raise data.error("the header says 0 channels; convert it again from its source")
        elif name == b"SSND":
            if sound is not None:
                raise data.error(SECOND_SOUND)
            offset, content_of_sound = data.unpack(">I", content)[0], content
            if size in (0, 8) and data.size > content + 8 and not is_chunk(data, content + 8, ">"):
                size = data.size - content
                data.mend(content - 4, ">I", size, size - 8)
                data.patches[start + 4] = struct.pack(">I", min(data.size - start - 8, 0xFFFFFFFF))
                sound = content + 8 + offset, size - 8 - offset
                break
            sound = content + 8 + offset, size - 8 - offset
    if sound is None:
        raise data.error(f"has no SSND chunk: the header is damaged or cut off; {COPY_AGAIN}")
    if channels == 0:
        raise data.error(f"has no COMM chunk: the header is damaged or cut off; {COPY_AGAIN}")
    width = _AIFF_WIDTHS.get(coding, (bits + 7) // 8 if coding in _AIFF_PCM else 0)
    block = channels * max(1, width) if width else 1
    if sound[1] < 0 or sound[0] > data.size:
        raise data.error(f"an SSND chunk whose samples begin at byte {sound[0]}; {COPY_AGAIN}")
    data.compare(sound[1], sound[0], block)
    there = sound[1] // block if width else 0
    lacking = frames * block - sound[1] if width else 0
    form = start + 8 + data.unpack(">I", start + 4)[0]
    if lacking > LEAST_FORGOTTEN and sound[0] + frames * block <= min(form, data.size):
        after = sound[0] + sound[1] + sound[1] % 2
        if not is_chunk(data, after, ">"):
            data.contradicts(f"{sound[1]} bytes of samples", f"and {frames} samples; all are read")
            whole = sound[0] - content_of_sound + frames * block
            data.patches[content_of_sound - 4] = struct.pack(">I", whole)
            there = frames
    after = sound[0] + sound[1] + sound[1] % 2
    if (
        width
        and frames == there
        and content_of_sound - 4 not in data.patches
        and after + LEAST_FORGOTTEN <= form <= data.size
        and not is_chunk(data, after, ">")
    ):
        whole = form - sound[0]
        data.contradicts(
            f"{sound[1]} bytes of samples", f"and by the size of the whole {whole}; all are read"
        )
        data.patches[content_of_sound - 4] = struct.pack(">I", form - content_of_sound)
        frames = there = whole // block
        data.patches[common + 2] = struct.pack(">I", frames)
    if coding in _AIFF_PACKETS:
        size, samples = _AIFF_PACKETS[coding]
        there = sound[1] // (size * channels) * samples
        if not there - samples < frames <= there:
            data.contradicts(f"{frames} samples", f"{there} are there")
            data.patches[common + 2] = struct.pack(">I", there)
    elif coding == b"ima4":  # counts packets or samples
        there = sound[1] // (IMA_BYTES * channels)
        each = there // channels  # as libsndfile counts them
        if frames not in (there, there + 1, each, each + 1) and not 0 <= 64 * there - frames < 64:
            data.contradicts(f"{frames} packets", f"{there} are there")
        if real := ima_channels(
            data.upto(sound[0], min(sound[1], _IMA_SEEN * IMA_BYTES)), channels
        ):
            data.contradicts(f"{channels} channels", f"the packets are those of {real}")
            data.patches[common] = struct.pack(">H", real)
        rest = sound[0] + sound[1] + sound[1] % 2
        if data.size - rest >= IMA_BYTES * channels and not is_chunk(data, rest, ">"):
            data.contradicts(
                f"{sound[1]} bytes of samples", f"{data.size - sound[0]} follow; all are read"
            )
            data.patches[content_of_sound - 4] = struct.pack(">I", data.size - content_of_sound)
    elif width and frames != there:
        data.contradicts(f"{frames} samples", f"{there} are there")
        data.patches[common + 2] = struct.pack(">I", there)
    if start + 4 not in data.patches:
        data.check_end(form, block)
    return Header("AIFF")


def check_caf(data: BoundedReader, start: int) -> Header:
    """Check a Core Audio file, whose chunks have sizes of 64 bits.

    Args:
        data: the file.
        start: position of the container in it.

    Raises:
        AudioError: if the file is damaged or cut off.
    """
    position, block = start + 8, 1
    packets: tuple[int, ...] = ()
    frames_a_packet, sound, channels = 0, None, 1
    encoding: Encoding | None = None
    for _ in range(MAX_CHUNKS):
        if position + 12 > data.size:
            break
        name, size = data.unpack(">4sq", position)
        begin = position + 12
        if name == b"desc":
            coding, flags, packet, frames_a_packet, channels, bits = data.unpack(">4s5I", begin + 8)
            if coding in _CAF_PCM:
                encoding = _caf_encoding(coding, flags, (bits + 7) // 8)
                block = channels * ((bits + 7) // 8)
                if packet != block or frames_a_packet != 1:
                    data.contradicts(
                        f"{channels} x {bits} bits a sample",
                        f"but packets of {packet} and not {block} bytes",
                    )
        elif name == b"pakt":
            packets = data.unpack(">qqii", begin)
        elif name == b"data":
            if sound is not None:
                raise data.error(SECOND_SOUND)
            unknown = size == _CAF_UNKNOWN or (size in (0, 4) and data.size > begin + 4)
            if unknown and (size < 0 or not _is_caf_chunk(data, begin + size)):
                size = data.size - begin
                data.mend(position + 4, ">q", size, size - 4)
            data.compare(size, begin)
            if (
                size >= 4
                and not _is_caf_chunk(data, begin + size)
                and all_goes_on(data, begin + 4, begin + size, encoding, channels)
            ):
                data.lengthen(position + 4, ">q", size - 4, data.size - begin - 4, head=4)
                size = data.size - begin
            sound = begin + size
        elif not all(32 <= byte < 127 for byte in name):
            break
        if size < 0 or begin + size > data.size:
            break
        position = begin + size
        if name == b"data" and size % 2 and data.upto(position, 1) == b"\0":
            position += 1  # some programs let all chunks begin at an even byte
    if sound is None:
        raise data.error(f"has no data chunk: the header is damaged or cut off; {COPY_AGAIN}")
    data.check_end(position, max(1, block))
    if packets and frames_a_packet:
        count, valid, priming, remainder = packets
        there = count * frames_a_packet - priming - remainder
        if valid != there:
            raise data.error(
                f"the header says {valid} samples, its packets hold {there}; convert it again "
                "from its source"
            )
        return Header("CAF", valid, surplus=ANY)
    return Header("CAF")


def _caf_encoding(coding: bytes, flags: int, width: int) -> Encoding | None:
    """Return how a sample is written; the lowest bits of the flags are float and little-endian."""
    if coding != b"lpcm":
        return ENCODINGS[coding.decode().replace("ulaw", "mulaw")]
    kinds, order = ("f", (4, 8)) if flags & 1 else ("i", (1, 2, 3, 4)), "<" if flags & 2 else ">"
    return Encoding(f"{order}{kinds[0]}{width}") if width in kinds[1] else None


def _is_caf_chunk(data: BoundedReader, position: int) -> bool:
    head = data.upto(position, 12)
    if len(head) < 12:
        return False
    name, size = struct.unpack(">4sq", head)
    return all(32 <= byte < 127 for byte in name) and 0 <= size <= data.size - position - 12
