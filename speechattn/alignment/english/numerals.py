"""Numbers in words. Cardinals, ordinals and years are those of num2words.

Most numbers can be read in several ways: "1905" is "nineteen oh five", "one thousand nine hundred
(and) five", or four digits. All of them are returned, the most usual one first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import islice, product

from num2words import num2words

MOST_READINGS = 8  # of a number
MOST_COMBINED = 500  # ways to read several parts, of which some are kept
LONGEST_CARDINAL = 15  # digits; longer ones are read digit by digit
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
FIRST_YEAR, LAST_YEAR = 1100, 2099  # of numbers that may be years
FIRST_HUNDREDS = 2001  # from here on years are read in pairs again: "twenty oh one"


def plain(words: str) -> str:
    """The words of num2words without commas and hyphens."""
    return " ".join(words.replace("-", " ").replace(",", " ").split())


def distinct(readings: Iterable[str], most: int = MOST_READINGS) -> list[str]:
    """Some of the readings, each once."""
    return list(dict.fromkeys(" ".join(reading.split()) for reading in readings))[:most]


def combined(*parts: Sequence[str]) -> list[str]:
    """All ways to read some parts one after the other; of very many, the first."""
    ways = islice(product(*parts), MOST_COMBINED)
    return distinct(" ".join(way) for way in ways)


def without_and(words: str) -> list[str]:
    """A number as Americans and as others read it: without "and", and with it."""
    return distinct([words.replace(" and ", " "), words])


def cardinal(number: int) -> list[str]:
    """How many: "one hundred (and) five"."""
    readings = without_and(plain(num2words(number)))
    if 100 <= number < 200 or number == 1000:
        readings += [reading.replace("one ", "a ", 1) for reading in readings]
    return readings


def ordinal(number: int) -> list[str]:
    """Which: "one hundred (and) fifth"."""
    return without_and(plain(num2words(number, to="ordinal")))


def year(number: int) -> list[str]:
    """A year: "nineteen oh five", "two thousand (and) five", "twenty oh five"."""
    readings = without_and(plain(num2words(number, to="year")))
    if number % 1000 >= 100 or FIRST_HUNDREDS <= number <= LAST_YEAR:
        readings += pairs(f"{number:04}")
    return distinct(readings)


def digits(text: str) -> list[str]:
    """Digit by digit: with "zero", or with "oh"."""
    with_zero = " ".join(DIGITS[int(digit)] for digit in text if digit.isdecimal())
    return distinct([with_zero, with_zero.replace("zero", "oh")])


def pairs(text: str) -> list[str]:
    """Three or four digits, the last two as one number: "two fifty", "one oh five"."""
    head, tail = plain(num2words(int(text[:-2]))), int(text[-2:])
    if tail == 0:
        return [f"{head} hundred"]
    return [f"{head} {'oh ' if tail < 10 else ''}{plain(num2words(tail))}"]


def whole(text: str) -> list[str]:
    """A whole number as it is written, with commas or without."""
    bare = text.replace(",", "")
    if len(bare) > LONGEST_CARDINAL or (len(bare) > 1 and bare[0] == "0"):
        return digits(bare)
    number = int(bare)
    readings = cardinal(number)
    if "," in text:
        return readings
    if len(bare) == 4:
        if FIRST_YEAR <= number <= LAST_YEAR:
            return distinct([*year(number), *readings, *digits(bare)])
        return distinct([*readings, *pairs(bare), *digits(bare)])
    if len(bare) == 3:
        return distinct([*readings, *pairs(bare), *digits(bare)])
    return distinct([*readings, *digits(bare)]) if len(bare) > 4 else readings


def decimal(text: str) -> list[str]:
    """A number with or without a point: "three point one four"."""
    before, point, after = text.partition(".")
    if not point:
        return whole(before)
    if not after:
        return whole(before)
    tails = [f"point {reading}" for reading in digits(after)]
    if len(after) == 2 and after[0] != "0":
        tails.append(f"point {plain(num2words(int(after)))}")
    if not before:
        return tails
    heads = cardinal(int(before.replace(",", ""))) if len(before) <= LONGEST_CARDINAL else [""]
    readings = combined(heads[:2], tails)
    return distinct([*readings, *tails]) if before.strip("0") == "" else readings


def is_one(text: str) -> bool:
    """Whether a number takes the singular."""
    return bool(re.fullmatch(r"1(\.0+)?", text))


_ROMAN = re.compile(r"M{0,3}(CM|CD|D?C{0,3})(XC|XL|L?X{0,3})(IX|IV|V?I{0,3})")
_VALUES = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}


def roman(text: str) -> int | None:
    """The value of a Roman number of two letters or more, in capitals; None for anything else."""
    if len(text) < 2 or not _ROMAN.fullmatch(text):
        return None
    values = [_VALUES[letter] for letter in text]
    return sum(-v if v < after else v for v, after in zip(values, [*values[1:], 0]))
