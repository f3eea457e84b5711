"""Self-contained HTML pages: scripts, styles and data in one file that asks nobody for anything.

A page has a Content-Security-Policy that lets only the scripts and styles of this package run, by
their digests, and lets nothing be loaded. All text from recordings, labels and file names goes
through :func:`html.escape` or JSON in which ``<`` is escaped, and the scripts put it on the screen
as text, never as markup.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
ASSETS, VENDOR = FOLDER / "assets", FOLDER / "vendor"
LINKED = " 'self' file:"  # of a page on a server, and of one opened from the disk
HEAD_BYTES = 1 << 16  # of a page, in which its title lies
OWN = " · speechattn"  # end of the title of every page that the commands write
LIBRARY = ("uPlot.iife.min.js", "uPlot.min.css")  # see vendor/README.md


@lru_cache
def asset(name: str) -> str:
    """Return the text of a script or style of our own, or of a library, by its file name."""
    path = ASSETS / name
    return (path if path.is_file() else VENDOR / name).read_text(encoding="utf-8")


def json_for_html(value: object) -> str:
    """Return JSON that is safe inside a ``script`` element: no ``<``, ``>`` or ``&`` in it."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def digest(text: str) -> str:
    """Return the source expression of a Content-Security-Policy that allows a script or style."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def content_security_policy(
    scripts: Iterable[str], styles: Iterable[str], linked_sound: bool = False
) -> str:
    """Return a policy that allows these scripts and styles, and pictures and sound in the page.

    With ``linked_sound`` sound from files beside the page is allowed as well.
    """
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src {' '.join(map(digest, scripts))}",
            f"style-src {' '.join(map(digest, styles))}",
            "img-src data: blob:",
            f"media-src data: blob:{LINKED if linked_sound else ''}",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )


class Page:
    """A page in the making.

    Args:
        title: plain text, of the window and the head of the page.
        language: of the page's own texts.
        scripts: names of files in ``assets`` and ``vendor``, in the order in which they run.
        styles: names of files, in the order in which they count.
        linked_sound: whether it plays sound from files beside it.
    """

    def __init__(
        self,
        title: str,
        *,
        language: str = "en",
        scripts: Iterable[str] = (),
        styles: Iterable[str] = ("page.css",),
        linked_sound: bool = False,
    ) -> None:
        self.title, self.language, self._linked_sound = title, language, linked_sound
        self._scripts = [f"\n{asset(name)}\n" for name in scripts]
        self._styles = [f"\n{asset(name)}\n" for name in styles]
        self._body: list[str] = []
        self._data: list[str] = []
        self._late: list[str] = []

    def add_html(self, markup: str) -> None:
        """Add markup of our own to the body; text from outside must be escaped by the caller."""
        self._body.append(markup)

    def add_heading(self, text: str, level: int = 2) -> None:
        """Add a heading of plain text."""
        self._body.append(f"<h{level}>{html.escape(text)}</h{level}>\n")

    def add_data(self, name: str, value: object, late: bool = False) -> None:
        """Add JSON values, which the script finds as ``Viewer.data(name)``.

        Those that are late come after the scripts, which wait for them with
        ``Viewer.present(name)``: a long page is seen before a browser has read all of it.
        """
        self._add("application/json", name, json_for_html(value), late)

    def add_bytes(self, name: str, data: bytes, late: bool = False) -> None:
        """Add bytes, which the script finds as ``Viewer.bytes(name)``, decoded when asked for."""
        self._add("text/plain", name, base64.b64encode(data).decode(), late)

    def _add(self, kind: str, name: str, text: str, late: bool) -> None:
        where = self._late if late else self._data
        where.append(f'<script type="{kind}" id="{_id(name)}">{text}</script>\n')

    def parts(self) -> Iterator[str]:
        """Yield the text of the page, piece by piece."""
        policy = content_security_policy(self._scripts, self._styles, self._linked_sound)
        yield (
            f'<!DOCTYPE html>\n<html lang="{html.escape(self.language)}">\n<head>\n'
            '<meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{html.escape(policy)}">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            '<meta name="color-scheme" content="light dark">\n'
            f"<title>{html.escape(self.title)}</title>\n"
        )
        yield from (f"<style>{style}</style>\n" for style in self._styles)
        yield "</head>\n<body>\n"
        yield from self._body
        yield from self._data
        yield from (f"<script>{script}</script>\n" for script in self._scripts)
        yield from self._late
        yield "</body>\n</html>\n"

    def write(self, path: Path) -> None:
        """Write the page to a file that is open nowhere yet; the caller makes that atomic."""
        with path.open("w", encoding="utf-8", newline="\n") as file:
            for part in self.parts():
                file.write(part)


def is_own_page(path: Path) -> bool:
    """Return whether a file is a page that a command of this package wrote."""
    with path.open("rb") as file:
        return f"{OWN}</title>".encode() in file.read(HEAD_BYTES)


def _id(name: str) -> str:
    return html.escape(name, quote=True)


def attributes(values: Mapping[str, Any]) -> str:
    """Return attributes of an element, escaped; those that are None are left out."""
    pairs = ((name, value) for name, value in values.items() if value is not None)
    return " ".join(f'{name}="{html.escape(str(value), quote=True)}"' for name, value in pairs)
