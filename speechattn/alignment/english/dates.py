"""Dates and times of day as they are written."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import chain

from speechattn.alignment.english.numerals import (
    cardinal,
    combined,
    digits,
    distinct,
    ordinal,
    year,
)

MONTHS = ("january", "february", "march", "april", "may", "june", "july", "august", "september",
          "october", "november", "december")  # fmt: skip
_SHORT = {**{month[:3]: month for month in MONTHS}, "sept": "september"}
_ISO = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})")
_DATE = re.compile(r"(\d{1,2})([/.-])(\d{1,2})\2(\d{4}|\d{2})")
_TIME = re.compile(
    r"(\d{1,2})[:.](\d{2})(?::(\d{2}))?\s*(a\.?m\.?|p\.?m\.?)?|(\d{1,2})(a\.?m\.?|p\.?m\.?)",
    re.IGNORECASE,
)
_DECADE = re.compile(r"'?(\d{2}|\d{4})'?s")
_TENS = ("twenties", "thirties", "forties", "fifties", "sixties", "seventies", "eighties",
         "nineties")  # fmt: skip
LAST_DAY, LAST_HOUR, LAST_MINUTE = 31, 24, 59


def is_month(token: str) -> bool:
    """Whether a token is the name of a month, in full or short."""
    name = token.strip(".,").lower()
    return name in MONTHS or name in _SHORT


def day(number: int) -> list[str]:
    """A day of a month whose name is beside it."""
    return combined(["", "the"], ordinal(number)) + cardinal(number)


def read_date(token: str) -> list[str]:
    """All ways to read a date, a time or a decade; none if it is nothing of these."""
    if match := _ISO.fullmatch(token):
        return _date(int(match[1]), [(int(match[2]), int(match[3]))], digits(token))
    if match := _DATE.fullmatch(token):
        first, last = int(match[1]), int(match[3])
        orders = [(first, last), (last, first)]
        if match[2] == ".":
            orders.reverse()
        years = int(match[4])
        plain = combined(cardinal(first), cardinal(last), _years(years, match[4])[:2])
        return _date(years, orders, plain, match[4])
    if match := _TIME.fullmatch(token):
        hour, minute, second, half, alone, its_half = match.groups()
        if alone:
            return combined(cardinal(int(alone)), _half(its_half)) if int(alone) <= 12 else []
        if "." in token.partition(half or " ")[0] and not half:
            return []  # a decimal number
        return _time(int(hour), minute, second, half)
    if match := _DECADE.fullmatch(token):
        return _decade(match[1])
    return []


def _years(number: int, written: str) -> list[str]:
    if len(written) == 2:
        return distinct([*(digits(written)[1:] if number < 10 else cardinal(number)),
                         *digits(written)[:1], *year(2000 + number)[:2]])  # fmt: skip
    return year(number)


def _date(
    number: int, orders: Sequence[tuple[int, int]], plain: Sequence[str], written: str = "0000"
) -> list[str]:
    """A date by its year and the possible pairs of month and day."""
    found: list[str] = []
    years = _years(number, written)[:2]
    for month, date in orders:
        if 1 <= month <= len(MONTHS) and 1 <= date <= LAST_DAY:
            name, which = MONTHS[month - 1], ordinal(date)[0]
            found += combined([f"{name} {which}", f"{name} the {which}", f"the {which} of {name}",
                               f"{which} of {name}"], years[:1])  # fmt: skip
    return distinct([*found[:4], *plain[:4], *found[4:], *combined(found[:1], years[1:])], 12)


def _time(hour: int, minute: str, second: str | None, half: str | None) -> list[str]:
    if hour > LAST_HOUR or int(minute) > LAST_MINUTE or int(second or 0) > LAST_MINUTE:
        return []
    hours = cardinal(hour)
    if int(minute):
        minutes = [f"oh {cardinal(int(minute))[0]}"] if minute[0] == "0" else []
        minutes += cardinal(int(minute))
    else:
        minutes = ["", "o'clock", "hundred", "hundred hours"] if not half else ["", "o'clock"]
    if minute == "00" and (hour == 0 or hour > 12):
        minutes = [*minutes, "zero zero"]
    found = combined(hours, minutes)
    if second:
        oh = [f"oh {cardinal(int(second))[0]}"] if second[0] == "0" and int(second) else []
        seconds = [f"and {cardinal(int(second))[0]} seconds", *oh, *cardinal(int(second))]
        found = combined(found[:3], seconds)
    return combined(found, _half(half)) if half else found


def _half(written: str) -> list[str]:
    return ["A. M."] if written[0].lower() == "a" else ["P. M."]


def _decade(written: str) -> list[str]:
    tens = int(written[-2:])
    if tens % 10:
        return []
    name = _TENS[tens // 10 - 2] if tens >= 20 else ""
    if len(written) == 2:
        return [name] if name else []
    century = int(written[:2])
    if name:
        return combined(cardinal(century), [name])
    if tens == 10:
        return combined(cardinal(century), ["tens"])
    heads = chain([f"{cardinal(century)[0]} hundreds"], [])
    return distinct(["two thousands", *heads] if century == 20 else heads)
