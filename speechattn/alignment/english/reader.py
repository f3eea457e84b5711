"""How the tokens of an English text are read aloud, where that is not as they are written.

A token is what stands between spaces. It may have several readings; the sound decides between them.
A reading is words with spaces between them; a letter with a period is the name of that letter.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from speechattn.alignment.english.table import spoken_table

MOST_READINGS = 12  # of a token
SHORT = 3  # letters of a word in capitals that is perhaps an abbreviation, in a text of capitals
_OPENING, _CLOSING = (
    "\"'([{<\u201c\u2018\u00ab*_",
    ".,;:!?)]}>\"'\u201d\u2019\u00bb*_\u2026-\u2013\u2014",
)
_ALONE = frozenset("&+=@%§×÷°")  # signs that are read where they stand by themselves
_ADDRESS = re.compile(
    r"[\w.+-]+@[\w-]+(\.[\w-]+)+|(https?://|www\.)\S+"
    r"|[\w-]+(\.[\w-]+)*\.(com|org|net|edu|gov|io|uk|de|tv)(/\S*)?",
    re.IGNORECASE,
)
_JOINTS = re.compile(r"(?<=.)([-/\u2013\u2014])(?=.)")
_PARTS = re.compile(r"[^\W\d_]+|\d+|[^\w\s]|_")
_IN_ADDRESS = {".": "dot", "/": "slash", "@": "at", "-": "dash", "_": "underscore", ":": "colon",
               "?": "question mark", "=": "equals", "&": "and", "+": "plus",
               "#": "hash", "%": "percent", "~": "tilde"}  # fmt: skip
_LETTERS = re.compile(r"(?:[^\W\d_]\.)+[^\W\d_]?\.?('?s)?")
_CAPITALS = re.compile(r"([A-Z]{2,})('?s|')?")
_MONEY = re.compile(r"[$£€¥₹]")
_LETTER_UNITS = frozenset("sDGKMVACFBT")  # that are perhaps no units
_SPELLED = ("www", "http", "https")  # in addresses
_VOWELS = frozenset("AEIOUY")


class EnglishReader:
    """Finds the readings of tokens.

    Args:
        has: whether the lexicon has a word.
    """

    def __init__(self, has: Callable[[str], bool]) -> None:
        self._has = has
        self._table = spoken_table()

    def read(
        self, token: str, before: str = "", after: str = "", capitals: bool = False
    ) -> list[str]:
        """Return the readings of a token.

        Args:
            token: with the punctuation around it.
            before: the token before it.
            after: the token after it.
            capitals: whether all of the text is in capitals, so that they mean nothing.

        Returns:
            Nothing for a token that is read as it is written.
        """
        if token in _ALONE or token.lower() in ("w/", "w/o"):
            return self._table.signs[token.lower()]
        core = core_of(token)
        if not core:
            return []
        if len(core) > 1 and core.lower() in self._table.signs:
            return self._table.signs[core.lower()]
        if _ADDRESS.fullmatch(core):
            return [self._address(core)]
        if any(character.isdecimal() for character in core):
            found = self._number(core, before, after)
        else:
            found = self._beside_number(core, before) or self._letters(token, core, capitals)
        return list(dict.fromkeys(found))[:MOST_READINGS]

    def _number(self, core: str, before: str, after: str) -> list[str]:
        # Imported here: most texts have no numbers.
        from speechattn.alignment.english.amounts import fraction, read_amount
        from speechattn.alignment.english.dates import LAST_DAY, day, is_month, read_date

        if is_month(before) and core.isdecimal() and 1 <= int(core) <= LAST_DAY:
            return day(int(core))
        if is_month(after) and core.isdecimal() and 1 <= int(core) <= LAST_DAY:
            return day(int(core))
        parts = re.fullmatch(r"(\d+)[/\u2044](\d+)", core)
        if parts and before.isdecimal():  # "2 1/2"
            return [f"and {reading}" for reading in fraction(int(parts[1]), int(parts[2]))]
        found = read_date(core)
        if found:
            return found
        found = read_amount(core, self._table, after.rstrip(_CLOSING))
        if found and is_month(before) and core[-1].isalpha():  # "May 5th"
            return [*found, *(f"the {reading}" for reading in found)]
        if found and core[-1] in _LETTER_UNITS and core[-2].isdecimal():
            return [*self._mixed(core)[:4], *found[:4]]  # "5G", "747s"
        return found or self._joined(core) or self._mixed(core)

    def _joined(self, core: str) -> list[str]:
        """Parts with dashes or slashes between them, each read by itself: "mid-1990s"."""
        from speechattn.alignment.english.numerals import combined

        parts = _JOINTS.split(core)
        if len(parts) == 1 or not all(parts):
            return []
        ways: list[Sequence[str]] = []
        for place, part in enumerate(parts):
            if place % 2:
                between = [parts[place - 1], parts[place + 1]]
                numbers = all(any(c.isdecimal() for c in side) for side in between)
                if part == "/":
                    ways.append(
                        ["per", "slash", ""] if self._is_unit(between[1]) else ["", "slash"]
                    )
                else:
                    ways.append(["to", ""] if numbers else [""])
            elif any(c.isdecimal() for c in part):
                ways.append(self._number(part, "", "")[:3])
            elif place and parts[place - 1] == "/" and self._is_unit(part):
                ways.append(self._table.unit(part, one=True)[:1])
            else:
                if not part.replace("'", "").isalpha():
                    return []
                ways.append([part] if part.islower() or "'" in part else self._run(part)[:1])
        return combined(*ways)

    def _is_unit(self, part: str) -> bool:
        return bool(self._table.unit(part, one=True)) and not self._has(part)

    def _mixed(self, core: str) -> list[str]:
        """Letters and digits: "R2D2", "COVID-19", "747s"."""
        from speechattn.alignment.english.numerals import DIGITS, combined, digits, whole

        plural = re.fullmatch(r"(.*\d)('?s)", core)
        ways: list[Sequence[str]] = []
        parts = _PARTS.findall(plural[1] if plural else core)
        for place, part in enumerate(parts):
            if part.isdecimal():
                ascii_part = "".join(str(int(digit)) for digit in part)
                ways.append([*whole(ascii_part)[:3], *digits(ascii_part)[:1]])
            elif part[0].isalpha():
                ways.append(self._run(part))
            elif part == "." and 0 < place < len(parts) - 1:
                ways.append(["point", "dot"])
            elif part in "&+%@=":
                ways.append(self._table.signs[part][:1])
        found = combined(*ways) if ways else []
        if plural:
            ending = {"six": "es"}
            last = {**dict.fromkeys(DIGITS, "s"), **ending}
            found = [reading + last.get(reading.split()[-1], "s") for reading in found]
        return found

    def _run(self, letters: str) -> list[str]:
        """A run of letters within a token: a word, or the names of its letters."""
        known = self._has(letters)
        spelled = spell(letters)
        if len(letters) == 1:
            return [spelled]
        if letters.isupper() and (len(letters) <= SHORT or not set(letters) & _VOWELS):
            return [spelled, letters] if known else [spelled]
        return [letters] if known or len(letters) > SHORT else [spelled, letters]

    def _address(self, core: str) -> str:
        """An address of the net: its words, dots and slashes."""
        words = []
        for part in _PARTS.findall(core):
            if part.isdecimal():
                from speechattn.alignment.english.numerals import digits

                words.append(digits(part)[0])
            elif part[0].isalpha():
                word = self._has(part) or len(part) > SHORT
                spelled = part.lower() in _SPELLED or not word
                words.append(spell(part) if spelled else part)
            else:
                words.append(_IN_ADDRESS.get(part, ""))
        return " ".join(" ".join(words).split())

    def _beside_number(self, core: str, before: str) -> list[str]:
        """A unit or a big number behind a number: "5 km", "$5 million"."""
        number = before.rstrip(",")
        if not number or not number[-1].isdecimal():
            return []
        if _MONEY.search(number):
            from speechattn.alignment.english.amounts import BIG, CURRENCIES

            sign = next((sign for sign in CURRENCIES if sign in number), "")
            if sign and core.lower() in BIG:
                return [f"{core.lower()} {CURRENCIES[sign][1]}"]
            return []
        names = self._table.unit(core, one=number.lstrip("-+") == "1")
        if not names or (len(core) == 1 and core.lower() not in "mgltwvkcfs°x"):
            return []
        # "in" and "min" are words as well.
        return [*names, *([core] if self._has(core) and core.isalpha() else [])]

    def _letters(self, token: str, core: str, capitals: bool) -> list[str]:
        """Abbreviations, initials and words in capitals."""
        rest = token.lstrip(_OPENING)[len(core) :]
        dotted = rest.startswith(".") and not rest.startswith("..")
        name = core.lower()
        if name in self._table.abbreviations and (dotted or not self._has(core)):
            known = [core] if self._has(core) else []
            return [*known, *self._table.abbreviations[name]]
        if match := _LETTERS.fullmatch(core + "." if dotted and "." in core else core):
            if self._has(core) or self._has(f"{core}."):
                return []
            letters = [letter for letter in core.split("'")[0] if letter.isalpha()]
            ending = match[1] or ""
            if ending and "'" not in core:
                letters = letters[:-1]
            return [spell("".join(letters)) + ending]
        sides = core.split("&")
        if len(sides) > 1 and all(side.isalpha() for side in sides):
            return [" and ".join(self._run(side)[0] for side in sides)]
        if match := _CAPITALS.fullmatch(core):
            return self._capitals(match[1], match[2] or "", core, capitals)
        return []

    def _capitals(self, letters: str, ending: str, core: str, capitals: bool) -> list[str]:
        known = self._has(core)
        if not ending and not set(letters) - set("IVXLCDM"):
            from speechattn.alignment.english.numerals import cardinal, ordinal, roman

            value = roman(letters)
            if value and (not known or not set(letters) - set("IVX")):
                which = ordinal(value)[0]
                own = [core] if known else [spell(letters)]
                return [cardinal(value)[0], f"the {which}", which, *own]
        if known or (ending == "'s" and self._has(letters)):
            return []
        spelled = spell(letters) + ending
        if not set(letters) & _VOWELS:
            return [spelled]
        if not capitals or len(letters) <= SHORT:
            return [core, spelled]
        return []


def core_of(token: str) -> str:
    """A token without the punctuation around it."""
    return token.lstrip(_OPENING).rstrip(_CLOSING)


def spell(letters: str) -> str:
    """The names of letters: "BBC" is "B. B. C."."""
    return " ".join(f"{letter.upper()}." for letter in letters)
