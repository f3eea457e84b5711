"""Messages on one line, and tables."""

from __future__ import annotations

import json
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechattn.text import (
    counted,
    figure,
    json_line,
    length_of_time,
    natural_order,
    one_line,
    sentence,
    table,
)


def test_numbers_in_names_count_as_numbers():
    names = ["f10.wav", "a", "f2b.wav", "2", "10", "f2.wav", "f02a.wav", ""]
    expected = ["", "2", "10", "a", "f2.wav", "f02a.wav", "f2b.wav", "f10.wav"]
    assert sorted(names, key=natural_order) == expected


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


def test_numbers_of_things():
    found = [counted(n, "file") for n in (0, 1, 2, 12_000)]
    assert found == ["0 files", "1 file", "2 files", "12,000 files"]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.0, "0.0 s"),
        (2.44, "2.4 s"),
        (99.94, "99.9 s"),
        (99.96, "1.7 minutes"),
        (250, "4.2 minutes"),
        (3596, "59.9 minutes"),
        (3600, "1.00 h"),
        (7200_000, "2,000.00 h"),
    ],
)
def test_lengths_of_time(seconds, said):
    assert length_of_time(seconds) == said


@pytest.mark.parametrize(
    ("value", "digits", "said"),
    [
        (100.0, 2, "100"),
        (99.6, 2, "100"),
        (9.96, 2, "10"),
        (12345, 4, "12345"),
        (0.123, 2, "0.12"),
        (0.0, 2, "0.0"),
        (8388608.0, 6, "8388608"),
        (float("nan"), 2, "nan"),
    ],
)
def test_figures(value, digits, said):
    assert figure(value, digits) == said


@given(st.floats(-1e9, 1e9).filter(lambda x: abs(x) > 1e-6), st.integers(1, 8))
def test_figures_are_right_to_their_digits(value, digits):
    said = figure(value, digits)
    assert "e" not in said
    assert abs(Decimal(said) - Decimal(value)) <= Decimal(abs(value)) * Decimal(10) ** (1 - digits)


# As in the names of files: bytes that are not UTF-8 are \udc80 to \udcff.
NAMES = st.text(st.characters(exclude_categories=["Cs"]) | st.characters(
    min_codepoint=0xDC80, max_codepoint=0xDCFF
))  # fmt: skip


@given(st.recursive(NAMES, st.lists))
def test_json_is_one_line_of_utf_8_that_gives_the_same_back(value):
    line = json_line(value)
    assert json.loads(line.encode().decode()) == value
    assert len(line.splitlines()) == 1


def test_json_for_people_and_odd_names():
    assert json_line(["ɔ", "\udcff", "\x85"]) == '["ɔ", "\\udcff", "\\u0085"]'
    assert json_line({"a": [1]}, indent=1) == '{\n "a": [\n  1\n ]\n}'
    with pytest.raises(ValueError):
        json_line(float("nan"))


def test_sentences_are_told_apart_by_their_words():
    assert sentence("He said: it's 5 o'clock!\n") == sentence(" HE SAID it's 5  O'CLOCK")
    assert sentence("Über") != sentence("Uber")
