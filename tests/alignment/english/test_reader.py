"""How numbers, dates, money, units, abbreviations and signs are read."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechattn.alignment.english.numerals import cardinal, ordinal, roman, whole, year
from speechattn.alignment.english.reader import EnglishReader, core_of
from speechattn.alignment.english.table import spoken_table
from speechattn.errors import ConfigError

KNOWN = set(
    "a in min no the and may march site bob example com doctor cups seven six vi us mr well".split()
)


@pytest.fixture(scope="module")
def reader() -> EnglishReader:
    return EnglishReader(lambda word: word.lower() in KNOWN)


def readings(reader, text: str) -> list[str]:
    """The readings of the token between the brackets, in its sentence."""
    tokens = text.split()
    place = next(i for i, token in enumerate(tokens) if token.startswith("["))
    tokens[place] = tokens[place].strip("[]")
    before = tokens[place - 1] if place else ""
    after = tokens[place + 1] if place + 1 < len(tokens) else ""
    return reader.read(tokens[place], before, after)


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("[0]", "zero"),
        ("[21],", "twenty one"),
        ("[1984]", "nineteen eighty four"),
        ("[1905].", "nineteen oh five"),
        ("[2000]", "two thousand"),
        ("[105]", "one hundred five"),
        ("[1,234,567]", "one million two hundred thirty four thousand five hundred sixty seven"),
        ("[-5]", "minus five"),
        ("[3.14]", "three point one four"),
        ("[.5]", "point five"),
        ("[007]", "zero zero seven"),
        ("[22nd]", "twenty second"),
        ("[1980s]", "nineteen eighties"),
        ("['80s]", "eighties"),
        ("[$5]", "five dollars"),
        ("[$1]", "one dollar"),
        ("[$12.50]", "twelve dollars and fifty cents"),
        ("[£3.01]", "three pounds and one penny"),
        ("[$5k]", "five thousand dollars"),
        ("[$5] million", "five"),
        ("$5 [million]", "million dollars"),
        ("[5€]", "five euros"),
        ("[80%]", "eighty percent"),
        ("[10-20]", "ten to twenty"),
        ("[1914-18]", "nineteen fourteen to eighteen"),
        ("[$5-$10]", "five dollars to ten dollars"),
        ("[3/4]", "three quarters"),
        ("[1/2]", "one half"),
        ("2 [1/2]", "and one half"),
        ("[24/7]", "twenty four seven"),
        ("[4x4]", "four by four"),
        ("[10km]", "ten kilometers"),
        ("[1km]", "one kilometer"),
        ("10 [km],", "kilometers"),
        ("[-5°C]", "minus five degrees celsius"),
        ("[100km/h]", "one hundred kilometers per hour"),
        ("5 [min]", "minutes"),
        ("[5'10\"]", "five foot ten inches"),
        ("[3:45pm]", "three forty five P. M."),
        ("[10:05]", "ten oh five"),
        ("[12:00]", "twelve"),
        ("[7a.m.]", "seven A. M."),
        ("[2024-05-17]", "may seventeenth twenty twenty four"),
        ("[5/17/2024]", "may seventeenth twenty twenty four"),
        ("[17/5/2024]", "may seventeenth twenty twenty four"),
        ("[17.5.2024]", "may seventeenth twenty twenty four"),
        ("May [5],", "fifth"),
        ("[5] May", "fifth"),
        ("[555-1234]", "five five five one two three four"),
        ("[R2D2]", "R. two D. two"),
        ("[COVID-19]", "COVID nineteen"),
        ("[747s]", "seven hundred forty sevens"),
        ("[MP3]", "M. P. three"),
        ("[v2.0]", "V. two point zero"),
        ("[mid-1990s]", "mid nineteen nineties"),
        ("[3rd-place]", "third place"),
        ("[12-year-old]", "twelve year old"),
        ("[1st/2nd]", "first second"),
        ("[10:30-11:00]", "ten thirty to eleven"),
        ("[£3.50/kg]", "three pounds and fifty pence per kilogram"),
        ("[50¢]", "fifty cents"),
        ("[C++]", "C. plus plus"),
        ("[BBC]", "B. B. C."),
        ("[CDs]", "C. D.s"),
        ("[BBC's]", "B. B. C.'s"),
        ("[U.S.A.]", "U. S. A."),
        ("[VIII]", "eight"),
        ("[Dr.] Smith", "doctor"),
        ("[approx.]", "approximately"),
        ("[e.g.]", "for example"),
        ("[&]", "and"),
        ("[AT&T]", "A. T. and T."),
        ("[w/]", "with"),
        ("[www.example.com/a1]", "W. W. W. dot example dot com slash a one"),
        ("(mail [bob@site.org])", "bob at site dot O. R. G."),
    ],
)
def test_the_first_reading(reader, text, first):
    assert readings(reader, text)[0] == first


@pytest.mark.parametrize(
    ("text", "also"),
    [
        ("[1984]", "one thousand nine hundred and eighty four"),
        ("[1984]", "one nine eight four"),
        ("[105]", "one oh five"),
        ("[105]", "a hundred and five"),
        ("[$12.50]", "twelve fifty"),
        ("[10-20]", "ten through twenty"),
        ("[5/6/2024]", "june fifth twenty twenty four"),
        ("[10:00]", "ten o'clock"),
        ("May [5]", "five"),
        ("[5G]", "five grams"),
        ("Henry [VI]", "the sixth"),
        ("[VI]", "VI"),
        ("[No.] 5", "No"),
        ("[No.] 5", "number"),
        ("[St.]", "street"),
        ("[NASA]", "N. A. S. A."),
        ("[NASA]", "NASA"),
        ("5 [in]", "in"),
        ("[747s]", "seven forty sevens"),
    ],
)
def test_other_readings(reader, text, also):
    assert also in readings(reader, text)


@pytest.mark.parametrize("token", ["dog", "Well,", "(no)", "don't", "in", "-", "...", "'tis", "Mr"])
def test_words_are_read_as_they_are_written(reader, token):
    assert reader.read(token) == []


def test_capitals_mean_nothing_in_a_text_of_capitals(reader):
    assert reader.read("UNESCO", capitals=True) == []
    assert reader.read("UNESCO", capitals=False) == ["UNESCO", "U. N. E. S. C. O."]
    assert reader.read("BBC", capitals=True) == ["B. B. C."]


@given(st.text(st.sampled_from("0123456789.,:/-$£%°'kmsthxX&@#()+~ A"), min_size=1, max_size=12))
@settings(max_examples=300, deadline=None)
def test_anything_with_digits_is_read_as_words(text):
    reader = EnglishReader(lambda word: False)
    for token in text.split():
        for reading in reader.read(token):
            assert re.fullmatch(r"[A-Za-z.']+( [A-Za-z.']+)*", reading), (token, reading)
        if any(c.isdecimal() for c in core_of(token)):
            assert reader.read(token), token


@given(st.integers(0, 10**18))
@settings(max_examples=100, deadline=None)
def test_numbers_have_words_and_no_signs(number):
    for reading in [*cardinal(number), *ordinal(number), *whole(str(number))]:
        assert re.fullmatch(r"[a-z]+( [a-z]+)*", reading)


def test_many_parts_take_no_time(reader):
    for token in ("-".join("12345678901234567890"), "1a2b3c4d5e" * 10, "1.2.3.4.5.6.7.8.9" * 9):
        assert 1 <= len(reader.read(token)) <= 12


def test_years():
    assert year(1900)[0] == "nineteen hundred" and year(2005)[0] == "two thousand five"
    assert "twenty oh five" in year(2005) and "two thousand and five" in year(2005)


def test_roman_numbers():
    values = {"II": 2, "IV": 4, "IX": 9, "XIV": 14, "XL": 40, "MCMLXXXIV": 1984}
    assert {text: roman(text) for text in values} == values
    assert [roman(text) for text in ("I", "IIII", "VX", "ii", "MIXED")] == [None] * 5


def test_a_table_with_a_broken_line_is_named(tmp_path, monkeypatch):
    (tmp_path / "english_abbreviations.tsv").write_text("# a comment\nunit\tkm\tkilometer\n")
    monkeypatch.setattr(
        "speechattn.alignment.english.table.resource",
        lambda *_: tmp_path / "english_abbreviations.tsv",
    )
    with pytest.raises(ConfigError, match=r"\.tsv:2: .*its plural"):
        spoken_table.__wrapped__()
