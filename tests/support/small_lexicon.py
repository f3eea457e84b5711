"""A lexicon of sixteen words, enough to learn graphones from."""

from __future__ import annotations

_WORDS = """\
bat B AE T|tab T AE B|bats B AE T S|pat P AE T|tap T AE P|phat F AE T|pate P EY T|tape T EY P
bate B EY T|axe AE K S|box B AA K S|at AE T|ate EY T|pots P AA T S|pot P AA T|bob B AA B"""
ENTRIES = [
    (word, tuple(way))
    for word, *way in (item.split() for item in _WORDS.replace("\n", "|").split("|"))
]
