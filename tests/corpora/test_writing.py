"""Corpora as folders in Kaldi's form: what is written is what was read."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from support.published import write_tone

from speechattn.corpora.corpus import Corpus, Utterance
from speechattn.corpora.readers import read_published
from speechattn.corpora.writing import write_corpus
from speechattn.errors import CorpusError, UsageError
from speechattn.segments import Segment

ALIGNMENT = (Segment("SIL", 0.0, 0.1), Segment("AA", 0.1, 0.3333), Segment("B", 0.3333, 0.5))
ON_GRID = (Segment("SIL", 0.0, 0.1), Segment("AA", 0.1, 0.33), Segment("B", 0.33, 0.5))
WORDS = (Segment("ab", 0.1, 0.5),)


def corpus(folder: Path, *, parts: bool) -> Corpus:
    audio = write_tone(folder / "my audio" / "r 1.wav")
    spans = [(0.25, 0.75), (0.5, 1.0)] if parts else [(0.0, None)]
    utterances = tuple(
        Utterance(f"u{i}", audio, "ann", 0.5, "a b", ALIGNMENT, WORDS, *span)
        for i, span in enumerate(spans)
    )
    return Corpus(folder, None, utterances, splits={"train": ("u0",)})


@pytest.mark.parametrize("parts", [False, True])
@pytest.mark.parametrize("near", [False, True])
def test_what_is_written_is_read_again(tmp_path, parts, near):
    made = corpus(tmp_path / "a", parts=parts)
    if not parts:
        write_tone(tmp_path / "a" / "my audio" / "r 1.wav", 0.5)
    out = tmp_path / "a" / "out" if near else tmp_path / "b" / "out"
    write_corpus(made, out)
    again = read_published(out)
    assert (again.problems, again.notes, again.splits) == ((), (), made.splits)
    for before, after in zip(made, again, strict=True):
        assert after.path.resolve() == before.path and after.alignment == ON_GRID
        same = ("id", "speaker", "duration", "text", "words", "start", "end")
        assert [getattr(after, name) for name in same] == [getattr(before, name) for name in same]
    listed = (out / "wav.scp").read_text()
    assert listed.split(" ", 1)[1].startswith("../my audio" if near else "/")
    assert (out / "segments").exists() == parts
    assert "0.1000 0.2333 AA" in (out / "phones.ctm").read_text()


def test_nothing_is_written_over(tmp_path):
    made = corpus(tmp_path / "a", parts=False)
    with pytest.raises(UsageError, match="exists and is not empty"):
        write_corpus(made, tmp_path / "a")
    (tmp_path / "empty").mkdir()
    write_corpus(made, tmp_path / "empty")
    assert (tmp_path / "empty" / "wav.scp").is_file()


def test_files_that_nothing_would_stand_in_are_not_written(tmp_path):
    made = corpus(tmp_path / "a", parts=False)
    bare = [dataclasses.replace(u, text=None, alignment=None, words=()) for u in made]
    write_corpus(dataclasses.replace(made, utterances=tuple(bare), splits={}), tmp_path / "out")
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["utt2dur", "utt2spk", "wav.scp"]


@pytest.mark.parametrize(
    "name", ["9.41.00\u202fAM", "a\u00a0b", "\u3000a", "tab\tbell\a", "\u2028"]
)
@pytest.mark.parametrize("parts", [False, True])
def test_names_with_spaces_of_any_kind(tmp_path, name, parts):
    made = corpus(tmp_path / "a", parts=parts)
    path = write_tone(tmp_path / "a" / name / f"{name}.wav", 1.0 if parts else 0.5)
    moved = tuple(dataclasses.replace(u, path=path) for u in made)
    written = write_corpus(dataclasses.replace(made, utterances=moved), tmp_path / "out")
    assert written.problems == () and written.utterances == moved
    again = read_published(tmp_path / "out")
    assert again.problems == () and {u.path.resolve() for u in again} == {path}


@pytest.mark.parametrize("name", ["a\nb.wav", "a\rb.wav", "b\udcff.wav"])
def test_what_the_files_cannot_hold_is_left_out_and_the_others_are_written(tmp_path, name):
    made = corpus(tmp_path / "a", parts=True)
    path = made.utterances[0].path.rename(tmp_path / "a" / name)
    write_tone(made.utterances[1].path)
    first = dataclasses.replace(made.utterances[0], path=path)
    foreign = dataclasses.replace(made.utterances[1], id="u2", text="half \ud800")
    utterances = (first, made.utterances[1], foreign)
    splits = {"train": ("u0", "u1"), "dev": ("u0",)}
    written = write_corpus(
        dataclasses.replace(made, utterances=utterances, splits=splits), tmp_path / "out"
    )
    assert [u.id for u in written] == ["u1"] and len(written.problems) == 2
    assert (
        written.problems[0].startswith("a: u0: ") and "wav.scp cannot hold" in written.problems[0]
    )
    assert "character 6 is none of Unicode" in written.problems[1]
    again = read_published(tmp_path / "out")
    assert [u.id for u in again] == ["u1"]
    assert (again.problems, again.notes, again.splits) == ((), (), {"train": ("u1",)})


def test_a_path_that_cannot_be_listed(tmp_path):
    made = corpus(tmp_path / "a", parts=False)
    path = write_tone(tmp_path / "a" / "b |", format="WAV")
    bad = [dataclasses.replace(u, path=path) for u in made]
    with pytest.raises(CorpusError, match=r"a path that wav\.scp cannot hold"):
        write_corpus(dataclasses.replace(made, utterances=tuple(bad)), tmp_path / "out")
    assert not (tmp_path / "out").exists() and not (tmp_path / "out.partial").exists()
