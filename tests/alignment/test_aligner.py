"""The aligner: times and confidences of words and phones, and what cannot be aligned."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from speechattn.alignment.aligner import Aligner
from speechattn.alignment.pronunciations import PronouncingDictionary
from speechattn.alignment.transcripts import AlignmentError
from speechattn.decoder.lm.lexicon import Lexicon
from speechattn.phones import arpabet
from speechattn.segments import check_tiling

PHONES = arpabet()
FRAMES = 8  # of each phone


class FakeRecognizer:
    """Hears a string of phones, each for 80 ms, with a posterior of 0.9."""

    phones = PHONES

    def __init__(self, heard: str, *, short: bool = True) -> None:
        posteriors = np.full((FRAMES * len(heard.split()), len(PHONES)), 0.1 / (len(PHONES) - 1))
        for place, phone in enumerate(heard.split()):
            posteriors[place * FRAMES : (place + 1) * FRAMES, PHONES.index[phone]] = 0.9
        self._log = np.log(posteriors).astype(np.float32)
        self._short, self.closed = short, False

    def prepare(self, audio, options, **_) -> SimpleNamespace:
        def close() -> None:
            self.closed = True

        duration = len(self._log) / 100 + 0.003
        return SimpleNamespace(
            names=PHONES.names, duration=duration, sample_rate=8000, blocks=None, close=close
        )

    def encode_short(self, prepared) -> np.ndarray | None:
        return self._log if self._short else None

    def log_posteriors(self, blocks):
        yield self._log[:13]
        yield self._log[13:]


@pytest.fixture
def dictionary(tmp_path) -> PronouncingDictionary:
    path = tmp_path / "words.dict"
    path.write_text("see S IY\nhim HH IH M\nhim(2) IH M\n")
    return PronouncingDictionary(Lexicon([path], PHONES))


@pytest.mark.parametrize("short", [True, False])
def test_words_and_phones_with_times_and_confidence(dictionary, short):
    recognizer = FakeRecognizer("SIL S IY SIL IH M", short=short)
    found = Aligner(recognizer, dictionary).align("a.wav", "See him!")
    result = found.transcription
    assert recognizer.closed and not found.assumed
    assert [phone.label for phone in result.phones] == "SIL S IY SIL IH M".split()
    check_tiling(result.phones, result.duration)
    assert [(w.label, w.start, w.end) for w in result.words] == [
        ("See", 0.08, 0.24),
        ("him", 0.32, result.duration),
    ]
    for segment in (*result.phones, *result.words):
        assert segment.confidence == pytest.approx(0.9, abs=1e-4)
    assert result.confidence == pytest.approx(0.9, abs=1e-4)
    assert found.score == pytest.approx(np.log(0.9), abs=1e-4)


def test_what_was_assumed_is_in_the_result(dictionary):
    found = Aligner(FakeRecognizer("HH IH M Z"), dictionary).align("a.wav", "him's")
    assert found.assumed == {"HIM'S": "HH IH M Z or IH M Z"}


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
        Aligner(FakeRecognizer("S IY"), dictionary).align("a.wav", text)
    assert caught.value.kind == kind


def test_what_takes_too_much_memory_is_refused(dictionary):
    aligner = Aligner(FakeRecognizer("S IY " * 50), dictionary, most_bytes=50_000)
    with pytest.raises(AlignmentError, match=r"50 words take .* into \d parts") as caught:
        aligner.align("a.wav", "see " * 50)
    assert caught.value.kind == "too long"
