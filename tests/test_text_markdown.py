"""Tables in Markdown."""

from __future__ import annotations

from speechattn.text import table


def test_a_bar_in_a_cell_is_escaped():
    made = table(("a", "b|c"), [("1", "2"), ("x|y|", 3)])
    assert made == "| a | b\\|c |\n| --- | --- |\n| 1 | 2 |\n| x\\|y\\| | 3 |"


def test_a_table_may_have_no_rows():
    assert table(("a",), []) == "| a |\n| --- |"
