"""What commands print: results on standard output, messages on standard error."""

from __future__ import annotations

import sys

from speechattn.text import one_line


def report(message: str, program: str = "speechattn") -> None:
    """Print a message on standard error, as one line.

    Args:
        message: whose line breaks and control characters are shown as escapes.
        program: name that it begins with.
    """
    print(f"{program}: {one_line(message)}", file=sys.stderr)


def print_line(text: str) -> None:
    """Print a line of results on standard output at once, for a reader that waits for it."""
    print(text, flush=True)
