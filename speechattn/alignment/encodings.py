"""Encodings of transcripts: UTF-8 or UTF-16 as the file says, or what the user names."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path

from speechattn.corpora.readers.textgrid import (
    BINARY,
    BYTE_ORDER_MARKS,
    TextGrid,
    read_textgrid,
)
from speechattn.decoder.lm.text_files import read_text
from speechattn.errors import CorpusError, UsageError


@dataclass(frozen=True)
class Encoding:
    """How texts are decoded.

    Attributes:
        name: of the encoding, as Python has it; None for UTF-8, or UTF-16 with a byte order mark.
            Files that begin with such a mark are read by it in any case.
        option: that names another one, for messages, with ``{}`` for the name; "" if there is none.

    Raises:
        UsageError: if there is no such encoding.
    """

    name: str | None = None
    option: str = ""

    def __post_init__(self) -> None:
        try:
            b"text".decode(self.name or "utf-8")
        except UnicodeDecodeError:
            pass  # there is one, of other bytes
        except (LookupError, ValueError):
            raise UsageError(
                f"{self._named(self.name)}: no such encoding; give one of Python's, such as "
                "latin-1, cp1252 or utf-16-le"
            ) from None

    def read(self, path: Path) -> str:
        r"""Read a text file, whose lines end in ``\n`` then.

        Raises:
            CorpusError: if it cannot be read or decoded.
        """
        data = None if self.name is None else _unpacked(path)
        if data is None or data.startswith(BYTE_ORDER_MARKS):
            try:
                return read_text(path)
            except CorpusError as error:
                raise self._with_way_out(error, path) from None
        return self._decoded(path, data).replace("\r\n", "\n").replace("\r", "\n")

    def read_grid(self, path: Path) -> TextGrid:
        """Read a TextGrid; binary ones say themselves how they are encoded.

        Raises:
            CorpusError: if it cannot be read or decoded, or is none.
        """
        if self.name is not None:
            return read_textgrid(path, self._decoded)
        try:
            return read_textgrid(path)
        except CorpusError as error:
            raise self._with_way_out(error, path) from None

    def _decoded(self, path: Path, data: bytes) -> str:
        try:
            return data.decode(self.name or "utf-8")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise CorpusError(
                f"{path}:{line}: byte 0x{data[error.start]:02x} is not {self.name}; the encoding "
                "is perhaps another one"
            ) from None

    def _with_way_out(self, error: CorpusError, path: Path) -> CorpusError:
        """The error, with the option that helps if the encoding is what is wrong."""
        other = _other_encoding(path) if self.option else None
        return CorpusError(f"{error}, or give {self._named(other)}") if other else error

    def _named(self, name: str | None) -> str:
        return (self.option or "encoding {}").format(name)


def _unpacked(path: Path) -> bytes | None:
    """What a file holds; None if it cannot be read, which the readers say."""
    try:
        data = path.read_bytes()
        return gzip.decompress(data) if path.suffix == ".gz" else data
    except (EOFError, OSError, zlib.error):
        return None


def _other_encoding(path: Path) -> str | None:
    """What a file is perhaps encoded in; None for what is known without its name."""
    data = _unpacked(path)
    if data is None or data.startswith((*BYTE_ORDER_MARKS, BINARY)):
        return None
    if b"\0" in data:
        return "utf-16-le"
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return "latin-1"
    return None
