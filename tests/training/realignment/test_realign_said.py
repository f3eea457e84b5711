"""What was said, among what a grammar allows: the sentence, its phones and their times."""

from __future__ import annotations

import json

import numpy as np
import pytest
from support.commands import PHONES, message_of

from speechattn.decoder.lm.jsgf import Grammar
from speechattn.decoder.lm.lexicon import Lexicon
from speechattn.errors import CorpusError
from speechattn.training.realignment.realign import SentenceHypotheses

INTENTS = {"u0.wav": {"slots": {"what": "BASH Ash"}}, "u1": {"slots": {}}}
GRAMMAR = "#JSGF V1.0; grammar g; public <g> = [ah] [bah | shah] <what> [bah] | ah shah [ah];"
DICTIONARY = "AH AA\nBAH B AA\nSHAH SH AA\nBASH B AA SH\nBASH(2) B SH\nASH AA SH\n"


@pytest.fixture
def sentences(tmp_path):
    def make(intents: object = INTENTS, dictionary: str = DICTIONARY) -> SentenceHypotheses:
        (tmp_path / "intents.json").write_text(json.dumps(intents))
        (tmp_path / "words.dict").write_text(dictionary)
        (tmp_path / "g.jsgf").write_text(GRAMMAR)
        lexicon = Lexicon([tmp_path / "words.dict"], PHONES)
        return SentenceHypotheses(Grammar(tmp_path / "g.jsgf"), lexicon, tmp_path)

    return make


def heard(labels: str, sure: float = 0.9) -> np.ndarray:
    """Log posteriors: 6 frames for every phone of a string."""
    classes = np.repeat([PHONES.index[name] for name in labels.split()], 6)
    posteriors = np.full((len(classes), len(PHONES)), (1 - sure) / (len(PHONES) - 1))
    posteriors[np.arange(len(classes)), classes] = sure
    return np.log(posteriors).astype(np.float32)


@pytest.mark.parametrize(
    "name, audio, said",
    [
        ("u0", "SIL AA B AA B AA SH AA SH SIL", None),
        ("u0", "SIL AA B AA B SH SIL AA SH SIL", None),  # another way to say it, and a pause
        ("u0", "B AA SH AA SH B AA SIL", None),
        ("u1", "SIL AA SH B AA SIL", "SIL AA SH AA SIL"),  # misheard
        ("u1", "AA SH AA SIL AA SIL", None),
        ("u1", "AA SH AA SIL", None),
    ],
)
def test_the_sentence_is_found_with_its_times(sentences, name, audio, said):
    log_posteriors = heard(audio)
    found = sentences().align(name, log_posteriors)
    labels = np.repeat(
        [run.phone for run in found.segments], [r.end - r.start for r in found.segments]
    )
    wanted = np.repeat([PHONES.index[phone] for phone in (said or audio).split()], 6)
    spoken = [PHONES.names[run.phone] for run in found.segments if run.phone]
    assert spoken == [phone for phone in (said or audio).split() if phone != "SIL"]
    assert len(labels) == len(log_posteriors)
    if not said:
        np.testing.assert_array_equal(labels, wanted)
        assert found.score == pytest.approx(np.log(0.9))


def test_the_same_recording_gives_the_same_sentence(sentences):
    noise = np.random.default_rng(3).standard_normal((90, len(PHONES)))
    log_posteriors = (noise - np.log(np.exp(noise).sum(1, keepdims=True))).astype(np.float32)
    assert sentences().align("u0", log_posteriors) == sentences().align("u0", log_posteriors)


def test_what_cannot_be_found_is_named(sentences):
    def message(name: str, audio: str, *made) -> str:
        with pytest.raises(CorpusError) as caught:
            sentences(*made).align(name, heard(audio))
        return message_of(caught)

    assert message("u9", "AA").startswith("intents.json does not list it")
    assert message("u0", "AA") == "too short for any sentence of the grammar"
    assert "not in the lexicon: WORTH" in message("u0", "AA", {"u0": {"slots": {"what": "worth"}}})
    needs = {"u0": {"slots": {"who": "bash"}}}  # a slot that the grammar does not know
    assert sentences(needs).align("u0", heard("AA SH AA")).segments[0].phone == PHONES.index["AA"]


@pytest.mark.parametrize(
    "intents", [[], {"u0": {}}, {"u0": []}, {"u0": {"slots": ["a"]}}, {"u0": {"slots": {"a": 1}}}]
)
def test_intents_of_another_shape(sentences, intents):
    with pytest.raises(CorpusError, match="intents.json: not understood; write"):
        sentences(intents)


def test_intents_that_cannot_be_read(sentences, tmp_path):
    made = sentences()
    (tmp_path / "intents.json").write_text("{")
    with pytest.raises(CorpusError, match="not understood"):
        SentenceHypotheses(made._grammar, made._lexicon, tmp_path)
    (tmp_path / "intents.json").unlink()
    with pytest.raises(CorpusError, match=r"intents.json: cannot be read \(No such file"):
        SentenceHypotheses(made._grammar, made._lexicon, tmp_path)
