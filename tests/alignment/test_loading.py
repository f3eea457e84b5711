"""The aligner that Python loads by the name of a model."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import soundfile
from support.spoken import write_speech

import speechattn
from speechattn.alignment import loading, pronunciations
from speechattn.errors import ConfigError, ModelError, UsageError
from speechattn.inference.recognizer import load_model

RATE = 16_000


@pytest.fixture
def lexicon(tmp_path, monkeypatch) -> str:
    path = tmp_path / "words.dict"
    path.write_text("see S IY1\nhim HH IH1 M\nhim IH1 M\n")
    # The dictionary of English takes two seconds to read.
    monkeypatch.setattr(pronunciations, "ENGLISH", str(path))
    return str(path)


def test_the_options_reach_the_aligner(lexicon, tiny_model_dir, tmp_path):
    own = tmp_path / "own.dict"
    own.write_text("from QQ R\nto T UW\n")
    aligner = speechattn.load_aligner(
        tiny_model_dir, "cpu", lexicons=[own], unknown="fail", every_word=True
    )
    assert isinstance(aligner, speechattn.Aligner) and aligner.doubt is None
    assert len(aligner.dictionary.lexicon.problems) == 1
    assert "QQ" in aligner.dictionary.lexicon.problems[0]
    samples = np.random.default_rng(0).normal(0, 0.1, RATE).astype(np.float32)
    found = aligner.align(samples, "See him.", sample_rate=RATE)
    assert isinstance(found, speechattn.AlignedRecording)
    assert [word.label for word in found.transcription.words] == ["See", "him"]
    with pytest.raises(speechattn.SpeechattnError, match="GARLIC"):
        aligner.align(samples, "see garlic", sample_rate=RATE)


def test_one_lexicon_may_stand_without_a_list(lexicon, tiny_model_dir, tmp_path):
    own = tmp_path / "own.dict"
    own.write_text("garlic G AA R L IH K\n")
    for given in (str(own), own):
        aligner = speechattn.load_aligner(tiny_model_dir, "cpu", lexicons=given)
        assert "GARLIC" in aligner.dictionary.lexicon.variants


def test_an_aligner_goes_to_another_process(lexicon, tiny_model_dir):
    aligner = speechattn.load_aligner(tiny_model_dir, "cpu", every_word=True)
    samples = np.random.default_rng(0).normal(0, 0.1, RATE).astype(np.float32)
    found = [
        each.align(samples, "See him.", sample_rate=RATE)
        for each in (aligner, pickle.loads(pickle.dumps(aligner)))
    ]
    assert found[0] == found[1]


def test_channel_and_labels_may_be_chosen(lexicon, tiny_model_dir, tmp_path):
    aligner = speechattn.load_aligner(tiny_model_dir, "cpu", every_word=True)
    noise = np.random.default_rng(0).normal(0, 0.1, (RATE, 2)).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", noise, RATE, subtype="FLOAT")
    chosen = aligner.align(tmp_path / "a.wav", "See him.", channel=1, labels="ipa").transcription
    alone = aligner.align(noise[:, 1], "See him.", sample_rate=RATE).transcription
    assert (chosen.channel, chosen.path, alone.path) == (1, tmp_path / "a.wav", None)
    assert [p.start for p in chosen.phones] == [p.start for p in alone.phones]
    assert "s" in [phone.label for phone in chosen.phones]
    with pytest.raises(UsageError, match="channel: 'all'; choose one"):
        aligner.align(tmp_path / "a.wav", "See him.", channel="all")
    with pytest.raises(UsageError, match="labels: 'kana' is unknown"):
        aligner.align(tmp_path / "a.wav", "See him.", labels="kana")


def test_reductions_are_read_or_left_out(lexicon, tiny_model_dir, tmp_path):
    recognizer = load_model(tiny_model_dir, "cpu")
    assert loading.make_aligner(recognizer)._text_aligner.reductions is not None
    assert loading.make_aligner(recognizer, reductions="none")._text_aligner.reductions is None
    with pytest.raises(ConfigError, match=r"nothing\.tsv"):
        loading.make_aligner(recognizer, reductions=tmp_path / "nothing.tsv")


def test_wrong_values_are_refused(lexicon, tiny_model_dir, tmp_path):
    with pytest.raises(ModelError, match="no_such_model"):
        speechattn.load_aligner("no_such_model")
    with pytest.raises(UsageError, match="sing"):
        speechattn.load_aligner(tiny_model_dir, "cpu", unknown="sing")
    with pytest.raises(ConfigError, match=r"gone\.dict"):
        speechattn.load_aligner(tiny_model_dir, "cpu", lexicons=[tmp_path / "gone.dict"])


@pytest.mark.slow
def test_english_aligns_a_sentence_in_three_lines(tmp_path):
    write_speech(tmp_path / "a.wav")
    found = speechattn.load_aligner(device="cpu").align(
        tmp_path / "a.wav", "Nine green apples, please."
    )
    words = found.transcription.words
    assert [word.label for word in words] == ["Nine", "green", "apples", "please"]
    assert words[-1].end <= soundfile.info(tmp_path / "a.wav").duration
    speechattn.write_transcription(found.transcription, tmp_path / "a.TextGrid")
    assert "apples" in (tmp_path / "a.TextGrid").read_text("utf-8")
