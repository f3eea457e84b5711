"""Reading the header of a sound file without trusting it.

Used by the modules for each container: small bounded reads that fail at the end of the file, the
comparison of a promised size with the file, and the walk through the chunks of IFF files.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from speechattn.audio.containers.pieces import Pieces
from speechattn.errors import DAMAGED, TRUNCATED, AudioError
from speechattn.text import one_line

MAX_CHUNKS = 10_000  # chunks walked through before a file is called damaged
LEAST_RECORDING = 24  # bytes of the shortest header
LEAST_FORGOTTEN = 4096  # bytes of samples that a wrong size leaves out; fewer may be anything
SEARCHED_BYTES = 1 << 20  # of a file at a time
ANY = 1 << 62  # more samples than any file
COPY_AGAIN = "copy or download it again"
SECOND_SOUND = (
    "samples stand in several chunks, of which only the first would be heard; convert it to WAV "
    "with the program that wrote it"
)
NAMES = {b"fmt ", b"fact", b"data", b"LIST", b"COMM", b"SSND"}  # chunks of any recording
GO_ON = "samples of the same kind go on to"
ENDLESS = "the header does not say how long it is: if it was cut off, nothing tells"


@dataclass(frozen=True)
class Header:
    """What a container says about its samples.

    Attributes:
        kind: container, such as ``"WAV"``; ``""`` if it is no known container.
        frames: samples per channel; None where only the decoder knows.
        surplus: how many samples more than ``frames`` the decoder may promise; if it promises even
            more, ``frames`` is not trusted.
        shortfall: how many samples fewer than ``frames`` the decoder may promise.
        contradictions: between the header and the file, each a part of a sentence. The samples can
            be read all the same.
        media: name of a container that libsndfile does not read and FFmpeg does.
        parts: what is decoded, one after the other; empty for the file as it is.
    """

    kind: str
    frames: int | None = None
    surplus: int = 0
    shortfall: int = 0
    contradictions: tuple[str, ...] = ()
    parts: tuple[Pieces, ...] = ()
    media: str = ""


class BoundedReader:
    """Reads a file and fails where it ends too soon.

    Args:
        file: open for reading.
        name: of the file, for messages.
        size: of the file, bytes.

    Attributes:
        contradictions: found so far; see :class:`Header`.
        patches: bytes of the header as they should be, by the position of the first.
        pads: positions before which a 0 is missing.
        begin: where the recording begins that is checked.
        following: where another one begins that was found after it.
    """

    def __init__(self, file: BinaryIO, name: str, size: int) -> None:
        self.file, self.name, self.size = file, name, size
        self.contradictions: list[str] = []
        self.patches: dict[int, bytes] = {}
        self.pads: list[int] = []
        self.begin = 0
        self.following: int | None = None

    def contradicts(self, header: str, actual: str) -> None:
        """Note that the header says one thing and the file holds another."""
        self.contradictions.append(f"the header says {header}, {actual}")

    def another_begins(self, position: int) -> bool:
        """Whether another recording, a container of the same kind, begins at a position."""
        same = self.upto(position, 4) == self.upto(self.begin, 4)
        return same and self.size - position >= LEAST_RECORDING

    def check_end(self, end: int, least: int = 1) -> None:
        """Note bytes after the end that the header promises, if there are ``least`` or more.

        Another recording that begins there is noted as such.
        """
        surplus = self.size - end
        if self.another_begins(end):
            self.following = end
        elif surplus >= max(1, least):
            self.contradictions.append(
                f"{surplus} bytes follow what the header counts; if they are sound, it is left out"
            )

    def upto(self, position: int, count: int) -> bytes:
        """Read at most ``count`` bytes, fewer at the end of the file."""
        if position > self.size:  # perhaps further than any file reaches
            return b""
        self.file.seek(position)
        return self.file.read(count)

    def find(self, marks: Sequence[bytes], position: int) -> int | None:
        """Return where the first of some bytes stand from a position on; None if they do not."""
        longest = max(map(len, marks))
        while len(stretch := self.upto(position, SEARCHED_BYTES)) >= longest:
            found = [at for mark in marks if (at := stretch.find(mark)) >= 0]
            if found:
                return position + min(found)
            position += len(stretch) - longest + 1
        return None

    def exactly(self, position: int, count: int) -> bytes:
        """Read ``count`` bytes.

        Raises:
            AudioError: if the file ends before.
        """
        data = self.upto(position, count)
        if len(data) < count:
            raise self.error(
                f"cut off inside the header at byte {self.size}; {COPY_AGAIN}", TRUNCATED
            )
        return data

    def unpack(self, layout: str, position: int) -> tuple:
        """Read numbers at a position; see :func:`struct.unpack`."""
        return struct.unpack(layout, self.exactly(position, struct.calcsize(layout)))

    def error(self, problem: str, kind: str = DAMAGED) -> AudioError:
        """Return an error that names the file; ``kind`` is one of :mod:`~speechattn.errors`."""
        return AudioError(f"{self.name}: {problem}", kind)

    def mend(self, position: int, layout: str, value: int, present: int) -> None:
        """Complete a header that was written before the samples and never after them.

        Args:
            position: of the number that says how many bytes of samples there are.
            layout: of that number; see :func:`struct.pack`.
            value: that it should have.
            present: bytes of samples in the file.
        """
        largest = (1 << 8 * struct.calcsize(layout)) - 1
        self.patches[position] = struct.pack(layout, min(value, largest))
        self.contradicts("0 bytes of samples", f"{present} follow; all are read")

    def lengthen(
        self, position: int, layout: str, said: int, there: int, *, head: int = 0, by: str = GO_ON
    ) -> None:
        """Correct a size that leaves out samples.

        Args:
            position: of the number that says how many bytes of samples there are.
            layout: of that number; see :func:`struct.pack`.
            said: bytes of samples by the header.
            there: bytes of samples that are there.
            head: bytes more that the number counts.
            by: how that is known.
        """
        largest = (1 << 8 * struct.calcsize(layout)) - 1
        self.patches[position] = struct.pack(layout, min(there + head, largest))
        self.contradicts(f"{said} bytes of samples", f"{by} {there}; all are read")

    def compare(self, declared: int, begin: int, block: int = 1) -> None:
        """Raise if fewer whole blocks follow ``begin`` than ``declared`` bytes would hold.

        Args:
            declared: bytes of samples that the header promises.
            begin: position of the first of them.
            block: bytes that only count together.

        Raises:
            AudioError: if the file is cut off.
        """
        present = max(0, self.size - begin)
        if declared // block > present // block:
            raise self.error(
                f"cut off: the header promises {declared} bytes of samples, the file holds "
                f"{present}; {COPY_AGAIN}",
                TRUNCATED,
            )
        if declared > present:
            self.contradicts(f"{declared} bytes of samples", f"the file holds {present}")
        elif declared % block and (declared % 2 or (declared - 1) % block):  # a byte may pad it
            self.contradicts(
                f"{declared} bytes of samples", f"which is no whole number of {block} bytes"
            )


def chunks(data: BoundedReader, position: int, order: str) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, position of the content and size of IFF chunks, which begin at even offsets.

    Some programs do not fill a chunk of an odd size up.
    """
    for _ in range(MAX_CHUNKS):
        if position + 8 > data.size:
            return
        name, size = data.unpack(f"{order}4sI", position)
        yield name, position + 8, size
        position += 8 + size
        if size % 2:
            here, next_ = data.upto(position, 4), data.upto(position + 1, 4)
            if here in NAMES and next_ not in NAMES:
                data.pads.append(position)
                data.contradictions.append(
                    f"the {one_line(name.decode('latin-1'))} chunk has {size} bytes and is not "
                    "filled up to an even number"
                )
            else:
                position += 1
    raise data.error(f"more than {MAX_CHUNKS} chunks before the samples; {COPY_AGAIN}")


def is_chunk(data: BoundedReader, position: int, order: str) -> bool:
    """Whether a plausible chunk begins at a position, rather than samples."""
    head = data.upto(position, 8)
    if len(head) < 8:
        return False
    name, size = struct.unpack(f"{order}4sI", head)
    return all(32 <= byte < 127 for byte in name) and position + 8 + size <= data.size
