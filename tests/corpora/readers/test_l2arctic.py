"""L2-ARCTIC in its published layout: automatic alignments, and annotations by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.published import (
    CAT_LABELS,
    CAT_PHONES,
    CAT_WORDS,
    labels,
    textgrid,
    write_text,
    write_tone,
)

from speechattn.corpora.readers import detect_format, read_published
from speechattn.corpora.readers.l2arctic import heard

GRID = textgrid({"words": CAT_WORDS, "phones": CAT_PHONES})


def make(root: Path, nested: bool = False) -> Path:
    at = root / "ABA" / "ABA" if nested else root / "ABA"
    for number in (1, 2):
        name = f"arctic_a000{number}"
        write_tone(at / "wav" / f"{name}.wav")
        write_text(at / "transcript" / f"{name}.txt", "The cat.\n")
        write_text(at / "textgrid" / f"{name}.TextGrid", GRID)
    changed = {"AH0": "AH0,IH,s", "T": "T,sil,d", "K": "K,G*,s", "AE1": "ae1"}
    tier = [(changed.get(p, p), s, e) for p, s, e in CAT_PHONES]
    grid = textgrid({"words": CAT_WORDS, "phones": tier, "IPA": [], "comments": []})
    write_text(at / "annotation" / "arctic_a0002.TextGrid", grid)
    return root


@pytest.mark.parametrize("nested", [False, True])
def test_annotations_count_where_there_are_any(tmp_path, nested):
    assert detect_format(make(tmp_path, nested)) == "l2arctic"
    corpus = read_published(tmp_path)
    assert (corpus.problems, corpus.notes) == ((), ())
    first, second = corpus
    assert (first.id, first.speaker, first.text) == ("ABA_arctic_a0001", "ABA", "The cat.")
    assert labels(first) == CAT_LABELS
    assert labels(second) == ["SIL", "DH", "IH", "G", "AE", "SIL"]
    stressed = read_published(tmp_path, phones="arpabet_stress").utterances[1]
    assert labels(stressed) == ["SIL", "DH", "IH0", "G", "AE1", "SIL"]


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("AH0", "AH0"), ("", ""), ("sil", ""), ("SP", ""), ("spn", "spn"), ("DH,D,s", "D"),
        ("sil, EH, a", "EH1"), ("AO1 , AA*, s", "AA1"), ("Z,err,s", "ERR"), ("R,sil,d", ""),
    ],
)  # fmt: skip
def test_what_was_heard(label, expected):
    assert heard(label) == expected


def test_everything_that_is_wrong_is_named_at_once(tmp_path):
    make(tmp_path)
    at = tmp_path / "ABA"
    tier = [("DH,err,s", 0, 0.5), ("AH0", 0.5, 1)]
    write_text(at / "annotation" / "arctic_a0002.TextGrid", textgrid({"phones": tier}))
    for number in (3, 4):
        write_tone(at / "wav" / f"arctic_a000{number}.wav")
    write_text(at / "textgrid" / "arctic_a0003.TextGrid", GRID)
    write_text(at / "textgrid" / "arctic_a0005.TextGrid", GRID)
    corpus = read_published(tmp_path)
    assert [u.id for u in corpus] == ["ABA_arctic_a0001"]
    said = "\n".join(corpus.problems)
    for part in (
        "arctic_a0002.TextGrid:16: unknown phone 'ERR'",
        "arctic_a0003.txt: no such file",
        "arctic_a0004.wav: no TextGrid of its name",
        "arctic_a0005.wav: no such file, but a TextGrid",
    ):
        assert part in said, (part, said)
    assert len(corpus.problems) == 4
