"""Phone sets and the table they are read from."""

from __future__ import annotations

import json

import pytest

from speechattn.errors import ConfigError
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
