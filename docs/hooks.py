"""Hooks of mkdocs: docstrings are reStructuredText in their references, pages are HTML."""

from __future__ import annotations

import re

ROLE = re.compile(r":(?:attr|class|data|func|meth|mod):<code>(?:~[\w.]*\.)?([^<]*)</code>")


def on_page_content(html: str, **_: object) -> str:
    """Show ``:func:`name``` of a docstring as code, without the role."""
    return ROLE.sub(r"<code>\1</code>", html)
