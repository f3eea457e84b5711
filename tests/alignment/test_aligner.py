"""The aligner: times and confidences of words and phones, and what cannot be aligned."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from support.heard import FakeRecognizer

from speechattn.alignment.aligner import Aligner
from speechattn.alignment.pronunciations import PronouncingDictionary
from speechattn.alignment.transcripts import AlignmentError
from speechattn.audio.features import FrontEndConfig
from speechattn.decoder.lm.lexicon import Lexicon
from speechattn.errors import CorpusError, UsageError
from speechattn.phones import arpabet
from speechattn.segments import check_tiling

PHONES = arpabet()


@pytest.fixture(scope="module")
def dictionary(tmp_path_factory) -> PronouncingDictionary:
    path = tmp_path_factory.mktemp("lexicon") / "words.dict"
    path.write_text(
        "see S IY\nhim HH IH M\nhim(2) IH M\nmemory M EH M ER IY\nvision V IH ZH AH N\n"
    )
    return PronouncingDictionary(Lexicon([path], PHONES), "fail")


@pytest.mark.parametrize("short", [True, False])
def test_words_and_phones_with_times_and_confidence(dictionary, short):
    recognizer = FakeRecognizer("SIL S IY SIL IH M", short=short)
    found = Aligner(recognizer, dictionary).align("a.wav", "See him!")
    result = found.transcription
    assert recognizer.closed and not result.assumed and not found.faults and not result.more
    assert [phone.label for phone in result.phones] == "SIL S IY SIL IH M".split()
    check_tiling(result.phones, result.duration)
    assert [word.label for word in result.words] == ["See", "him"]
    times = [time for word in result.words for time in (word.start, word.end)]
    assert times == pytest.approx([0.08, 0.24, 0.32, result.duration], abs=0.003)
    assert times[-1] == result.duration
    for word in result.words:  # the same numbers as those of its phones
        phones = result.phones_of(word)
        assert (phones[0].start, phones[-1].end) == (word.start, word.end)
    for segment in (*result.phones, *result.words):
        assert segment.confidence == pytest.approx(0.9, abs=1e-4)
    assert result.confidence == pytest.approx(0.9, abs=1e-4)
    assert found.score == pytest.approx(np.log(0.9), abs=1e-4)


def test_edges_of_pauses_follow_the_sound_however_it_is_read(dictionary):
    heard = "SIL S IY SIL IH M"
    found = []
    for short, pauses in ((True, False), (True, True), (False, True)):
        recognizer = FakeRecognizer(heard, short=short, pauses=pauses)
        result = Aligner(recognizer, dictionary).align("a.wav", "See him!").transcription
        found.append([time for word in result.words for time in (word.start, word.end)])
        check_tiling(result.phones, result.duration)
    steady, moved, in_blocks = found
    assert moved == in_blocks
    assert [abs(a - b) > 0.004 for a, b in zip(steady, moved)] == [True, True, True, False]


def test_front_ends_without_levels_leave_edges_alone(dictionary, monkeypatch):
    monkeypatch.setattr(
        FakeRecognizer, "checkpoint", SimpleNamespace(front_end=FrontEndConfig(kind="mfcc"))
    )
    recognizer = FakeRecognizer("SIL S IY SIL", pauses=True)
    (word,) = Aligner(recognizer, dictionary).align("a.wav", "see").transcription.words
    assert (word.start, word.end) == pytest.approx((0.08, 0.24), abs=0.003)


def test_what_was_assumed_is_in_the_result(dictionary):
    found = Aligner(FakeRecognizer("HH IH M Z"), dictionary).align("a.wav", "him's")
    assert found.transcription.assumed == {"HIM'S": "HH IH M Z or IH M Z (formed)"}


def test_speech_without_words_is_unknown_and_reported(dictionary):
    heard = "SIL S IY V IH ZH AH N M EH M ER IY HH IH M SIL"
    found = Aligner(FakeRecognizer(heard), dictionary).align("a.wav", "see him")
    words = [word.label for word in found.transcription.words]
    assert words == ["see", "<unk>", "him"]
    (fault,) = found.faults
    assert (fault.kind, fault.words) == ("not in the text", "")
    assert fault.heard == "V IH ZH AH N M EH M ER IY"
    assert (fault.start, fault.end) == pytest.approx((0.24, 1.04), abs=0.03)
    check_tiling(found.transcription.phones, found.transcription.duration)
    assert found.transcription.more == {"differences": [fault.record()]}


def test_words_that_were_not_said_have_no_place_unless_all_must(dictionary):
    recognizer = FakeRecognizer("SIL S IY SIL HH IH M SIL")
    text = "see vision memory vision him"
    found = Aligner(recognizer, dictionary).align("a.wav", text)
    assert [word.label for word in found.transcription.words] == ["see", "him"]
    (fault,) = found.faults
    assert (fault.kind, fault.words) == ("not said", "vision memory vision")
    forced = Aligner(recognizer, dictionary, doubt=None).align("a.wav", text)
    assert [word.label for word in forced.transcription.words] == text.split()
    assert not forced.faults


def test_a_word_in_place_of_another_is_reported(dictionary):
    heard = "S IY V IH ZH AH N S IY HH IH M"
    found = Aligner(FakeRecognizer(heard), dictionary).align("a.wav", "see memory see him")
    assert [fault.words for fault in found.faults if fault.words] == ["memory"]
    for fault in found.faults:  # all of them where the other word is
        assert 0.13 <= fault.start < fault.end <= 0.59


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        (" -- ", "empty", "no words"),
        ("see you", "unknown word", "no pronunciation of YOU"),
        ("see " * 9, "too short", "0.16 s are too short for its 9 words"),
    ],
)
def test_what_cannot_be_aligned_says_why(dictionary, text, kind, message):
    with pytest.raises(AlignmentError, match=message) as caught:
        Aligner(FakeRecognizer("S IY"), dictionary, doubt=None).align("a.wav", text)
    assert caught.value.kind == kind


def test_a_text_of_another_recording_is_refused(dictionary):
    recognizer = FakeRecognizer("AW L B OY T K UH G " * 3)
    with pytest.raises(AlignmentError, match="none of its 4 words were found") as caught:
        Aligner(recognizer, dictionary).align("a.wav", "memory vision see him")
    assert caught.value.kind == "other text"


def test_differences_have_the_times_of_the_tiers(dictionary):
    heard = "SIL S IY V IH ZH AH N SIL M EH M ER IY HH IH M SIL"
    recognizer = FakeRecognizer(heard, pauses=True)
    found = Aligner(recognizer, dictionary).align("a.wav", "see him")
    (other,) = [word for word in found.transcription.words if word.label == "<unk>"]
    assert [(fault.start, fault.end) for fault in found.faults] == [(other.start, other.end)]
    heard = "SIL S IY V IH ZH AH N HH IH M SIL"
    found = Aligner(FakeRecognizer(heard, pauses=True), dictionary).align(
        "a.wav", "memory vision him"
    )
    tier = {word.label: (word.start, word.end) for word in found.transcription.words}
    assert found.faults
    for fault in found.faults:
        assert (fault.start, fault.end) == tier.get(fault.words, tier.get("<unk>"))


def test_a_difference_up_to_the_end_ends_where_the_tiers_do(dictionary):
    recognizer = FakeRecognizer("S IY HH IH M SIL SIL", pauses=True)
    recognizer.prepare = _lasting(recognizer.prepare, 0.5612345)
    found = Aligner(recognizer, dictionary).align("a.wav", "see him vision")
    (record,) = found.transcription.more["differences"]
    assert (record["kind"], record["end"]) == ("not said", 0.561234)


def _lasting(prepare, seconds: float):
    def prepared(*given, **more) -> SimpleNamespace:
        return SimpleNamespace(**{**vars(prepare(*given, **more)), "duration": seconds})

    return prepared


def test_a_text_may_be_a_file(dictionary, tmp_path):
    (tmp_path / "a.txt").write_text("See him!")
    (tmp_path / "t.csv").write_text("file;text\na.wav;See him!\n")
    (tmp_path / "latin.txt").write_bytes("See him\xab".encode("latin-1"))
    for name, encoding in (("a.txt", None), ("t.csv", None), ("latin.txt", "latin-1"), (".", None)):
        recognizer = FakeRecognizer("S IY HH IH M")
        found = Aligner(recognizer, dictionary).align("a.wav", tmp_path / name, encoding=encoding)
        assert [word.label.strip("!\xab") for word in found.transcription.words] == ["See", "him"]


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        (b"see", UsageError, "text: a bytes; give what is said as a str, or the Path"),
        (["see"], UsageError, "text: a list; give"),
        (None, UsageError, "text: a NoneType; give"),
        (Path("nowhere.txt"), CorpusError, "nowhere.txt: no such file"),
    ],
)
def test_what_is_no_text(dictionary, text, error, message):
    with pytest.raises(error, match=message):
        Aligner(FakeRecognizer("S IY"), dictionary).align("a.wav", text)


def test_a_file_of_text_says_what_is_wrong_with_it(dictionary, tmp_path):
    (tmp_path / "t.csv").write_text("file,text\nb.wav,see\n")
    (tmp_path / "latin.txt").write_bytes(b"see\xe9")
    aligner = Aligner(FakeRecognizer("S IY"), dictionary)
    with pytest.raises(AlignmentError, match=r"no transcript; add a line for it to .*t\.csv"):
        aligner.align("a.wav", tmp_path / "t.csv")
    with pytest.raises(CorpusError, match=r"latin\.txt:1: .*, or give encoding='latin-1'"):
        aligner.align("a.wav", tmp_path / "latin.txt")


def test_a_refusal_names_the_way_out_in_python_too(dictionary):
    with pytest.raises(
        AlignmentError, match=r"every_word=True in Python, --every-word of `speechattn align`"
    ):
        Aligner(FakeRecognizer("AW L B OY T"), dictionary).align("a.wav", "memory vision see him")
