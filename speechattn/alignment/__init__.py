"""Words and phones with times, where the words are known.

Read ``network.py`` first: it turns a text into all the ways of saying it, and finds in a recording
which of them was taken, and when. What may be said instead of the dictionary's forms is the table
of ``reductions.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from speechattn.lazy import lazy_names

if TYPE_CHECKING:
    from speechattn.alignment.network import SpokenWord as SpokenWord
    from speechattn.alignment.network import TextAligner as TextAligner
    from speechattn.alignment.network import TextAlignment as TextAlignment
    from speechattn.alignment.reductions import Reductions as Reductions

__all__ = ["Reductions", "SpokenWord", "TextAligner", "TextAlignment"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Reductions": "reductions",
        "SpokenWord": "network",
        "TextAligner": "network",
        "TextAlignment": "network",
    },
)
