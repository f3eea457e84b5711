"""Words that nobody said, squeezed into a pause: they are left out, whatever is beside them."""

from __future__ import annotations

import numpy as np
import pytest
from support.heard import PHONES, FakeRecognizer

from speechattn.alignment.aligner import Aligner
from speechattn.alignment.pronunciations import PronouncingDictionary
from speechattn.alignment.transcripts import AlignmentError
from speechattn.decoder.lm.lexicon import Lexicon
from speechattn.segments import check_tiling


@pytest.fixture(scope="module")
def dictionary(tmp_path_factory) -> PronouncingDictionary:
    path = tmp_path_factory.mktemp("lexicon") / "words.dict"
    path.write_text("see S IY\nhim HH IH M\nla L AA\nvision V IH ZH AH N\nwell W EH L\n")
    return PronouncingDictionary(Lexicon([path], PHONES), "fail")


@pytest.mark.parametrize("text", ["la", "see him", "see him well"])
@pytest.mark.parametrize("heard", ["SIL " * 9, "SIL " * 30])
def test_a_text_of_silence_is_refused(dictionary, text, heard):
    with pytest.raises(AlignmentError, match="found in the recording") as caught:
        Aligner(FakeRecognizer(heard), dictionary).align("a.wav", text)
    assert caught.value.kind == "other text"


def test_unless_every_word_must_have_a_place(dictionary):
    found = Aligner(FakeRecognizer("SIL " * 9), dictionary, doubt=None).align("a.wav", "see him")
    assert [word.label for word in found.transcription.words] == ["see", "him"]


@pytest.mark.parametrize(
    ("text", "extra", "place"),
    [
        ("well see vision him", "well", 0),
        ("see vision him well", "well", -1),
        ("la well see vision him", "la well", 0),
    ],
)
def test_a_word_at_an_edge_that_was_not_said(dictionary, text, extra, place):
    heard = "SIL SIL S IY V IH ZH AH N HH IH M SIL SIL"
    found = Aligner(FakeRecognizer(heard), dictionary).align("a.wav", text)
    words = found.transcription.words
    assert [word.label for word in words] == ["see", "vision", "him"]
    (fault,) = found.faults
    assert (fault.kind, fault.words, fault.score) == ("not said", extra, None)
    times = [0.0, words[0].start] if place == 0 else [words[-1].end, found.transcription.duration]
    assert [fault.start, fault.end] == times
    check_tiling(found.transcription.phones, found.transcription.duration)


def test_one_at_an_edge_without_a_pause(dictionary):
    found = Aligner(FakeRecognizer("S IY V IH ZH AH N"), dictionary).align("a.wav", "la see vision")
    assert [word.label for word in found.transcription.words] == ["see", "vision"]
    assert found.transcription.words[0].start == 0
    assert [(fault.kind, fault.words) for fault in found.faults] == [("not said", "la")]


def test_a_short_word_that_was_said_stays(dictionary):
    for heard in ("SIL S IY SIL", "S IY", "SIL SIL SIL S IY"):
        found = Aligner(FakeRecognizer(heard), dictionary).align("a.wav", "see")
        assert not found.faults and len(found.transcription.words) == 1


def test_numbers_of_words_count_those_left_out(dictionary):
    heard = "SIL SIL S IY V IH ZH AH N HH IH M V IH ZH AH N S IY SIL"
    found = Aligner(FakeRecognizer(heard), dictionary).align("a.wav", "well see vision him")
    assert [(fault.kind, fault.numbers) for fault in found.faults] == [
        ("not said", (0,)), ("not in the text", ())
    ]  # fmt: skip
    assert found.faults[1].start == pytest.approx(0.96, abs=0.03)
    assert np.isfinite(found.score)
