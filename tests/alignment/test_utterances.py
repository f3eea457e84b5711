"""Utterances with times: each is found within its own stretch, and what cannot be is named."""

from __future__ import annotations

import math

import numpy as np
import pytest
from support.heard import FakeRecognizer

from speechattn.alignment.aligner import Aligner
from speechattn.alignment.pronunciations import PronouncingDictionary
from speechattn.alignment.task import AlignTask
from speechattn.alignment.transcript_files import Transcript, Utterance
from speechattn.alignment.transcripts import AlignmentError
from speechattn.decoder.lm.lexicon import Lexicon
from speechattn.inference.transcription import TranscribeOptions
from speechattn.phones import arpabet
from speechattn.segments import check_tiling
from speechattn.transcription.inputs import Recording
from speechattn.transcription.outputs import OutputOptions

PHONES = arpabet()
FRAMES = 8  # of each phone that the fake recognizer hears


@pytest.fixture(scope="module")
def dictionary(tmp_path_factory) -> PronouncingDictionary:
    path = tmp_path_factory.mktemp("lexicon") / "words.dict"
    path.write_text("see S IY\nhim HH IH M\n")
    return PronouncingDictionary(Lexicon([path], PHONES), "fail")


def align(dictionary, heard: str, *utterances: tuple[str, str, float, float]):
    parts = tuple(
        Utterance(text, speaker, FRAMES * start / 100, FRAMES * end / 100, f"t.csv:{line}")
        for line, (speaker, text, start, end) in enumerate(utterances, 1)
    )
    transcript = Transcript(" ".join(part.text for part in parts), "t.csv", parts)
    aligner = Aligner(FakeRecognizer(heard), dictionary)
    prepared = aligner.recognizer.prepare("a.wav", None)
    posteriors = aligner.recognizer.encode_short(prepared)
    return aligner.finish(aligner.read_transcript(transcript), prepared, posteriors)


def words(transcription) -> list[tuple[str, float, float]]:
    """Words with their times in phones."""
    scale = 100 / FRAMES
    return [
        (w.label, round(w.start * scale, 1), round(w.end * scale, 1)) for w in transcription.words
    ]


def test_words_lie_in_their_utterance(dictionary):
    heard = "S IY SIL SIL S IY SIL S IY HH IH M SIL"
    found = align(dictionary, heard, ("", "see him", 7, 13), ("", "See", 4, 6)).transcription
    assert words(found) == [("See", 4.0, 6.0), ("see", 7.0, 9.0), ("him", 9.0, 12.0)]
    check_tiling(found.phones, found.duration)
    assert not found.speakers and found.speaker == ""
    labels = [phone.label for phone in found.phones]
    assert labels == ["SIL", "S", "IY", "SIL", "S", "IY", "HH", "IH", "M", "SIL"]


def test_each_speaker_has_phones_and_words_of_their_own(dictionary):
    heard = "S IY SIL HH IH M"
    found = align(dictionary, heard, ("bo", "him", 3, math.inf), ("anna", "see", 0, 3))
    assert [one.speaker for one in found.transcription.speakers] == ["bo", "anna"]
    for one, expected in zip(
        found.transcription.speakers, ([("him", 3.0, 6.0)], [("see", 0.0, 2.0)]), strict=True
    ):
        assert words(one) == expected
        check_tiling(one.phones, one.duration)


def test_speakers_may_speak_at_once(dictionary):
    found = align(dictionary, "S IY SIL", ("anna", "see", 0, 3), ("bo", "see", 0, 2)).transcription
    assert [words(one) for one in found.speakers] == [[("see", 0.0, 2.0)]] * 2


def test_an_utterance_that_is_too_short_is_passed_over_and_reported(dictionary):
    heard = "S IY SIL HH IH M SIL"
    found = align(dictionary, heard, ("", "see", 0, 3), ("", "him see him see him", 3, 3.2))
    assert words(found.transcription) == [("see", 0.0, 2.0)]
    assert [(fault.kind, fault.words) for fault in found.faults] == [
        ("not said", "him see him see him")
    ]
    with pytest.raises(AlignmentError):
        align(dictionary, heard, ("", "him see him see him", 3, 3.2))


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([("", "see", 9, 12)], r"t.csv:1: 0.72 to 0.96 s, and the recording has only 0.24 s"),
        ([("", "see", 1, 12)], "has only 0.24 s; correct the times"),
        ([("", "see", 0, 2), ("", "him", 1, 3)], r"t.csv:2: begins at 0.08 s, before .* t.csv:1"),
    ],
)
def test_times_that_cannot_be(dictionary, parts, message):
    with pytest.raises(AlignmentError, match=message):
        align(dictionary, "S IY SIL", *parts)


def test_costs_of_pronunciations_count(tmp_path):
    (tmp_path / "w.dict").write_text("him\t0.0001\tHH IH M\nhim\t1.0\tHH EH M\n")
    lexicon = Lexicon([tmp_path / "w.dict"], PHONES)
    recognizer = FakeRecognizer("HH IH M")
    mixed = recognizer.encode_short(None)
    mixed[FRAMES : 2 * FRAMES, PHONES.index["EH"]] = np.log(0.4)  # nearly as probable as IH
    recognizer.encode_short = lambda prepared: mixed
    for costs, vowel in (({}, "IH"), (lexicon.costs, "EH")):
        lexicon.costs = costs
        aligner = Aligner(recognizer, PronouncingDictionary(lexicon, "fail"))
        phones = aligner.align("a.wav", "him").transcription.phones
        assert [phone.label for phone in phones] == ["HH", vowel, "M"]


def test_formats_of_one_speaker_are_refused(dictionary, tmp_path):
    parts = tuple(Utterance("see", name, 0.0, 1.0, "t.csv:1") for name in ("bo", "anna"))
    text = Transcript("see see", "t.csv", parts)
    recording = Recording(tmp_path / "a.wav", "a.wav", {}, text=text)
    aligner = Aligner(FakeRecognizer("S IY"), dictionary)
    options = TranscribeOptions(posteriors=False)
    AlignTask(aligner, OutputOptions(("textgrid", "json")), options).check(recording)
    with pytest.raises(AlignmentError, match=r"format lab: holds one speaker.* 2 \(anna, bo\)"):
        AlignTask(aligner, OutputOptions(("lab",)), options).check(recording)
