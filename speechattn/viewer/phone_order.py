"""Phones in the order of their classes: those that are mistaken for each other are near."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from speechattn.phones import PhoneSet, phone_sets, read_phone_table
from speechattn.viewer.results import SILENCES

CLASSES = (
    "vowel", "diphthong", "approximant", "nasal", "flap", "fricative", "affricate", "stop",
    "closure",
)  # fmt: skip
OTHER, SILENCE = "other", "silence"


@lru_cache
def _classes() -> dict[str, str]:
    """Label or IPA → class, from the phone tables of the package; the first table counts."""
    found: dict[str, str] = {}
    for path in phone_sets().values():
        for line in path.read_text(encoding="utf-8").splitlines():
            columns = line.split("\t")
            if len(columns) >= 3 and not line.startswith("#"):
                for label in columns[:2]:
                    found.setdefault(label.strip(), columns[2])
    return found


def phone_class(label: str) -> str:
    """Return the class of a phone, ``"other"`` if no table of the package has it."""
    known = _classes()
    bare = label.upper().rstrip("012")
    kind = known.get(label) or known.get(bare) or known.get(label.casefold()) or OTHER
    return kind if kind in CLASSES else OTHER


def by_class(phones: PhoneSet) -> list[tuple[int, str]]:
    """Return the phones of a set, with their classes, by class and then by label; silence last."""
    order = [*CLASSES, OTHER, SILENCE]
    kinds = [phone_class(name) for name in phones.names]
    kinds[phones.silence_index] = SILENCE
    numbers = sorted(range(len(kinds)), key=lambda i: (order.index(kinds[i]), phones.names[i]))
    return [(i, kinds[i]) for i in numbers]


def fitting_set(labels: Sequence[str]) -> PhoneSet:
    """Return the smallest phone set of the package with all these labels, or one made of them.

    Args:
        labels: own labels of a set, or their IPA; silence included.
    """
    spoken = {label for label in labels if label.casefold() not in SILENCES}
    fitting = []
    for path in phone_sets().values():
        phones = read_phone_table(path)
        if spoken <= set(phones.names) or spoken <= set(phones.ipa.values()):
            fitting.append(phones)
    if spoken and fitting:
        return min(fitting, key=len)
    names = sorted(usable_label(label) for label in spoken)
    return PhoneSet(("SIL", *(name for name in dict.fromkeys(names) if name != "SIL")))


def usable_label(label: str) -> str:
    """Return a label as a phone set may have it: printable, without spaces."""
    kept = "".join(c if c.isprintable() and not c.isspace() else "_" for c in label)
    return kept or "_"
