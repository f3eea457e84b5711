"""Which reading of a number was said: heard in synthetic speech by the model that ships."""

from __future__ import annotations

import pytest

from speechattn import load_model
from speechattn.alignment.aligner import Aligner
from speechattn.alignment.pronunciations import open_dictionary
from speechattn.alignment.reductions import ENGLISH, Reductions
from speechattn.corpora.synth.espeak import espeak

SAID = [
    # written, the word that is looked at, and ways to say it
    ("it was 1984 again", "1984", "nineteen eighty four", "one thousand nine hundred and eighty four"),
    ("it cost $12.50 there", "$12.50", "twelve fifty", "twelve dollars and fifty cents"),
    ("we left on May 5 together", "5", "the fifth", "five"),
    ("room 105 is free", "105", "one oh five", "one hundred five"),
    ("we met at St. Marys", "St", "saint", "street"),
    ("the SUNO met again", "SUNO", "S. U. N. O.", "SUNO"),
]  # fmt: skip


@pytest.fixture(scope="module")
def aligner() -> Aligner:
    recognizer = load_model("english", device="cpu")
    dictionary = open_dictionary([], recognizer.phones)
    return Aligner(recognizer, dictionary, Reductions.read(ENGLISH, recognizer.phones), doubt=None)


@pytest.mark.slow
@pytest.mark.parametrize("which", [2, 3])
@pytest.mark.parametrize("case", SAID, ids=lambda case: case[1])
def test_the_reading_that_was_said_is_heard(aligner, case, which):
    text, word, reading = case[0], case[1], case[which]
    written = "St." if word == "St" else word
    aloud = "sue no" if reading == "SUNO" else reading.replace(".", "")
    speech = espeak().synthesize(text.replace(written, aloud), "en-us", rate=150)
    found = aligner.align(speech.samples / 32768, text, sample_rate=speech.sample_rate)
    heard = [each.spoken or each.label for each in found.transcription.words if each.label == word]
    assert heard == [reading]
