"""Amounts as they are written: money, percentages, units, ranges, fractions, sizes."""

from __future__ import annotations

import re
from collections.abc import Sequence

from speechattn.alignment.english.numerals import (
    combined,
    decimal,
    digits,
    distinct,
    is_one,
    ordinal,
    whole,
    year,
)
from speechattn.alignment.english.table import SpokenTable

NUMBER = r"(?:\d{1,3}(?:,\d{3})+|\d+)"
AMOUNT = rf"(?:{NUMBER}(?:\.\d+)?|\.\d+)"
CURRENCIES = {  # sign → one, several, one hundredth, several
    "$": ("dollar", "dollars", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
    "€": ("euro", "euros", "cent", "cents"),
    "¥": ("yen", "yen", "sen", "sen"),
    "₹": ("rupee", "rupees", "paisa", "paise"),
}
SCALES = {"k": "thousand", "m": "million", "mn": "million", "b": "billion", "bn": "billion",
          "t": "trillion", "tn": "trillion"}  # fmt: skip
BIG = ("hundred", "thousand", "million", "billion", "trillion")
_SIGNS = {"-": ("minus", "negative"), "+": ("plus",), "±": ("plus or minus",), "~": ("about",),
          "#": ("number", "hashtag"), "": ("",)}  # fmt: skip
_SIGN = re.escape("".join(CURRENCIES))
_MONEY = re.compile(
    rf"([-+~]?)(?:US|AU|CA|NZ|HK|[AC])?([{_SIGN}])({AMOUNT})(mn|bn|tn|[kmbt])?", re.IGNORECASE
)
_MONEY_BEHIND = re.compile(rf"([-+~]?)({AMOUNT})([{_SIGN}])")
_CENTS = re.compile(rf"({AMOUNT})\u00a2")
_PERCENT = re.compile(rf"([-+~±]?)({AMOUNT})%")
_ORDINAL = re.compile(rf"({NUMBER})(?:st|nd|rd|th)", re.IGNORECASE)
_PLAIN = re.compile(rf"([-+±~#]?)({AMOUNT})")
_UNIT = re.compile(rf"([-+±~]?)({AMOUNT})-?([°a-z][a-z/]*|°)", re.IGNORECASE)
_RANGE = re.compile(rf"([{_SIGN}]?)({AMOUNT})[-\u2013\u2014]([{_SIGN}]?)({AMOUNT})(%?)")
_PHONE = re.compile(r"\+?\(?\d{1,4}\)?(?:[-.\u2013]\d{3,4}){2,3}|\d{3}[-.\u2013]\d{4}")
_FRACTION = re.compile(r"(\d+)[/\u2044](\d+)")
_BY = re.compile(rf"({AMOUNT})[x×]({AMOUNT})(?:[x×]({AMOUNT}))?")
_HEIGHT = re.compile(r"(\d)'(\d{1,2})(?:\"|'')?")
_TIMES = re.compile(rf"({AMOUNT})[x×]")


def read_amount(token: str, table: SpokenTable, after: str = "") -> list[str]:
    """All ways to read an amount.

    Args:
        token: without the punctuation around it.
        table: of units.
        after: the next token, which the name of a currency comes behind if it is a big number.

    Returns:
        None of them if it is no amount.
    """
    token = token.replace("\u2212", "-")
    if match := _MONEY.fullmatch(token):
        sign, currency, amount, scale = match.groups()
        return combined(_SIGNS[sign], _money(currency, amount, scale, after))
    if match := _MONEY_BEHIND.fullmatch(token):
        sign, amount, currency = match.groups()
        return combined(_SIGNS[sign], _money(currency, amount, None, after))
    if match := _CENTS.fullmatch(token):
        return combined(decimal(match[1]), ["cent" if is_one(match[1]) else "cents"])
    if match := _PERCENT.fullmatch(token):
        return combined(_SIGNS[match[1]], decimal(match[2]), ["percent"])
    if match := _ORDINAL.fullmatch(token):
        return ordinal(int(match[1].replace(",", "")))
    if match := _PLAIN.fullmatch(token):
        return combined(_SIGNS[match[1]], decimal(match[2]))
    if _PHONE.fullmatch(token):
        return digits(token)
    if match := _RANGE.fullmatch(token):
        return _range(match, table, after)
    if match := _FRACTION.fullmatch(token):
        return fraction(int(match[1]), int(match[2]))
    if match := _BY.fullmatch(token):
        sides = [decimal(side)[:2] for side in match.groups() if side]
        return combined(sides[0], *(part for side in sides[1:] for part in (["by"], side)))
    if match := _TIMES.fullmatch(token):
        return combined(decimal(match[1])[:2], ["times", "X."])
    if match := _HEIGHT.fullmatch(token):
        feet, inches = decimal(match[1]), decimal(match[2])
        return combined(feet, ["foot", "feet"], [f"{inches[0]} inches", inches[0]])
    if match := _UNIT.fullmatch(token):
        sign, amount, unit = match.groups()
        if names := table.unit(unit, one=is_one(amount)):
            return combined(_SIGNS[sign], decimal(amount)[:3], names)
    return []


def _money(currency: str, amount: str, scale: str | None, after: str) -> list[str]:
    one, several, cent, cents = CURRENCIES[currency]
    if after.lower() in BIG:  # "$5 million": the dollars come behind it
        return decimal(amount)
    if scale:
        return combined(decimal(amount)[:2], [SCALES[scale.lower()]], [several])
    before, _, behind = amount.partition(".")
    before = before or "0"
    name = one if before == "1" else several
    if not behind or not behind.strip("0"):
        return combined(whole(before), [name])
    if len(behind) != 2:
        return combined(decimal(amount), [several])
    hundredths = whole(behind.lstrip("0"))
    small = [f"{reading} {cent if behind == '01' else cents}" for reading in hundredths]
    heads = whole(before)[:2]
    found = combined(heads, [name], [f"and {small[0]}", *small, *hundredths])
    if int(behind) >= 10:
        found += combined(heads, hundredths)
    return distinct([*(small if before == "0" else []), *found])


def _range(match: re.Match[str], table: SpokenTable, after: str) -> list[str]:
    """Two numbers with a dash between them; a short second one may be the end of a year."""
    left, first, right, last, percent = match.groups()
    begin = read_amount(left + first, table, after) if left and right else decimal(first)
    end = read_amount((right or left) + last, table, after) if left or right else decimal(last)
    if len(first) == 4 and len(last) == 2 and first.isdecimal():
        begin, end = year(int(first)), whole(last)
    joined = combined(begin[:2], ["to", "", "dash", "through"], end[:2])
    return [f"{reading} percent" for reading in joined] if percent else joined


def fraction(upper: int, lower: int) -> list[str]:
    """A fraction: "three quarters", "three fourths", "three over four", "three slash four"."""
    top, bottom = whole(str(upper))[0], whole(str(lower))[0]
    names = {2: ["half"], 4: ["quarter", "fourth"]}.get(lower) or ordinal(lower)[:1]
    if upper != 1:
        names = ["halves" if name == "half" else f"{name}s" for name in names]
    tops = [top, "a"] if upper == 1 and lower < 11 else [top]
    usual: Sequence[str] = combined(tops, names) if lower > 1 else []
    others = [f"{top} over {bottom}", f"{top} {bottom}", f"{top} slash {bottom}"]
    return distinct([*others[1:2], *usual, *others] if lower < upper else [*usual, *others])
