"""The table of reductions: where a rule may be heard, and what shares come of counts."""

from __future__ import annotations

import pytest

from speechattn.alignment.reductions import Reductions
from speechattn.errors import ConfigError
from speechattn.phones import arpabet

PHONES = arpabet()
HEAD = "@vowel\tAH IH AA EH\n@function\tAND HIM\n"


@pytest.fixture(scope="module")
def english() -> Reductions:
    return Reductions.read("english", PHONES)


def table(tmp_path, line: str) -> Reductions:
    path = tmp_path / "table.tsv"
    path.write_text(HEAD + line + "\n")
    return Reductions.read(path, PHONES)


def fired(rules: Reductions, word: str, phones: str, left="#", right="#") -> set[tuple[int, str]]:
    return {(place, rule.name) for place, rule in rules.fitting(word, phones.split(), left, right)}


@pytest.mark.parametrize(
    ("word", "phones", "left", "right", "expected"),
    [
        ("WANTED", "W AA N T AH D", "#", "#", (4, "schwa_fronted_dental")),
        ("WATER", "W AO T ER", "#", "#", (2, "flap")),
        ("THAT", "DH AE T", "#", "IH", (2, "flap")),
        ("HIM", "HH IH M", "T", "#", (0, "h_lost")),
        ("JUST", "JH AH S T", "#", "N", (3, "t_lost_cluster")),
        ("AND", "AE N D", "#", "DH", (2, "d_lost_after_n")),
        ("LITTLE", "L IH T AH L", "#", "#", (3, "syllabic_l")),
        ("GOING", "G OW IH NG", "#", "#", (3, "ng_fronted")),
        ("DOGS", "D AO G Z", "#", "#", (3, "z_devoiced")),
        ("TIME", "T AY M", "T", "#", (0, "stop_same")),
    ],
)
def test_rules_that_english_needs(english, word, phones, left, right, expected):
    assert expected in fired(english, word, phones, left, right)


@pytest.mark.parametrize(
    ("word", "phones", "left", "right", "unexpected"),
    [
        ("CUT", "K AH T", "#", "#", "schwa_fronted"),  # one syllable, and stressed
        ("THAT", "DH AE T", "#", "K", "flap"),
        ("HOME", "HH OW M", "#", "#", "h_lost"),
        ("TIME", "T AY M", "N", "#", "t_lost_cluster"),
    ],
)
def test_rules_stay_where_they_belong(english, word, phones, left, right, unexpected):
    assert unexpected not in {name for _, name in fired(english, word, phones, left, right)}


def test_a_word_is_never_dropped_whole(tmp_path):
    rules = table(tmp_path, "gone\tAH\t-\t*\t*\tany\tany\t0.1")
    assert not fired(rules, "A", "AH")
    assert fired(rules, "AB", "AH B") == {(0, "gone")}


def test_shares_go_half_way_to_the_counts(tmp_path):
    rules = table(tmp_path, "raise\tAH\tIH\t*\t*\tany\tany\t0.2")
    assert rules.with_shares({}, {}).rules["raise"].share == pytest.approx(0.2)
    many = rules.with_shares({"raise": 600_000}, {"raise": 1_000_000})
    assert many.rules["raise"].share == pytest.approx(0.4, abs=0.001)
    assert many.vowels == rules.vowels and many.function == {"AND", "HIM"}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("few\tAH\tIH", "3 columns"),
        ("share\tAH\tIH\t*\t*\tany\tany\t1.5", "share"),
        ("phone\tAX\tIH\t*\t*\tany\tany\t0.5", "AX"),
        ("said\tAH\tIX\t*\t*\tany\tany\t0.5", "IX"),
        ("where\tAH\tIH\t*\t*\tmiddle\tany\t0.5", "middle"),
        ("quiet\tSIL\tIH\t*\t*\tany\tany\t0.5", "SIL"),
    ],
)
def test_lines_that_are_not_understood(tmp_path, line, said):
    with pytest.raises(ConfigError, match=said):
        table(tmp_path, line)


def test_what_nobody_says(english):
    assert not english.said("FOR", ["F", "R", "ER"])
    assert english.said("FOR", ["F", "ER"])
