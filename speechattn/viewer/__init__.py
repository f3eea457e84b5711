"""The page that shows a recording and plays it. Read ``show.py`` first, then ``assets/main.js``."""

from __future__ import annotations

from speechattn.lazy import lazy_names

_MODULES = {
    "Page": "page",
    "ShowOptions": "recording",
    "recording_figure": "figure",
    "show_page": "show",
}
__all__ = ["Page", "ShowOptions", "recording_figure", "show_page"]

__getattr__, __dir__ = lazy_names(__name__, _MODULES)
