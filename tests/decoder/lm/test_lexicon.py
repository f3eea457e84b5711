"""Lexicons: what is read, and what is refused."""

from __future__ import annotations

import importlib.util
import math

import pytest
from support.commands import PHONES, message_of

from speechattn.decoder.lm.lexicon import Lexicon, lexicon_lines, lexicon_path, named
from speechattn.errors import ConfigError, CorpusError, UsageError
from speechattn.phones import arpabet

SIL, AA, B, SH = range(4)


def lexicon(tmp_path, *texts: str) -> Lexicon:
    paths = []
    for number, text in enumerate(texts):
        paths.append(tmp_path / f"{number}.dict")
        paths[-1].write_text(text, encoding="utf-8")
    return Lexicon(paths, PHONES)


def test_every_form_of_a_line_is_read(tmp_path):
    found = lexicon(
        tmp_path,
        ";;; a comment\n# another\n\nbob  B AA1 B\nBOB(2) B B\nshah\tsh aa0\nSHAH'S SH AA SH\n",
    )
    assert found.words == {"BOB": (B, AA, B), "SHAH": (SH, AA), "SHAH'S": (SH, AA, SH)}
    assert found.variants["BOB"] == [(B, AA, B), (B, B)]
    assert found.pronounce("shah  Bob") == (SH, AA, B, AA, B)
    assert len(found) == 3


def test_the_form_of_mfa_is_read(tmp_path):
    found = lexicon(
        tmp_path,
        "bob\t0.99\t0.5\t1.0\t1.0\tB AA1 B\nshah\t1\tSH AA # a king\n<unk>\tspn\n[noise]\t0.1\tspn\n",
    )
    assert found.words == {"BOB": (B, AA, B), "SHAH": (SH, AA)}


def test_the_first_file_and_the_first_line_count(tmp_path):
    found = lexicon(tmp_path, "BOB B AA\nBOB B B\n", "BOB SH\nSHAH SH AA\n")
    assert found.words == {"BOB": (B, AA), "SHAH": (SH, AA)}


def test_a_variant_listed_alone_counts(tmp_path):
    assert lexicon(tmp_path, "BOB(2) B AA\n").words == {"BOB": (B, AA)}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("BOB B XX\n", "0.dict:1: XX is no phone"),
        ("BOB B SIL\n", "0.dict:1: SIL is no phone"),
        ("SHAH SH AA\nBOB\n", "0.dict:2: BOB has no phones"),
        ("# nothing\n", "no words in it"),
    ],
)
def test_what_is_no_lexicon_is_refused(tmp_path, text, said):
    with pytest.raises(ConfigError) as caught:
        lexicon(tmp_path, text)
    assert said in message_of(caught)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "latin").write_bytes(b"BOB B AA \xe9\n")
    for name in ("gone", "latin"):
        with pytest.raises(ConfigError) as caught:
            Lexicon([tmp_path / name], PHONES)
        assert str(tmp_path / name) in message_of(caught)


def test_words_that_are_not_listed_are_named(tmp_path):
    found = lexicon(tmp_path, "BOB B AA\n")
    with pytest.raises(CorpusError, match="not in the lexicon: ANN, EVE; list how"):
        found.pronounce("ann bob eve ann")
    for nothing in (None, "", "  "):
        with pytest.raises(CorpusError, match="has no text"):
            found.pronounce(nothing)


def test_a_long_list_is_cut():
    assert named("abcdefg") == "a, b, c, d, e and 2 more"
    assert named("abc") == "a, b, c"


def test_the_dictionary_of_pocketsphinx_has_our_phones():
    pytest.importorskip("pocketsphinx")
    phones = arpabet()
    found = Lexicon(["pocketsphinx"], phones)
    assert len(found) > 100_000
    named = [phones.names[label] for label in found.pronounce("danger trail")]
    assert named == ["D", "EY", "N", "JH", "ER", "T", "R", "EY", "L"]


def test_without_pocketsphinx_the_way_out_is_said(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'speechattn\[studies\]'"):
        Lexicon(["pocketsphinx"], PHONES)


def test_the_dictionary_that_comes_with_the_package():
    phones = arpabet()
    found = Lexicon(["english"], phones)
    assert len(found) > 100_000 and "DANGER" in found.variants and "XQZ" not in found.variants
    assert [[phones.names[p] for p in way] for way in found.variants["READ"]] == [
        ["R", "EH", "D"], ["R", "IY", "D"]
    ]  # fmt: skip
    with pytest.raises(ConfigError, match="not in the set"):
        Lexicon(["english"], PHONES)


def test_the_dictionary_is_that_of_pocketsphinx():
    pytest.importorskip("pocketsphinx")
    ours, theirs = (lexicon_lines(lexicon_path(name)) for name in ("english", "pocketsphinx"))
    assert [line for line in ours if not line.startswith(";;;")] == theirs
    found = Lexicon(["english"], arpabet())  # which reads its lines by a shorter way
    words = ("tomato", "read")
    some = [line for line in theirs[:-1] if line.split()[0].partition("(")[0] in words]
    for line in some:
        word, *labels = line.split()
        way = tuple(found.phones.index[label] for label in labels)
        assert way in found.variants[word.partition("(")[0].upper()]
    assert len(some) == 4


def test_a_file_before_the_dictionary(tmp_path):
    (tmp_path / "mine.dict").write_text("danger D AA\nxqz K\n")
    found = Lexicon([tmp_path / "mine.dict", "english"], arpabet())
    whole = Lexicon(["english"], arpabet())
    assert len(found) == len(whole) + 1 and "XQZ" in found.variants
    assert found.variants["DANGER"] != whole.variants["DANGER"]
    assert found.variants["CAT"] == whole.variants["CAT"] == [found.words["CAT"]]


def test_probabilities_are_costs(tmp_path):
    found = lexicon(tmp_path, "bob\t0.5\tB AA B\nbob\t0.25 0.1 1.2 0.9\tB B\nshah\tSH AA\n")
    assert found.costs == {"BOB": pytest.approx([0.0, math.log(2)])}
    assert "silence" in found.notes[0]
    # The costs of a file count only for the words that are taken from it.
    assert lexicon(tmp_path, "bob B\n", "bob 0.5 B AA\nbob 0.1 AA\n").costs == {}


@pytest.mark.parametrize(
    ("lines", "set_name"),
    [
        ("bob\t0.9\tbʲ ɑː b\nshah\tʃ ɑ\n", "mfa_english"),
        ("bob b ɑ b\nshah ʃ ɑː\n", "mfa_english"),  # these are labels of both sets
        ("bob\tˈb ɑ b\nshah\tʃ ˌɑ\n", "mfa_english"),
        ("bob b ɑ b\nshah ʃ ɑ\nlaw l ɔ\nbow b oʊ\n", "ipa_english"),
    ],
)
def test_labels_of_other_sets(tmp_path, lines, set_name):
    (tmp_path / "w.dict").write_text(lines, encoding="utf-8")
    phones = arpabet()
    found = Lexicon([tmp_path / "w.dict"], phones)
    said = {w: " ".join(phones.names[p] for p in ways[0]) for w, ways in found.variants.items()}
    assert said["BOB"] == "B AA B" and said["SHAH"] == "SH AA"
    assert said.get("BOW", "B OW") == "B OW"
    assert f"taken as those of {set_name}" in found.notes[0]


def test_all_bad_lines_are_named(tmp_path):
    path = tmp_path / "w.dict"
    path.write_text("bob B XX\nlone\nodd 0 AA\nshah SH AA\nmad 2 AA\n<unk> spn\n")
    found = Lexicon([path], PHONES, strict=False)
    assert list(found.variants) == ["SHAH"]
    assert [problem.removeprefix(f"{path}:")[:6] for problem in found.problems] == [
        "2: lon", "3: odd", "5: mad", "1: XX "
    ]  # fmt: skip
    with pytest.raises(ConfigError, match="3 more lines"):
        Lexicon([path], PHONES)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_marked_encodings_are_read(tmp_path, encoding):
    (tmp_path / "w.dict").write_text("bob B\r\n", encoding=encoding)
    assert Lexicon([tmp_path / "w.dict"], PHONES).words == {"BOB": (B,)}
