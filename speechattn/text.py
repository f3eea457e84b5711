"""Text for people: one-line messages that any terminal can show, numbers, tables, JSON."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any


def one_line(text: str | os.PathLike) -> str:
    r"""Return a message or path with line breaks and control characters shown as escapes.

    So are bytes of a path that are not UTF-8, as ``\udc80`` to ``\udcff``.
    """
    text = os.fsdecode(text)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table; a bar inside a cell is escaped."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(
        "| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines
    )


def counted(count: int, noun: str) -> str:
    """Return a number of things: ``1 file``, ``2 files``, ``12,000 files``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def length_of_time(seconds: float) -> str:
    """Return a duration in the unit that suits it: ``60.0 s``, ``4.2 minutes``, ``1.52 h``."""
    if seconds < 99.95:
        return f"{seconds:.1f} s"
    if seconds < 3597:
        return f"{seconds / 60:.1f} minutes"
    return f"{seconds / 3600:,.2f} h"


def figure(value: float, digits: int = 2) -> str:
    """Return a number with this many significant digits, or all before its point, never ``1e+02``.

    Args:
        value: any number.
        digits: 1 or more.
    """
    if not math.isfinite(value):
        return str(value)
    exponent = int(f"{value:.{digits - 1}e}".partition("e")[2])  # after rounding
    return f"{value:.{max(0, digits - 1 - exponent)}f}"


def natural_order(text: str) -> list[tuple[int, str]]:
    """Return a key that sorts texts with the numbers in them as numbers: ``f2`` before ``f10``."""
    parts = re.split(r"([0-9]+)", text)
    return [(int(part), "") if n % 2 else (0, part) for n, part in enumerate(parts)]


def json_line(
    value: Any, indent: int | None = None, default: Callable[[Any], Any] | None = None
) -> str:
    r"""Return JSON in which letters of all alphabets are themselves, and which is valid UTF-8.

    Bytes of a file name that are not UTF-8 are written as ``\udc80`` to ``\udcff``
    (``os.fsencode`` gives the name back), and what some programs take for the end of a line as an
    escape.

    Args:
        value: of numbers, texts, lists and dictionaries.
        indent: spaces for each level; None for one line.
        default: makes what JSON can hold of a value that it cannot.

    Raises:
        ValueError: for a number that is NaN or infinite.
    """
    text = json.dumps(value, indent=indent, default=default, allow_nan=False, ensure_ascii=False)
    return _NOT_IN_A_LINE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


# Control characters that JSON may hold, Unicode's ends of lines, and halves of characters.
_NOT_IN_A_LINE = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def sentence(text: str) -> str:
    """Reduce a text to what tells sentences apart: letters, digits, apostrophes, in upper case."""
    return " ".join("".join(c if c.isalnum() or c == "'" else " " for c in text.upper()).split())
