"""Text files of users: decoded, with every fault named by file and line."""

from __future__ import annotations

import codecs
import gzip
import zlib
from pathlib import Path

from speechattn.errors import CorpusError

_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_WAY_OUT = "save it as UTF-8"


def read_text(path: Path) -> str:
    r"""Read a file in UTF-8, with or without a byte order mark, or in UTF-16 with one.

    A file whose name ends in ``.gz`` is unpacked. Lines end in ``\n``, however they end there.

    Raises:
        CorpusError: if it cannot be read, or is in another encoding.
    """
    try:
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = gzip.decompress(data)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise CorpusError(f"{path}: not a whole gzip file ({error}); write it again") from None
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read ({error.strerror}); check the file") from None
    encoding, label = "utf-8-sig", "UTF-8"
    if data.startswith(_UTF_16):
        encoding, label = "utf-16", "UTF-16"
    elif b"\0" in data:
        line = data.count(b"\n", 0, data.index(b"\0")) + 1
        raise CorpusError(
            f"{path}:{line}: no text in UTF-8 but perhaps UTF-16 without a byte order mark; "
            f"{_WAY_OUT}"
        )
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        if label == "UTF-16":
            raise CorpusError(f"{path}: damaged UTF-16 at byte {error.start}; {_WAY_OUT}") from None
        line = data.count(b"\n", 0, error.start) + 1
        raise CorpusError(
            f"{path}:{line}: byte 0x{data[error.start]:02x} is not {label}, so the file is "
            f"perhaps in Latin-1; {_WAY_OUT}"
        ) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")
