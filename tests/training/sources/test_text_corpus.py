"""Folders of recordings with their texts beside them."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
from support.commands import message_of

from speechattn.corpora.readers import read_published
from speechattn.errors import CorpusError
from speechattn.training.sources.text_corpus import is_text_corpus, read_text_corpus


def recording(path, seconds=0.5):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.zeros(int(16000 * seconds), np.float32), 16000)
    return path


def test_recordings_get_their_texts_speakers_and_lengths(tmp_path):
    folder = tmp_path / "mine"
    recording(folder / "anna" / "one two.wav", 0.25).with_suffix(".txt").write_text("Hello\nthere.")
    recording(folder / "top.flac").with_suffix(".lab").write_text("you")
    recording(folder / "silent.wav")
    (folder / "nobody.txt").write_text("words")
    (folder / "empty.txt").write_text(" ")
    recording(folder / "empty.wav")
    assert is_text_corpus(folder)
    corpus = read_text_corpus(folder)
    found = {u.id: (u.speaker, u.text, u.duration) for u in corpus}
    assert found == {
        "anna-one_two": ("anna", "Hello there.", 0.25),
        "top": ("mine", "you", 0.5),
    }
    assert len(corpus.problems) == 2
    assert any("silent.wav: no transcript" in problem for problem in corpus.problems)
    assert any("empty.txt" in problem for problem in corpus.problems)
    assert any("nobody.txt: a transcript of no recording" in note for note in corpus.notes)


def test_two_of_one_name_and_broken_ones_are_named(tmp_path):
    recording(tmp_path / "a" / "b.wav").with_suffix(".txt").write_text("x")
    recording(tmp_path / "a-b.wav").with_suffix(".txt").write_text("y")
    (tmp_path / "c.wav").write_bytes(b"RIFF")
    (tmp_path / "c.txt").write_text("z")
    corpus = read_text_corpus(tmp_path)
    assert [u.id for u in corpus] == ["a-b"]
    assert any("would be called a-b" in problem for problem in corpus.problems)
    assert any("c.wav" in problem for problem in corpus.problems)


def test_nothing_usable_is_an_error(tmp_path):
    with pytest.raises(CorpusError) as caught:
        read_text_corpus(tmp_path)
    assert "neither a wav.scp nor a recording" in message_of(caught)
    recording(tmp_path / "a.wav")
    with pytest.raises(CorpusError) as caught:
        read_text_corpus(tmp_path)
    assert "no usable recording" in message_of(caught)
    (tmp_path / "wav.scp").write_text("")
    assert not is_text_corpus(tmp_path)


@pytest.mark.parametrize(
    "labels", ["0 2500000 HH\n2500000 5000000 AY\n", "0.0\t0.2\tHH\n0.2\t0.5\tAY\n"]
)
@pytest.mark.parametrize("suffix", [".lab", ".txt"])
def test_labels_with_times_are_no_words(tmp_path, labels, suffix):
    """Of HTK and of Audacity; the test is that of ``corpus check``."""
    recording(tmp_path / "good.wav").with_suffix(".txt").write_text("3 4 people\n")
    recording(tmp_path / "a" / "bad.wav").with_suffix(suffix).write_text(labels)
    corpus = read_text_corpus(tmp_path)
    assert [u.text for u in corpus] == ["3 4 people"]
    (problem,) = corpus.problems
    said = f"{tmp_path}/a/bad{suffix}: has labels with times; write the words alone"
    assert problem == f"{tmp_path}/a/bad.wav: {said}"
    assert said in read_published(tmp_path, "texts").problems
