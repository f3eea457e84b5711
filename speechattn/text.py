"""Text for messages: whatever a name or an error holds, one line that any terminal can show."""

from __future__ import annotations

import os


def one_line(text: str | os.PathLike) -> str:
    """A message or path in which line breaks and control characters are shown as escapes.

    So are bytes of a path that are not UTF-8, as ``\\udc80`` to ``\\udcff``.
    """
    text = os.fsdecode(text)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
