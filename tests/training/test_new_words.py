"""What words learn from: impossible sources are refused, and runs of words are compared.

The command that learns from them is tested in ``tests/cli/test_decoder_texts.py``.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechattn.errors import UsageError
from speechattn.training.new_words import IN_A_ROW, TextSources, _runs

WORDS = st.lists(st.sampled_from(["A", "CAT", "SAT", "THERE"]), max_size=20)


@given(WORDS)
def test_the_runs_of_a_text(words):
    runs = _runs(" ".join(words))
    if len(words) <= IN_A_ROW:
        assert runs == ({tuple(words)} if words else set())
    else:
        assert runs == {tuple(words[i : i + IN_A_ROW]) for i in range(len(words) - IN_A_ROW + 1)}


@given(WORDS, WORDS, WORDS)
def test_texts_that_share_enough_words_share_a_run(before, shared, after):
    one, other = " ".join([*before, *shared]), " ".join([*shared, *after])
    if len(shared) >= IN_A_ROW:
        assert not _runs(one).isdisjoint(_runs(other))


def test_capitals_and_punctuation_are_no_part_of_a_run():
    assert _runs("The cat, sat!") == _runs("the CAT sat")


@pytest.mark.parametrize(
    "values, option",
    [
        ({}, ""),
        ({"whole_trigram": True}, "--whole-trigram"),
        ({"transcripts": ("a/train",)}, "--transcripts"),
        ({"files": (Path("a"),), "transcripts": ("a/train",)}, "--text"),
    ],
)
def test_the_option_that_asks_for_them(values, option):
    assert TextSources(**values).option == option


@pytest.mark.parametrize(
    "values, said",
    [
        ({"files": (Path("a"),), "weight": 1.0}, "--text-weight 1"),
        ({"transcripts": ("a/train",), "transcripts_weight": 0.0}, "--transcripts-weight 0"),
        (
            {"files": (Path("a"),), "weight": 0.9, "transcripts": ("a/train",)},
            "together below 1",
        ),
        ({"files": (Path("a"), Path("b"), Path("a"))}, "--text a: is given twice"),
        ({"transcripts": ("a/dev",)}, "must not know its sentences"),
        ({"transcripts": ("a/test",)}, "must not know its sentences"),
    ],
)
def test_sources_that_cannot_be_are_refused(values, said):
    with pytest.raises(UsageError, match=said):
        TextSources(**values)
