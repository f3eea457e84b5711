"""The table of abbreviations, units and signs, ``data/english_abbreviations.tsv``."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from speechattn.errors import ConfigError
from speechattn.files import resource

KINDS = ("abbreviation", "unit", "sign")


class SpokenTable(NamedTuple):
    """What abbreviations and signs are read as.

    Attributes:
        abbreviations: in lower case, without their last period → readings.
        units: in lower case → of one, and of several.
        signs: readings.
    """

    abbreviations: dict[str, list[str]]
    units: dict[str, tuple[str, str]]
    signs: dict[str, list[str]]

    def unit(self, written: str, *, one: bool) -> list[str]:
        """The name of a unit, for one or several, and the other form; none if it is no unit."""
        names = self.units.get(written.lower())
        if names is None:
            return []
        return list(dict.fromkeys(names if one else names[::-1]))


@lru_cache(maxsize=1)
def spoken_table() -> SpokenTable:
    """Read the table that comes with the package.

    Raises:
        ConfigError: for a line that is not understood.
    """
    path = resource("data", "english_abbreviations.tsv")
    table = SpokenTable({}, {}, {})
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("# "):
            continue
        kind, *cells = line.split("\t")
        if kind not in KINDS or len(cells) != (3 if kind == "unit" else 2):
            raise ConfigError(
                f"{path}:{number}: {line!r}; write one of {', '.join(KINDS)}, what is written, its "
                "reading, and for a unit its plural"
            )
        written, reading, *plural = cells
        if kind == "unit":
            table.units[written] = (reading, plural[0])
        elif kind == "sign":
            table.signs[written] = reading.split("|")
        else:
            table.abbreviations[written] = reading.split("|")
    return table
