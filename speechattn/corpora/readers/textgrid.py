"""Praat's TextGrids: long, short and binary, in UTF-8 or UTF-16.

Both text forms hold the same values in the same order, as Praat reads them: numbers that stand
free, texts in double quotes and flags in angle brackets; everything else is decoration. One reader
of values therefore serves both.
"""

from __future__ import annotations

import codecs
import os
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from speechattn.errors import CorpusError

TOLERANCE = 1e-4  # seconds by which times that mean the same may differ
BINARY = b"ooBinaryFile"
BYTE_ORDER_MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_VALUE = re.compile(
    r'"(?P<text>(?:[^"]|"")*)"'
    r"|(?P<comment>![^\n]*)"
    r"|(?P<flag><[^>\s]*>)"
    r"|(?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)(?=\s|$)"
    r"|(?P<other>[^\s\"]+)"
)


class Interval(NamedTuple):
    """A label and its stretch of time, as a file gives them.

    Attributes:
        label: text, without the space around it.
        start, end: seconds.
        line: of the file; 0 in a binary one.
    """

    label: str
    start: float
    end: float
    line: int


@dataclass(frozen=True)
class Tier:
    """A tier of intervals, or of points, whose intervals have no length."""

    name: str
    intervals: tuple[Interval, ...]
    points: bool = False


@dataclass(frozen=True)
class TextGrid:
    """What a TextGrid holds.

    Attributes:
        path: of the file.
        start, end: seconds.
        tiers: in the order of the file.
        gaps: one line for each stretch that an interval tier leaves out.
    """

    path: Path
    start: float
    end: float
    tiers: tuple[Tier, ...]
    gaps: tuple[str, ...] = ()

    def tier(self, name: str) -> Tier | None:
        """The first tier of this name, in either case; None without one."""
        wanted = name.casefold()
        return next((tier for tier in self.tiers if tier.name.casefold() == wanted), None)


def read_textgrid(path: str | Path, decode: Callable[[Path, bytes], str] | None = None) -> TextGrid:
    """Read a TextGrid of any form.

    Args:
        path: of the file.
        decode: returns the text of files that neither are binary nor have a byte order mark; None
            for UTF-8.

    Raises:
        CorpusError: if the file cannot be read or decoded, is no TextGrid, ends early, or has
            intervals that overlap or have no length. The message names file and line.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read ({error.strerror}); check the file") from None
    if data.startswith(BINARY):
        return _read_grid(path, _BinaryValues(path, data))
    marked = data.startswith(BYTE_ORDER_MARKS)
    text = _decode(path, data) if marked or decode is None else decode(path, data)
    return _read_grid(path, _TextValues(path, text))


def _decode(path: Path, data: bytes) -> str:
    """The text of a file in UTF-8, or in UTF-16 with a byte order mark."""
    way_out = "in Praat choose UTF-8 under Text writing preferences and save it again"
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        try:
            return data.decode("utf-16")
        except UnicodeDecodeError as error:
            raise CorpusError(f"{path}: damaged UTF-16 at byte {error.start}; {way_out}") from None
    if b"\0" in data[:200]:
        raise CorpusError(f"{path}:1: UTF-16 without a byte order mark; {way_out}")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise CorpusError(
            f"{path}:{line}: byte 0x{data[error.start]:02x} is not UTF-8, so the file is perhaps "
            f"in Latin-1; {way_out}"
        ) from None


class _TextValues:
    """The values of a text file, one after the other."""

    def __init__(self, path: Path, text: str) -> None:
        # A lone carriage return ended lines on old Macs.
        self._text = text.replace("\r\n", "\n").replace("\r", "\n")
        self._path = path
        self._line, self._counted = 1, 0
        self._values = self._scan()
        if self.text() != "ooTextFile" or self.text() != "TextGrid":
            raise CorpusError(f"{path}:1: no TextGrid; give a file that Praat saved as one")

    def _scan(self) -> Iterator[tuple[str, str]]:
        for match in _VALUE.finditer(self._text):
            kind = match.lastgroup
            if kind is None or kind in ("comment", "other"):
                continue
            self._line += self._text.count("\n", self._counted, match.start())
            self._counted = match.start()
            yield kind, match[kind]

    @property
    def line(self) -> int:
        """Line of the value read last."""
        return self._line

    def _next(self, kind: str, what: str) -> str:
        found, value = next(self._values, ("end", "the end of the file"))
        if found != kind:
            raise CorpusError(
                f"{self._path}:{self._line}: {value[:40]!r} where {what} should be; the file is "
                "cut off or damaged: save it again"
            )
        return value

    def number(self) -> float:
        """A number."""
        return float(self._next("number", "a number"))

    def count(self) -> int:
        """A number of things."""
        number = self.number()
        if not 0 <= number < 1e9:
            raise CorpusError(f"{self._path}:{self._line}: {number:g} is no number of intervals")
        return int(number)

    def text(self) -> str:
        """A text; two double quotes in it stand for one."""
        return self._next("text", "a text in quotes").replace('""', '"')

    name = text  # of a class

    def exists(self) -> bool:
        """Whether there are any tiers."""
        return self._next("flag", "<exists>") == "<exists>"


class _BinaryValues:
    """The values of a binary file, one after the other, numbers with the highest byte first."""

    line = 0

    def __init__(self, path: Path, data: bytes) -> None:
        self._path, self._data, self._at = path, data, len(BINARY)
        if self.name() != "TextGrid":
            raise CorpusError(f"{path}: no TextGrid; give a file that Praat saved as one")

    def _take(self, size: int) -> bytes:
        if size < 0 or self._at + size > len(self._data):
            raise CorpusError(
                f"{self._path}: ends at byte {len(self._data)}, before its last tier; the file is "
                "cut off or damaged: save it again"
            )
        self._at += size
        return self._data[self._at - size : self._at]

    def number(self) -> float:
        """A number of 64 bits."""
        return struct.unpack(">d", self._take(8))[0]

    def count(self) -> int:
        """A number of things, 32 bits."""
        return struct.unpack(">i", self._take(4))[0]

    def name(self) -> str:
        """The name of a class: a byte says how long it is."""
        return self._take(self._take(1)[0]).decode("latin-1")

    def text(self) -> str:
        """A text of as many bytes as 16 bits say, or in UTF-16 after the length -1."""
        size = struct.unpack(">h", self._take(2))[0]
        if size >= 0:
            return self._take(size).decode("latin-1")
        units = struct.unpack(">H", self._take(2))[0]
        return self._take(2 * units).decode("utf-16-be", "replace")

    def exists(self) -> bool:
        """Whether there are any tiers."""
        return self._take(1) != b"\0"


def _read_grid(path: Path, values: _TextValues | _BinaryValues) -> TextGrid:
    start, end = values.number(), values.number()
    gaps: list[str] = []
    count = values.count() if values.exists() else 0
    tiers = tuple(_read_tier(path, values, gaps.append) for _ in range(count))
    return TextGrid(path, start, end, tiers, tuple(gaps))


def _read_tier(
    path: Path, values: _TextValues | _BinaryValues, report: Callable[[str], None]
) -> Tier:
    kind = values.name()
    if kind not in ("IntervalTier", "TextTier"):
        raise CorpusError(
            f"{_where(path, values.line)}: a tier of class {kind!r}; IntervalTier and TextTier are "
            "the classes of a TextGrid"
        )
    name = values.text().strip()
    end, _ = values.number(), values.number()
    intervals = []
    for _ in range(values.count()):
        begin, line = values.number(), values.line
        if kind == "TextTier":
            intervals.append(Interval(values.text().strip(), begin, begin, line))
            continue
        stop = values.number()
        found = Interval(values.text().strip(), begin, stop, line)
        place = f"{_where(path, line)}: tier {name!r}: {found.label!r}"
        if not stop > begin:  # NaN as well
            raise CorpusError(f"{place}: from {begin:g} to {stop:g} s has no length; correct it")
        if begin < end - TOLERANCE:
            raise CorpusError(
                f"{place}: begins at {begin:g} s, before the interval before it ends ({end:g} s); "
                "intervals of a tier may not overlap"
            )
        if begin > end + TOLERANCE:
            report(f"{place}: nothing says what lies from {end:g} to {begin:g} s; taken as silence")
        intervals.append(found)
        end = stop
    return Tier(name, tuple(intervals), kind == "TextTier")


def _where(path: str | os.PathLike, line: int) -> str:
    """Where something stands: file and, if there are any, line."""
    return f"{os.fspath(path)}:{line}" if line else os.fspath(path)
