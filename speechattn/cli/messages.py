"""What commands print, results on standard output and messages on standard error; how they end."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import BinaryIO

from speechattn.errors import UsageError
from speechattn.text import one_line

# Exit statuses: all went well, something failed, nothing could be done, Ctrl-C.
OK, FAILED, NOT_DONE, INTERRUPTED = 0, 1, 2, 130


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


def print_text(text: str) -> None:
    """Print a text of results as it is, at once."""
    sys.stdout.flush()
    buffer = getattr(sys.stdout, "buffer", None)
    if buffer is None:  # replaced by a program that has no bytes
        sys.stdout.write(text)
    else:  # as in a file, whatever the terminal's encoding is
        buffer.write(text.encode())
    sys.stdout.flush()


def check_page(output: Path) -> None:
    """Refuse a name that is not one of a page, or is that of a file that we did not write.

    Raises:
        UsageError: if it is such.
    """
    if output.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"--output {output}: a page is an .html file; name it so")
    from speechattn.viewer.page import is_own_page

    try:
        if not output.is_file() or is_own_page(output):
            return
    except OSError:  # what cannot be read is not ours either
        pass
    raise UsageError(
        f"{output}: is there, and not a page that speechattn wrote; move it away, or name another "
        "file with --output"
    )


def announce_page(output: Path, *, quiet: bool, browser: bool) -> None:
    """Say that a page was written.

    Args:
        output: the page.
        quiet: say nothing.
        browser: open it in the browser.
    """
    if not quiet:
        size = output.stat().st_size / 1e6
        report(f"wrote {output} ({size:.2f} MB); open it in a browser")
    if browser:
        import webbrowser

        webbrowser.open(output.resolve().as_uri())


def standard_input() -> BinaryIO:
    """Return standard input, for bytes.

    Raises:
        UsageError: if it is a terminal or closed.
    """
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError("standard input: a terminal, or closed; pipe something into the command")
    return sys.stdin.buffer
