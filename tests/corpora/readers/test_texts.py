"""Recordings with their words beside them."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.published import CAT_PHONES, textgrid, write_text, write_tone

from speechattn.corpora.readers import detect_format, read_published
from speechattn.corpora.writing import write_corpus
from speechattn.errors import CorpusError, UsageError
from speechattn.training.sources.text_corpus import read_text_corpus


def make(root: Path) -> Path:
    write_tone(root / "anna" / "one two.wav", 0.5)
    write_text(root / "anna" / "one two.txt", "Hello\nthere.\n")
    write_tone(root / "bo" / "x" / "y.z.flac", 0.25)
    write_text(root / "bo" / "x" / "y.z.LAB", "\ufeffyou \u00e4", "utf-16-le")
    write_tone(root / "top.wav", 1.0)
    write_text(root / "top.txt", "the cat")
    return root


def test_every_recording_has_its_words_speaker_and_length(tmp_path):
    root = make(tmp_path / "mine")
    assert detect_format(root) == "texts"
    corpus = read_published(root)
    assert (corpus.problems, corpus.notes, corpus.splits) == ((), (), {})
    assert [(u.id, u.speaker, u.text, u.duration, u.alignment) for u in corpus] == [
        ("anna-one_two", "anna", "Hello there.", 0.5, None),
        ("bo-x-y.z", "bo", "you \u00e4", 0.25, None),
        ("top", "mine", "the cat", 1.0, None),
    ]
    trained = {u.id: (u.speaker, u.text) for u in read_text_corpus(root)}
    assert trained == {u.id: (u.speaker, u.text) for u in corpus}


def test_everything_that_is_wrong_is_named(tmp_path):
    root = make(tmp_path)
    for name in ("silent", "grid", "empty", "both", "latin", "wide", "labels", "anna-one_two"):
        write_tone(root / f"{name}.wav")
    write_text(root / "grid.TextGrid", textgrid({"phones": CAT_PHONES}))
    write_text(root / "empty.txt", " \n")
    write_text(root / "both.txt", "a")
    write_text(root / "both.lab", "a")
    write_text(root / "latin.txt", "one\nd\u00e9j\u00e0", "latin-1")
    write_text(root / "wide.txt", "one", "utf-16-le")
    write_text(root / "labels.lab", "0 5000000 SIL\n5000000 6000000 AA\n")
    write_text(root / "anna-one_two.txt", "b")
    (root / "broken.wav").write_bytes(b"RIFF")
    write_text(root / "broken.txt", "c")
    write_text(root / "nobody.txt", "d")
    corpus = read_published(root, "texts")
    assert len(corpus) == 3
    expected = {
        "silent.wav: no transcript; write its words into silent.txt or silent.lab beside it",
        "grid.wav: no transcript; write its words into grid.txt or grid.lab beside it; --format",
        "empty.txt: is empty; write what is said",
        "both.wav: two transcripts, ",
        "latin.txt:2: byte 0xe9 is not UTF-8",
        "wide.txt: is perhaps in UTF-16 without a byte order mark",
        "labels.lab: has labels with times; write the words alone",
        "utterance anna-one_two exists already, from ",
        "broken.wav",
    }
    assert len(corpus.problems) == len(expected)
    for said in expected:
        assert sum(said in problem for problem in corpus.problems) == 1, said
    assert [note.rsplit("/", 1)[1] for note in corpus.notes] == [
        "nobody.txt: a transcript of no recording; left out"
    ]


def test_what_is_no_such_folder(tmp_path):
    write_tone(tmp_path / "a.wav")
    write_text(tmp_path / "b.txt", "b")
    with pytest.raises(CorpusError, match="of no format that is certain"):
        detect_format(tmp_path)
    with pytest.raises(CorpusError, match=r"no usable utterance; first of 1 problems: .*a\.wav"):
        read_published(tmp_path, "texts")
    write_text(tmp_path / "a.txt", "a")
    assert detect_format(tmp_path) == "texts"
    write_text(tmp_path / "a.PHN", "0 16000 sil")
    with pytest.raises(CorpusError, match="of no format that is certain"):
        detect_format(tmp_path)
    with pytest.raises(UsageError, match="format texts takes no folder of alignments"):
        read_published(tmp_path, "texts", alignments=tmp_path)


def test_it_is_written_without_phones_and_read_again(tmp_path):
    corpus = read_published(make(tmp_path / "mine"))
    write_corpus(corpus, tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *("wav.scp", "text", "utt2spk", "utt2dur")
    }
    again = read_published(tmp_path / "out")
    assert (again.problems, again.notes) == ((), ())
    assert [(u.id, u.speaker, u.text) for u in again] == [(u.id, u.speaker, u.text) for u in corpus]
