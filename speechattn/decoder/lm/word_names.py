"""How the words of the decoder are written, and which of their pronunciations a dictionary lists.

The search itself knows words by their numbers. Names are unpacked when they are first asked for.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from speechattn.checks import checked_array, require, within

OWNER = "words"  # in messages
LONGEST_NAME = 100  # bytes, on average; more is no list of words


@dataclass(frozen=True, eq=False)
class WordNames:
    """The names of V words, in lower case.

    Attributes:
        packed: the names, a line each, in UTF-8, compressed by zlib; uint8.
        listed: how many of each word's first pronunciations are a dictionary's, at least 1, int32,
            shape (V,). Those after them are what was heard.

    Raises:
        ModelError: if a value is impossible.
    """

    packed: np.ndarray
    listed: np.ndarray

    def __post_init__(self) -> None:
        for name, highest in (("packed", 255), ("listed", 2**31 - 1)):
            values = checked_array(OWNER, name, getattr(self, name), None)
            within(OWNER, name, values, 0 if name == "packed" else 1, highest)
            object.__setattr__(self, name, values)
        object.__setattr__(self, "packed", self.packed.astype(np.uint8))

    def __getstate__(self) -> dict:
        """For pickling, without the names unpacked."""
        return {"packed": self.packed, "listed": self.listed}

    @classmethod
    def of(cls, names: Sequence[str], listed: Sequence[int] | np.ndarray) -> WordNames:
        """Pack names."""
        text = "\n".join(names).encode()
        packed = np.frombuffer(zlib.compress(text, 9), np.uint8)
        return cls(packed, np.asarray(listed))

    @functools.cached_property
    def names(self) -> tuple[str, ...]:
        """All names, by number.

        Raises:
            ModelError: if they cannot be unpacked, or are not one for each word.
        """
        number = len(self.listed)
        unpacker = zlib.decompressobj()
        try:
            text = unpacker.decompress(self.packed.tobytes(), LONGEST_NAME * number)
            names = tuple(text.decode().split("\n")) if unpacker.eof else ()
        except (zlib.error, UnicodeDecodeError):
            names = ()
        words = all(name and name.split() == [name] and name.isprintable() for name in names)
        require(OWNER, len(names) == number and words, f"their names are not {number} words")
        return names

    def tensors(self) -> dict[str, np.ndarray]:
        """As arrays for a file."""
        return {"packed": self.packed, "listed": self.listed.clip(max=255).astype(np.uint8)}
