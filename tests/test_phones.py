"""Phone sets and the table they are read from."""

from __future__ import annotations

import json

import pytest
from phonecodes import phonecodes

from speechattn.errors import ConfigError, UsageError
from speechattn.phones import PhoneSet, arpabet, read_phone_table

VOWELS = ["AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW"]
CONSONANTS = [
    "B",
    "CH",
    "D",
    "DH",
    "F",
    "G",
    "HH",
    "JH",
    "K",
    "L",
    "M",
    "N",
    "NG",
    "P",
    "R",
    "S",
    "SH",
    "T",
    "TH",
    "V",
    "W",
    "Y",
    "Z",
    "ZH",
]


def test_arpabet():
    phones = arpabet()
    assert len(phones) == 40
    assert sorted(phones.names) == sorted([*VOWELS, *CONSONANTS, "SIL"])
    assert phones.silence == "SIL" == phones.names[phones.silence_index]
    assert [phones.index[name] for name in phones.names] == list(range(40))
    assert phones.fold == {"AO": "AA", "ZH": "SH"}
    assert set(phones.fold.values()) <= set(phones.names)


def test_folding():
    phones = arpabet()
    assert [phones.folded(p) for p in ("AO", "AA", "ZH", "SH", "SIL")] == [
        "AA",
        "AA",
        "SH",
        "SH",
        "SIL",
    ]
    assert phones.folded("spn") == "spn"
    # Folding twice is folding once.
    assert all(phones.folded(phones.folded(p)) == phones.folded(p) for p in phones.names)


def test_round_trip_by_way_of_json():
    phones = PhoneSet(("b", "pau", "ɔ", "ɑ"), "pau", {"ɔ": "ɑ"})
    assert PhoneSet.from_dict(json.loads(json.dumps(phones.to_dict()))) == phones
    assert PhoneSet.from_dict(arpabet().to_dict()) == arpabet()
    assert PhoneSet.from_dict({"names": ["a", "_"], "silence": "_"}).fold == {}
    assert phones.silence_index == 1


def test_a_changed_dictionary_leaves_the_set_alone():
    phones = arpabet()
    phones.to_dict()["fold"]["B"] = "P"
    assert phones.folded("B") == "B"


@pytest.mark.parametrize(
    "names, silence, parts",
    [
        (("A", "SIL", "A", "B", "B"), "SIL", ["A, B", "twice"]),
        (("A", "B"), "SIL", ["'SIL'", "2 phones"]),
        ((), "SIL", ["'SIL'", "0 phones"]),
    ],
)
def test_impossible_sets(names, silence, parts):
    with pytest.raises(ConfigError) as error:
        PhoneSet(names, silence)
    assert "\n" not in str(error.value)
    assert all(part in str(error.value) for part in parts)


def table(tmp_path, *lines: str):
    path = tmp_path / "phones.tsv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_reading_a_table(tmp_path):
    lines = ["# a comment", "", "#\tanother", "ɔ\tɔ\tvowel\tɑ\tlaw", "ɑ\tɑ\tvowel\tɑ"]
    phones = read_phone_table(table(tmp_path, *lines, "pau\t∅\tsilence\tpau\t"))
    assert phones == PhoneSet(("ɔ", "ɑ", "pau"), "pau", {"ɔ": "ɑ"})


def test_a_line_with_too_few_columns_is_named(tmp_path):
    path = table(tmp_path, "# phones", "SIL\t∅\tsilence\tSIL", "AA ɑ vowel AA")
    with pytest.raises(ConfigError, match=r"phones\.tsv:3: 1 columns") as error:
        read_phone_table(path)
    assert str(path) in str(error.value)


def test_a_table_without_silence(tmp_path):
    with pytest.raises(ConfigError, match=r"phones\.tsv: no phone of class 'silence'"):
        read_phone_table(table(tmp_path, "AA\tɑ\tvowel\tAA"))


def test_a_phone_listed_twice(tmp_path):
    with pytest.raises(ConfigError, match="AA listed twice"):
        read_phone_table(table(tmp_path, *["AA\tɑ\tvowel\tAA"] * 2, "SIL\t∅\tsilence\tSIL"))


# --- IPA ------------------------------------------------------------------------------------


def test_ipa_is_that_of_an_independent_table():
    """General American, stress unknown: AH is ʌ, ER ɝ; affricates without a tie bar."""
    phones = arpabet()
    for name, label in zip(phones.names, phones.labels("ipa"), strict=True):
        assert label == ("SIL" if name == "SIL" else phonecodes.arpabet2ipa(name))
    assert phones.labels() == phones.labels("arpabet") == phones.names


def test_a_set_without_ipa_takes_that_of_arpabet_if_all_its_phones_are_there():
    assert PhoneSet(("ER", "pau", "CH"), "pau").labels("ipa") == ("ɝ", "pau", "tʃ")
    with pytest.raises(ConfigError, match="no IPA for X, ZZ; fill the IPA column"):
        PhoneSet(("ER", "X", "SIL", "ZZ")).labels("ipa")
    with pytest.raises(UsageError, match="'sampa' is unknown; choose from arpabet, ipa"):
        arpabet().labels("sampa")


def test_ipa_of_a_table_of_ones_own_goes_into_the_model(tmp_path):
    table = tmp_path / "my.tsv"
    table.write_text("sil\t∅\tsilence\tsil\nR\tr\ttrill\tR\n4\tœ\tvowel\t4\n", "utf-8")
    phones = read_phone_table(table)
    assert phones.labels("ipa") == ("sil", "r", "œ")
    again = PhoneSet.from_dict(json.loads(json.dumps(phones.to_dict(ipa=True))))
    assert again.labels("ipa") == ("sil", "r", "œ")
    assert "ipa" not in phones.to_dict()  # prepared data does not depend on it
    assert again == PhoneSet.from_dict(phones.to_dict()) == phones


def test_an_empty_column_is_as_none(tmp_path):
    table = tmp_path / "my.tsv"
    table.write_text("sil\t\tsilence\tsil\nR\t \tx\tR\n", "utf-8")
    assert read_phone_table(table).labels("ipa") == ("sil", "ɹ")


@pytest.mark.parametrize(
    "cells, said",
    [(("", "œ"), "no IPA for R;"), (("œ", "œ"), "R and 4 are both œ"), (("r", "sil"), "sil and 4")],
)
def test_a_column_with_holes_or_twins_is_refused(tmp_path, cells, said):
    table = tmp_path / "my.tsv"
    rows = [("sil", "∅", "silence", "sil"), ("R", cells[0], "x", "R"), ("4", cells[1], "x", "4")]
    table.write_text("".join("\t".join(row) + "\n" for row in rows), "utf-8")
    phones = read_phone_table(table)  # good for everything but IPA
    with pytest.raises(ConfigError, match=said):
        phones.labels("ipa")


def test_classes_are_names_in_their_order_and_silence():
    phones = PhoneSet(("SIL", "AA", "B"), fold={"B": "AA"})
    assert phones.has_classes_of(PhoneSet(("SIL", "AA", "B")))
    for other in (PhoneSet(("SIL", "B", "AA")), PhoneSet(("SIL", "AA", "B"), silence="B")):
        assert not phones.has_classes_of(other)
