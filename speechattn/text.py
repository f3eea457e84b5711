"""Text for people: one-line messages that any terminal can show, and tables in Markdown."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence


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
