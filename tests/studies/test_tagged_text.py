"""Tagged text: how it is split, what is counted of it, what is right."""

from __future__ import annotations

from collections import Counter

import pytest

from speechattn.errors import SpeechattnError
from speechattn.studies.tagged_text import Lexicon, Scores, split

pytestmark = pytest.mark.studies

SAW = [("I", "PRON"), ("saw", "VERB"), ("a", "DET"), ("saw", "NOUN"), (".", None)]
CAME = [("we", "PRON"), ("came", "VERB"), (".", None)]


def test_a_text_without_tags_is_an_error():
    with pytest.raises(SpeechattnError, match="no tagged words"):
        Lexicon([[(".", None)]], 1)


def test_the_lexicon_counts():
    lexicon = Lexicon([SAW, SAW, CAME, [("saw", "VERB")]], 2)
    assert lexicon.seen["saw"] == Counter(VERB=3, NOUN=2) and lexicon.usual("saw") == "VERB"
    assert lexicon.ambiguous("saw") and not lexicon.ambiguous("came")
    assert set(lexicon.words) == {"saw", "I", "a", "."} and 0 not in lexicon.words.values()
    assert lexicon.usual("unheard") == "VERB" and not lexicon.ambiguous("unheard")


def test_scores_are_of_tagged_words_by_group():
    scores = Scores([SAW, [("new", "ADJ")]], Lexicon([SAW, CAME], 1))
    assert [scores.count(group) for group in ("all", "ambiguous", "unseen")] == [5, 2, 1]
    found = ["PRON", "VERB", "X", "VERB", "ADJ"]
    assert scores.accuracy(found) == {"all": 3 / 5, "ambiguous": 1 / 2, "unseen": 1}
    with pytest.raises(ValueError):
        scores.accuracy(found[:-1])


def test_a_conversation_is_in_one_part_as_a_whole():
    talks = [[[(f"{number}", "NUM")]] * 3 for number in range(1, 8)]
    train, test = split(talks, 3)
    assert {word for ((word, _),) in test} == {"3", "6"} and len(test) == 6
    assert {word for ((word, _),) in train} == {"1", "2", "4", "5", "7"}
