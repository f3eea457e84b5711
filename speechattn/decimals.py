"""Times as text: exact decimals of seconds, and whole numbers of smaller units."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from speechattn.segments import Segment


def exact(seconds: float) -> Decimal:
    """The shortest decimal number that is read back as this double."""
    return Decimal(repr(float(seconds)))


def plain(number: Decimal) -> str:
    """A decimal number without exponent and without trailing zeros, ``0`` for none."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def whole_edges(segments: Iterable[Segment], units_per_second: int) -> list[tuple[int, int]]:
    """Start and end of each segment as whole numbers of a unit, without gaps or overlaps.

    Every boundary is rounded once, to the nearest unit, and stands for the end before it and the
    start after it. A boundary that would fall on the one before it comes one unit after it, so
    that no segment is empty; those of a recognizer, at least 5 ms long, never do.

    Args:
        segments: that tile the time from 0 on.
        units_per_second: 1000 for milliseconds.
    """
    edges, start = [], 0
    for segment in segments:
        scaled = exact(segment.end) * units_per_second
        end = max(int(scaled.to_integral_value(ROUND_HALF_EVEN)), start + 1)
        edges.append((start, end))
        start = end
    return edges
