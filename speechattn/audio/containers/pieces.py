"""A sound file as it should have been: stretches of a file with other bytes between them.

A header whose recorder crashed, or a file of several recordings, is read as if it had been written
right. Nothing is copied and the file is not changed.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

# What a decoder reads, in order: bytes, or a stretch of the file from one position to another.
Pieces: TypeAlias = "tuple[bytes | tuple[int, int], ...]"


def patched(
    size: int, patches: dict[int, bytes], start: int = 0, pads: Iterable[int] = ()
) -> Pieces:
    """Return a file in which some bytes are others.

    Args:
        size: of the file, bytes; where its last stretch ends.
        patches: bytes by the position of the first of them.
        start: position of the first byte.
        pads: positions before which a 0 is added.
    """
    changes = [(at, len(new), new) for at, new in patches.items()]
    changes += [(at, 0, b"\0") for at in pads]
    pieces: list[bytes | tuple[int, int]] = []
    position = start
    for at, length, new in sorted(changes):
        pieces += [(position, at), new]
        position = at + length
    return (*pieces, (position, size))


class PiecedFile(io.RawIOBase):
    """Reads pieces as one file.

    Args:
        path: of the file that stretches are of.
        pieces: in order.
    """

    def __init__(self, path: Path, pieces: Pieces) -> None:
        super().__init__()
        self._file = path.open("rb")
        self._pieces: list[tuple[int, bytes | int, int]] = []  # position, content or offset, size
        end = 0
        for piece in pieces:
            size = len(piece) if isinstance(piece, bytes) else piece[1] - piece[0]
            self._pieces.append((end, piece if isinstance(piece, bytes) else piece[0], size))
            end += size
        self._size, self._position = end, 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position; see :meth:`io.IOBase.seek`."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: object) -> int:
        """Read into a buffer; see :meth:`io.RawIOBase.readinto`."""
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        done = 0
        for begin, content, size in self._pieces:
            inside = self._position - begin
            if not 0 <= inside < size or done == len(view):
                continue
            count = min(size - inside, len(view) - done)
            if isinstance(content, bytes):
                data = content[inside : inside + count]
            else:
                self._file.seek(content + inside)
                data = self._file.read(count)
            view[done : done + len(data)] = data
            done += len(data)
            self._position += len(data)
            if len(data) < count:  # the file has been cut meanwhile
                break
        return done

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()
