"""Messages on one line, and tables."""

from __future__ import annotations

import sys
from pathlib import Path

from speechattn.text import one_line, table


def test_one_line_escapes_what_would_break_a_terminal():
    assert one_line("a\n\x1b[31m\udcff ʃ \N{GRINNING FACE}") == (
        "a\\n\\x1b[31m\\udcff ʃ \N{GRINNING FACE}"
    )


def test_every_character_is_shown_as_python_shows_it():
    codes = [*range(0x10000), *range(0x10000, sys.maxunicode + 1, 251)]
    characters = [chr(code) for code in codes if chr(code) not in "\\'"]
    shown = one_line("\n".join(characters))
    assert shown == "\\n".join(repr(c)[1:-1] for c in characters)


def test_paths():
    assert one_line(Path("a", "b\n.wav")) == str(Path("a", "b\\n.wav"))


def test_a_bar_in_a_cell_is_escaped():
    made = table(("a", "b|c"), [("1", "2"), ("x|y|", 3)])
    assert made == "| a | b\\|c |\n| --- | --- |\n| 1 | 2 |\n| x\\|y\\| | 3 |"


def test_a_table_may_have_no_rows():
    assert table(("a",), []) == "| a |\n| --- |"
