"""Rules for analogies, counted by hand in words whose endings are plain to see."""

from __future__ import annotations

import pytest

from speechattn.alignment.g2p import analogy
from speechattn.alignment.g2p.analogy import Analogies, learn_rules, reversed_lexicon

WORDS = """\
bake B EY K|bakes B EY K S|cake K EY K|cakes K EY K S|lake L EY K|lakes L EY K Z
bill B IH L|bills B IH L Z|fill F IH L|fills F IH L Z|pill P IH L"""
LEXICON = {
    word: [tuple(phones)]
    for word, *phones in (item.split() for item in WORDS.replace("\n", "|").split("|"))
}


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Rules from as few words as there are here."""
    monkeypatch.setattr(analogy, "LEAST_WORDS", 2)


def test_rules_by_hand():
    rules = learn_rules(LEXICON)
    # Behind K in three words, of which one has a Z; one is added to the words for the doubt.
    assert rules["s"][""]["K"] == [((), ("S",), 50), ((), ("Z",), 25)]
    assert rules["s"][""]["L"] == [((), ("Z",), 67)]
    assert rules[""]["s"]["S"] == [(("S",), (), 67)]  # bakes, cakes
    assert "Z" in rules[""]["s"]  # lakes, bills, fills
    assert rules[""]["s"]["Z"] == [(("Z",), (), 75)]
    assert "ll" not in rules.get("ke", {})  # they share too few letters


def test_rules_of_few_words_are_left_out(monkeypatch):
    monkeypatch.setattr(analogy, "LEAST_WORDS", 3)
    rules = learn_rules(LEXICON)
    assert set(rules["s"][""]) == {"K"}
    monkeypatch.setattr(analogy, "LEAST_PERCENT", 30)
    assert learn_rules(LEXICON)["s"][""]["K"] == [((), ("S",), 50)]
    monkeypatch.setattr(analogy, "MOST_RELATIVES", 1)
    assert learn_rules(LEXICON) == {}


def test_the_nearest_of_several_pronunciations_counts():
    lexicon = {
        "lease": [("L", "IY", "S")],
        "leases": [("L", "EY"), ("L", "IY", "S", "IH", "Z")],
        "base": [("B", "EY", "S")],
        "bases": [("B", "EY", "S", "IH", "Z")],
    }
    assert learn_rules(lexicon)["s"][""]["S"] == [((), ("IH", "Z"), 67)]


def test_what_known_words_say_of_a_new_one():
    ends = Analogies(learn_rules(LEXICON))
    (found,) = ends.evidence("pills", lambda word: LEXICON.get(word, ()))
    assert found.ways == {("P", "IH", "L", "Z"): 0.67}
    assert found.rest == pytest.approx(0.33)
    assert ends.evidence("pills", lambda word: ()) == []
    assert ends.evidence("it", lambda word: LEXICON.get(word, ())) == []


def test_beginnings_are_the_same_reversed():
    lexicon = {
        "happy": [("HH", "AE", "P", "IY")],
        "unhappy": [("AH", "N", "HH", "AE", "P", "IY")],
        "lucky": [("L", "AH", "K", "IY")],
        "unlucky": [("AH", "N", "L", "AH", "K", "IY")],
        "heavy": [("HH", "EH", "V", "IY")],
        "unheeded": [("AH", "N", "HH", "IY", "D", "IH", "D")],
        "heeded": [("HH", "IY", "D", "IH", "D")],
    }
    assert reversed_lexicon(lexicon)["ykcul"] == [("IY", "K", "AH", "L")]
    fronts = Analogies(learn_rules(reversed_lexicon(lexicon)), front=True)
    (found,) = fronts.evidence("unheavy", lambda word: lexicon.get(word, ()))
    assert found.ways == {("AH", "N", "HH", "EH", "V", "IY"): 0.67}
