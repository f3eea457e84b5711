"""Phone tables that come with the package, and labels of one set as those of another."""

from __future__ import annotations

from pathlib import Path

import pytest

from speechattn.corpora.readers.labels import LabelMap
from speechattn.corpora.readers.textgrid import Interval
from speechattn.errors import ConfigError, CorpusError
from speechattn.phones import phone_set, phone_sets, phone_table, read_rules

SIZES = {
    "arpabet": 40, "arpabet_stress": 70, "timit61": 61, "timit48": 48, "timit39": 39,
    "ipa_english": 47, "mfa_english": 99, "buckeye": 62,
}  # fmt: skip


def test_every_table_is_there_and_complete():
    assert {name: len(phone_set(name)) for name in phone_sets()} == SIZES


@pytest.mark.parametrize("name", SIZES)
def test_every_phone_has_ipa_of_its_own_and_an_example(name):
    assert len(set(phone_set(name).labels("ipa"))) == SIZES[name]
    for line in phone_table(name).read_text("utf-8").splitlines():
        assert line.startswith("#") or len(line.split("\t")) >= 5, line


@pytest.mark.parametrize(
    ("native", "target"),
    [("timit61", "timit48"), ("timit61", "timit39"), ("timit48", "timit39")]
    + [(name, "arpabet") for name in SIZES if name != "arpabet"],
)
def test_every_phone_becomes_one_of_the_other_set_and_all_of_them_are_used(native, target):
    rules = read_rules(phone_table(native), target, phone_set(target))
    assert set(rules) == set(phone_set(native).names)
    used = {label for rule in rules.values() for label in rule} - {"<"}
    missing = set(phone_set(target).names) - used
    assert missing == set() or (native, target) == ("timit39", "arpabet")
    assert missing <= {"AO", "ZH"}  # folded into AA and SH


def test_the_fold_of_lee_and_hon():
    """61 to 39 at once is what 61 to 48 to 39 gives, and the sets that they made are these."""
    to48 = read_rules(phone_table("timit61"), "timit48", phone_set("timit48"))
    then = read_rules(phone_table("timit48"), "timit39", phone_set("timit39"))
    to39 = read_rules(phone_table("timit61"), "timit39", phone_set("timit39"))
    for phone, (label, *_) in to48.items():
        assert to39[phone] == (then[label] if label != "<" else ("<",))
    joined = {
        "sil": "pcl tcl kcl bcl dcl gcl pau epi h#", "ah": "ah ax ax-h", "aa": "aa ao", "er": "er axr",
        "hh": "hh hv", "ih": "ih ix", "l": "l el", "m": "m em", "n": "n en nx", "ng": "ng eng",
        "sh": "sh zh", "uw": "uw ux",
    }  # fmt: skip
    for label in phone_set("timit39").names:
        sources = {phone for phone, rule in to39.items() if rule[0] == label}
        assert sources == set(joined.get(label, label).split())
    fold = phone_set("timit61")
    for phone, (label, *_) in to39.items():
        wanted = {"sil": "h#", "<": "h#"}.get(label, label)
        assert fold.folded(phone) == wanted


def spans(*pieces: tuple[str, float, float]) -> list[Interval]:
    return [Interval(*piece, line) for line, piece in enumerate(pieces, 1)]


def converted(phones: str, native: tuple[str, ...], *pieces, **options):
    return LabelMap(phones, native, **options).convert(spans(*pieces), Path("x.phn"))


def test_closures_and_glottal_stops_become_parts_of_phones():
    pieces = [("h#", 0, 1), ("tcl", 1, 2), ("ch", 2, 3), ("aa", 3, 4), ("q", 4, 5), ("kcl", 5, 6)]
    pieces += [("p", 6, 7), ("pau", 7, 8), ("q", 8, 9), ("bcl", 9, 10), ("b", 10.5, 11)]
    assert converted("arpabet", ("timit61",), *pieces) == [
        ("SIL", 0, 1), ("CH", 1, 3), ("AA", 3, 5), ("K", 5, 6), ("P", 6, 7), ("SIL", 7, 9),
        ("B", 9, 10), ("B", 10.5, 11),
    ]  # fmt: skip
    assert [label for label, *_ in converted("timit48", ("timit61",), *pieces[:6])] == [
        "sil", "cl", "ch", "aa", "cl"
    ]  # fmt: skip
    assert converted("timit61", ("timit61",), *pieces) == [p[:3] for p in pieces]
    assert converted("arpabet", ("timit48",), ("cl", 0, 1), ("t", 1, 2), ("vcl", 2, 3)) == [
        ("T", 0, 2), ("SIL", 2, 3)
    ]  # fmt: skip


def test_the_native_set_is_chosen_by_the_labels():
    both = ("mfa_english", "arpabet_stress")
    assert converted("arpabet", both, ("AH0", 0, 1), ("N", 1, 2)) == [("AH", 0, 1), ("N", 1, 2)]
    assert converted("arpabet", both, ("ɲ", 0, 1), ("ʉː", 1, 2)) == [("N", 0, 1), ("UW", 1, 2)]
    silent = converted("arpabet", both, ("", 0, 1), ("sp", 1, 2), silences=("", "sp"))
    assert silent == [("SIL", 0, 2)]


@pytest.mark.parametrize(
    ("label", "said"),
    [
        ("QQ", "x.phn:2: unknown phone 'QQ'"),
        ("spn", "x.phn:2: 'spn' stands for a word that was not"),
    ],
)
def test_unknown_labels_are_named_with_file_and_line(label, said):
    with pytest.raises(CorpusError, match=said):
        converted("arpabet", ("arpabet_stress",), ("AH0", 0, 1), (label, 1, 2))


def test_a_phone_set_of_ones_own_is_one_file(tmp_path):
    table = tmp_path / "my.tsv"
    table.write_text("sil\t\tsilence\tsil\tx\na\ta\tvowel\ta\tx\n", encoding="utf-8")
    assert converted(table, (), ("a", 0, 1), ("sil", 1, 2)) == [("a", 0, 1), ("sil", 1, 2)]
    with pytest.raises(ConfigError, match=r"'no\.tsv' is neither a file nor one of arpabet, "):
        phone_set("no.tsv")


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["sil\t\tsilence\tsil", "a\t\tvowel\tb"], ":2: a is scored as 'b'"),
        (["sil\t\tsilence\tsil", "a\t\tvowel\ta", "a\t\tvowel\ta"], ":3: a listed twice; line 2"),
    ],
)
def test_errors_of_a_table_name_its_line(tmp_path, lines, said):
    table = tmp_path / "my.tsv"
    table.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        phone_set(table)
    assert f"{table}{said}" in str(caught.value)


def test_a_table_whose_column_is_incomplete(tmp_path):
    table = tmp_path / "my.tsv"
    header = "# phone\tIPA\tclass\tscored_as\texample\tarpabet\n"
    table.write_text(f"{header}sil\t\tsilence\tsil\tx\tSIL\na\ta\tvowel\ta\tx\tXX\n", "utf-8")
    with pytest.raises(ConfigError, match=r"my\.tsv:3: a: 'XX' under arpabet is no label"):
        read_rules(table, "arpabet", phone_set("arpabet"))
