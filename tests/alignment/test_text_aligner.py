"""Texts with recordings: which way of saying them was taken, and where its phones lie."""

from __future__ import annotations

import numpy as np
import pytest

from speechattn.alignment.reductions import Reductions
from speechattn.alignment.text_aligner import TextAligner, rule_counts
from speechattn.decoder.lm.lexicon import Lexicon
from speechattn.errors import CorpusError
from speechattn.phones import arpabet

PHONES = arpabet()
WORDS = """\
and AE N D
him HH IH M
see S IY
the DH AH
the(2) DH IY
memory M EH M AH R IY
our AW ER
"""


@pytest.fixture(scope="module")
def lexicon(tmp_path_factory) -> Lexicon:
    path = tmp_path_factory.mktemp("lexicon") / "words.dict"
    path.write_text(WORDS)
    return Lexicon([path], PHONES)


@pytest.fixture(scope="module")
def aligner(lexicon) -> TextAligner:
    return TextAligner(lexicon, Reductions.read("english", PHONES))


def hear(phones: str, frames: int = 8) -> np.ndarray:
    """Log posteriors of phones, each for so many frames."""
    heard = np.full((frames * len(phones.split()), len(PHONES)), 1e-4)
    for place, phone in enumerate(phones.split()):
        heard[place * frames : (place + 1) * frames, PHONES.index[phone]] = 1.0
    return np.log(heard / heard.sum(1, keepdims=True)).astype(np.float32)


def said(found) -> str:
    return " ".join(PHONES.names[run.phone] for run in found.runs)


@pytest.mark.parametrize(
    ("text", "sound", "rules"),
    [
        ("see him", "SIL S IY HH IH M SIL", [(), ()]),
        ("see him", "SIL S IY IH M SIL", [(), ("h_lost",)]),
        ("and see", "AE N S IY", [("d_lost_after_n",), ()]),
        ("the memory", "SIL DH IY SIL M EH M ER IY", [(), ("er_from_schwa",)]),
        ("our", "AA R", [("er_from_aw",)]),
    ],
)
def test_the_sound_chooses(aligner, text, sound, rules):
    found = aligner.align(text, hear(sound))
    assert said(found) == sound
    assert [word.rules for word in found.words] == rules
    assert [word.word for word in found.words] == text.split()
    assert found.runs[0].start == 0 and found.runs[-1].end == 8 * len(sound.split())
    for run, after in zip(found.runs, found.runs[1:]):
        assert run.end == after.start
    for place, run in enumerate(found.runs):
        assert abs(run.start - 8 * place) <= 0
    heard, possible = rule_counts([found])
    assert sum(heard.values()) == sum(map(len, rules))
    assert all(possible[name] >= count for name, count in heard.items())


def test_words_say_where_they_lie_and_what_the_dictionary_has(aligner):
    first, second = aligner.align("see him", hear("SIL S IY SIL IH M SIL")).words
    assert (first.start, first.end, second.start, second.end) == (8, 24, 32, 48)
    assert [PHONES.names[phone] for phone in second.dictionary] == ["HH", "IH", "M"]
    assert second.said(PHONES.silence_index) == ("HIM", (PHONES.index["IH"], PHONES.index["M"]))


def test_without_reductions_there_are_the_forms_of_the_lexicon(lexicon):
    found = TextAligner(lexicon).align("see him", hear("SIL S IY IH M SIL"))
    assert said(found).split() == ["SIL", "S", "IY", "HH", "IH", "M", "SIL"]


def test_no_word_is_dropped_whole(aligner):
    found = aligner.align("see the see", hear("S IY S IY"))
    assert [len(word.phones) > 0 for word in found.words] == [True] * 3


def test_what_cannot_be_aligned(aligner):
    assert aligner.align("see him", hear("S", 3)) is None
    with pytest.raises(CorpusError, match="ZEBRA"):
        aligner.align("see zebra", hear("S IY"))
    with pytest.raises(CorpusError, match="no text"):
        aligner.align(" ", hear("S IY"))
    way = tuple(PHONES.index[name] for name in ("Z", "IY"))
    found = aligner.align("see Zebra", hear("S IY Z IY"), {"ZEBRA": [way]})
    assert said(found) == "S IY Z IY"
