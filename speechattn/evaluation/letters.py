"""Letters of labels in pictures: how wide they are, and what stands for those without a picture."""

from __future__ import annotations

from functools import lru_cache
from itertools import accumulate, takewhile
from unicodedata import category

from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.textpath import TextPath


def drawable(label: str) -> str:
    """Return a label in one line of letters that there are pictures of, from left to right.

    Control characters become visible, as in pages; what no font of matplotlib has becomes a box.
    """
    return "".join(map(_drawable, label))


@lru_cache(maxsize=4096)
def _drawable(letter: str) -> str:
    if category(letter) in ("Cc", "Cf", "Zl", "Zp"):
        return "⏎" if letter == "\n" else "␣"
    families = FontProperties().get_family()
    fonts = [get_font(findfont(FontProperties(family=[family]))) for family in families]
    return letter if any(font.get_char_index(ord(letter)) for font in fonts) else "□"


def shortened(label: str, room: float) -> str:
    """Return the beginning of a label that fits into so many font sizes; empty if none does."""
    left = room - advance("…")
    fitting = list(takewhile(lambda end: end <= left, accumulate(map(advance, label))))
    return label[: len(fitting)] + "…" if fitting else ""


@lru_cache(maxsize=4096)
def advance(letter: str) -> float:
    """Return the width of a letter in font sizes.

    It is measured between two other letters, because a blank has no ink.
    """
    widths = [
        TextPath((0, 0), text, size=100).get_extents().width for text in (f"I{letter}I", "II")
    ]
    return (widths[0] - widths[1]) / 100
