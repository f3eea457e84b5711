"""Spoken forms: kept as they were heard, and given to a lexicon."""

from __future__ import annotations

from collections import Counter

import pytest

from speechattn.alignment.reductions import Reductions
from speechattn.alignment.spoken import read_spoken, spoken_lexicon, write_spoken
from speechattn.decoder.lm.lexicon import Lexicon
from speechattn.errors import ConfigError
from speechattn.phones import arpabet

PHONES = arpabet()


def classes(labels: str) -> tuple[int, ...]:
    return tuple(PHONES.index[label] for label in labels.split())


SPOKEN = Counter(
    {("AND", classes("AE N D")): 50, ("AND", classes("IH N")): 30, ("AND", classes("N")): 1}
)


def test_what_was_written_is_read(tmp_path):
    write_spoken(tmp_path / "spoken.tsv", SPOKEN, PHONES)
    assert read_spoken(tmp_path / "spoken.tsv", PHONES) == SPOKEN
    (tmp_path / "bad.tsv").write_text("AND\tmany\tAE N D\n")
    with pytest.raises(ConfigError, match="bad.tsv:1"):
        read_spoken(tmp_path / "bad.tsv", PHONES)


def test_forms_that_were_heard_often_are_known_beside_the_dictionary(tmp_path):
    (tmp_path / "words.dict").write_text("and AE N D\nwanted W AA N T AH D\ncut K AH T\n")
    lexicon = Lexicon([tmp_path / "words.dict"], PHONES)
    table = "@vowel\tAA AE AH IH\nfront\tAH\tIH\t*\tD\tinner\tlong\t0.7\n"
    (tmp_path / "table.tsv").write_text(table)
    rules = Reductions.read(tmp_path / "table.tsv", PHONES)
    extended = spoken_lexicon(lexicon, rules, SPOKEN)
    assert extended.variants["AND"] == [classes("AE N D"), classes("IH N")]
    assert extended.variants["WANTED"] == [classes("W AA N T AH D"), classes("W AA N T IH D")]
    assert extended.variants["CUT"] == [classes("K AH T")]
    assert lexicon.variants["AND"] == [classes("AE N D")]
