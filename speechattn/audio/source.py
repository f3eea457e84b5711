"""What a caller may name a sound file by: a path of any kind, or an open binary file.

An open file is copied from its position to its end into a temporary file, because checks and
decoding read a file more than once. It stays open, and its position is put back where it was.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import IO, Any, TypeAlias

from speechattn.errors import EMPTY, MISSING, NO_ACCESS, AudioError
from speechattn.text import one_line

# A path, or an open binary file such as io.BytesIO.
AudioSource: TypeAlias = "str | bytes | os.PathLike[str] | os.PathLike[bytes] | IO[bytes]"

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+(://|::)")
_LONGEST_NAME = 100  # characters of the name of a copy
_IN_MEMORY = "open it with io.BytesIO and give that"


def is_path(value: object) -> bool:
    """Whether a value is the path of a file: text, bytes or any ``os.PathLike``."""
    return isinstance(value, (str, bytes, os.PathLike))


def is_open_file(value: object) -> bool:
    """Whether a value can be read as a file, and is no array or tensor."""
    return callable(getattr(value, "read", None)) and not hasattr(value, "__array__")


def is_audio_source(value: object) -> bool:
    """Whether a value stands for a sound file, and not for samples."""
    return is_path(value) or is_open_file(value) or isinstance(value, (bytearray, memoryview))


class LocalSource:
    """A sound file on this machine, under a path.

    Args:
        source: a path or an open binary file.

    Attributes:
        path: of the file, or of the copy of an open file.
        name: for messages.

    Raises:
        AudioError: if it is neither, is a URL, or cannot be read.
    """

    def __init__(self, source: AudioSource) -> None:
        self._folder: tempfile.TemporaryDirectory | None = None
        if is_open_file(source):
            self._copy(source)
            return
        if isinstance(source, (bytearray, memoryview)) or _is_content(source):
            raise AudioError(f"audio: bytes are taken for a path; if they are sound, {_IN_MEMORY}")
        if not is_path(source):
            raise AudioError(f"audio: {type(source).__name__} is no path and no open file")
        text = os.fsdecode(source)  # type: ignore[arg-type]  # an open file was copied above
        self.path, self.name = Path(text), one_line(text)
        if _URL.match(text) and not os.path.lexists(text):
            raise AudioError(
                f"{self.name}: a URL; give it to transcribe_folder or to `speechattn transcribe` "
                "(extra fsspec), or give the open file: `with fsspec.open(url) as file:`",
                MISSING,
            )

    def __str__(self) -> str:
        return self.name

    def _copy(self, file: Any) -> None:
        named: Any = getattr(file, "name", None)
        given = os.fsdecode(named) if is_path(named) else ""
        self.name = one_line(given) or "open file"
        try:
            start = file.tell()
        except (OSError, ValueError, AttributeError):
            start = None  # a pipe or a socket
        self._folder = tempfile.TemporaryDirectory(prefix="speechattn-")
        self.path = Path(self._folder.name, Path(given).name[-_LONGEST_NAME:] or "sound")
        try:
            with self.path.open("wb") as copy:
                shutil.copyfileobj(file, copy)
        except TypeError:
            self.close()
            message = f"{self.name}: gives no bytes when it is read; open it with mode 'rb'"
            raise AudioError(message) from None
        except (OSError, ValueError) as error:
            self.close()
            message = f"{self.name}: cannot be read ({error}); open it for reading, mode 'rb'"
            raise AudioError(message, NO_ACCESS) from None
        finally:
            if start is not None:
                with contextlib.suppress(OSError, ValueError):
                    file.seek(start)
        if start and self.path.stat().st_size == 0:
            self.close()
            raise AudioError(f"{self.name}: stands at its end; call seek(0) first", EMPTY)

    @property
    def is_copy(self) -> bool:
        """Whether ``path`` is that of a copy."""
        return self._folder is not None

    def close(self) -> None:
        """Remove the copy of an open file."""
        if self._folder is not None:
            self._folder.cleanup()


def _is_content(value: object) -> bool:
    """Whether bytes are the content of a file rather than its path."""
    return isinstance(value, bytes) and (b"\0" in value or len(value) > 4 * io.DEFAULT_BUFFER_SIZE)
