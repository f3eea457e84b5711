"""The benchmark of alignments: agreement, wrong words, one long recording, on sounds made up."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from support.heard import FakeRecognizer, frames_of, hear

from speechattn.alignment.aligner import Aligner
from speechattn.alignment.pronunciations import PronouncingDictionary
from speechattn.bench.align import Heard, wrong_words
from speechattn.bench.boundaries import Agreement, read_spans, share_near
from speechattn.decoder.lm.lexicon import Lexicon
from speechattn.errors import CorpusError
from speechattn.phones import arpabet
from speechattn.segments import Segment

SAID = {
    "see": "S IY",
    "memory": "M EH M ER IY",
    "vision": "V IH ZH AH N",
    "him": "HH IH M",
    "garlic": "G AA R L IH K",
}


@pytest.fixture(scope="module")
def aligner(tmp_path_factory) -> Aligner:
    path = tmp_path_factory.mktemp("lexicon") / "words.dict"
    path.write_text("".join(f"{word} {phones}\n" for word, phones in SAID.items()))
    dictionary = PronouncingDictionary(Lexicon([path], arpabet()), "fail")
    return Aligner(FakeRecognizer("SIL"), dictionary)


@pytest.fixture(scope="module")
def heard() -> list[Heard]:
    random = np.random.default_rng(0)
    found = []
    for number in range(6):
        words = random.choice(list(SAID), 8)
        sound = " ".join(["SIL", *(SAID[word] for word in words), "SIL"])
        utterance = SimpleNamespace(id=f"u{number}", text=" ".join(words))
        found.append(Heard(utterance, frames_of(sound), hear(sound)))
    return found


def test_wrong_words_are_counted_and_found(aligner, heard):
    result = wrong_words(aligner, heard, 0.25, 1)
    assert result.wrong + result.right == 48
    assert 4 < result.wrong < 24 and result.found >= 0.8 * result.wrong
    assert result.alarms <= 2


def test_agreement_counts_pauses_and_what_is_missing():
    theirs = [Segment("A", 0.1, 0.3), Segment("B", 0.3, 0.5), Segment("C", 0.8, 0.9)]
    ours = [Segment("a", 0.11, 0.3), Segment("X", 0.3, 0.5), Segment("c", 0.9, 0.91)]
    both = Agreement()
    both.add(ours, theirs)
    assert both.unmatched == 2
    assert list(both.differences) == pytest.approx([0.01, 0.1, 0.0, 0.01])
    assert both.within() == 0.75
    assert both.beside_pauses() == [0.5, 1.0, 1.0]
    assert {name: list(found.round(2)) for name, found in both.by_pauses().items()} == {
        "a pause in both": [0.01, 0.1, 0.01],
        "a pause in the reference alone": [],
        "a pause in ours alone": [],
        "no pause": [0.0],
    }
    assert np.isnan(share_near(np.array([])))


def test_spans_of_a_corpus(tmp_path):
    with pytest.raises(CorpusError, match=r"no words\.ctm"):
        read_spans(tmp_path, "words", "SIL")
    path = tmp_path / "words.ctm"
    path.write_text("u 1 0.5 0.25 SIL\nu 1 0.75 0.25 yes\n")
    assert read_spans(tmp_path, "words", "SIL") == {"u": [Segment("yes", 0.75, 1.0)]}
    path.write_text("u 1 half 0.25 yes\n")
    with pytest.raises(CorpusError, match=r"words\.ctm:1: .*write utterance"):
        read_spans(tmp_path, "words", "SIL")
