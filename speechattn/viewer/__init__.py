"""The page that shows a recording and plays it. Read ``show.py`` first, then ``assets/show.js``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from speechattn.lazy import lazy_names

if TYPE_CHECKING:
    from speechattn.viewer.figure import recording_figure as recording_figure
    from speechattn.viewer.page import Page as Page
    from speechattn.viewer.recording import ShowOptions as ShowOptions
    from speechattn.viewer.show import show_page as show_page

_MODULES = {
    "Page": "page",
    "ShowOptions": "recording",
    "recording_figure": "figure",
    "show_page": "show",
}
__all__ = ["Page", "ShowOptions", "recording_figure", "show_page"]

__getattr__, __dir__ = lazy_names(__name__, _MODULES)
