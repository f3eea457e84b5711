"""The sets of a recipe: which utterances get into them, and which model realigns them."""

from __future__ import annotations

import types
from dataclasses import replace
from pathlib import Path

import pytest
from support.recipes import make_corpora, write_recipe

from speechattn.corpora.splits import held_out
from speechattn.errors import CorpusError
from speechattn.training import recipe_data
from speechattn.training.recipe_data import RecipeData
from speechattn.training.recipe_file import read_config


@pytest.fixture
def folder(tmp_path) -> Path:
    """Corpora of tones; the sentences of ``tones`` are all different, ``more`` has two of them."""
    make_corpora(tmp_path)
    return tmp_path


def data(folder: Path, lines: list[str], **changes) -> RecipeData:
    config = read_config(write_recipe(folder, **changes))
    return RecipeData(config, folder / "work", lines.append)


def ids(prepared) -> list[str]:
    return [f"{entry.corpus}/{entry.id}" for entry in prepared.entries]


def test_sentences_of_test_are_left_out_of_train_and_of_nothing_else(folder):
    lines: list[str] = []
    made = data(folder, lines)
    made.prepare()
    # more/u00 and u01 have the sentences of tones/u00 and u01.
    assert ids(made.prepared("train")) == [f"tones/u{n:02d}" for n in range(2, 8)]
    assert ids(made.prepared("dev")) == ["tones/u08", "tones/u09"]
    assert ids(made.prepared("test")) == ["tones/u10", "tones/u11", "more/u00", "more/u01"]
    assert lines == [
        "  left out of train: tones: 2 of 8 utterances, whose sentences a test set has too"
    ]


def test_nothing_is_left_out_where_sentences_differ(folder):
    lines: list[str] = []
    made = data(folder, lines, test=["tones/test"])
    made.prepare()
    assert lines == [] and len(made.prepared("train")) == 8


def test_a_train_set_of_test_sentences_alone_is_refused(folder):
    (folder / "corpora/tones/text").write_text("".join(f"u{n:02d} One!\n" for n in range(12)))
    with pytest.raises(CorpusError, match="a test set has all of its sentences too"):
        data(folder, [], test=["tones/test"]).prepare()


def test_held_out_sentences_are_those_of_dev(folder):
    lines: list[str] = []
    made = data(folder, lines, dev=[], hold_out=0.4, test=["tones/test"])
    made.prepare()
    corpus = made._corpus("tones/train")
    chosen = [f"tones/{u.id}" for u in corpus if held_out(u, 0.4)]
    assert ids(made.prepared("dev")) == chosen
    assert ids(made.prepared("train")) == [f"tones/{u.id}" for u in corpus if not held_out(u, 0.4)]
    assert 0 < len(chosen) < 8 and lines == []


TAUGHT = {"teacher": "a teacher", "training": {"teacher_weight": 0.5}}


@pytest.mark.parametrize(
    ("changes", "models"),
    [
        ({"start_from": "a model"}, ["a model"]),
        (TAUGHT, ["a teacher"]),
        ({"start_from": "a model", **TAUGHT}, ["a model", "a teacher"]),
    ],
    ids=["start", "teacher", "both"],
)
def test_only_the_entries_of_realign_are_realigned(folder, monkeypatch, changes, models):
    """With the model of ``start_from``, else the teacher, before test sentences are left out."""
    loaded, realigned = [], []

    def load(config, phones, device):
        loaded.append((config.aligner, phones.names))
        return "model"

    def realign(corpus, aligner, sentences):
        realigned.append((corpus.name, len(corpus), aligner, sentences))
        return replace(corpus, utterances=corpus.utterances[1:], problems=("u00: does not fit",))

    monkeypatch.setattr(recipe_data, "load_aligner", load)
    monkeypatch.setattr(recipe_data, "Recognizer", lambda model, *_, **__: f"recognizer of {model}")
    monkeypatch.setattr(recipe_data, "realign", realign)
    monkeypatch.setattr(recipe_data, "weights_digest", lambda name: f"digest of {name}")
    lines: list[str] = []
    made = data(
        folder,
        lines,
        train=["tones/train", "more/all"],
        test=["tones/test"],
        realign=["tones/train"],
        **changes,
    )
    made.prepare()
    assert loaded == [(models[0], made.phones.names)]
    assert realigned == [("tones", 8, "recognizer of model", None)]
    expected = [*(f"tones/u{n:02d}" for n in range(1, 8)), "more/u00", "more/u01"]
    assert ids(made.prepared("train")) == expected
    assert lines == ["  left out of train: u00: does not fit"]
    assert made.start_digest == [f"digest of {model}" for model in models]
    digests = [part for part in made.fingerprint if str(part).startswith("digest of")]
    assert digests == made.start_digest[:1]


def test_the_fingerprint_changes_with_the_files_of_the_corpora(folder):
    before = data(folder, []).fingerprint
    assert data(folder, []).fingerprint == before
    (folder / "corpora/more/text").write_text("u00 another\n")
    assert data(folder, []).fingerprint != before


def test_what_runs_write_into_a_corpus_does_not_change_its_fingerprint(folder, monkeypatch):
    """``corpus=.`` with ``data/runs`` below it, and what file managers leave there."""
    corpus = folder / "corpora/more"
    monkeypatch.chdir(corpus)
    made = RecipeData(read_config(write_recipe(folder)), Path("data/runs/own"), [].append)
    before = made.fingerprint
    for name in ("data/runs/own/prepared/index.json", "data/runs/other/stamps.json", ".DS_Store"):
        (corpus / name).parent.mkdir(parents=True, exist_ok=True)
        (corpus / name).write_text("{}")
    (corpus / "data/runs/other/report.md").write_text("")
    (corpus / ".git").mkdir()
    (corpus / ".git/index").write_text("")
    again = RecipeData(made.config, Path("data/runs/own"), [].append)
    assert again.fingerprint == before
    (corpus / "data/more.txt").write_text("words")
    assert RecipeData(made.config, made.work, [].append).fingerprint != before


class LateRealigner:
    """Finds the phones that the corpus has, each boundary 20 ms late."""

    def __init__(self, *_):
        self.spoken, self.reductions = {}, types.SimpleNamespace(shares={})

    def learn(self, corpora):
        pass

    def realign(self, corpus):
        return replace(
            corpus,
            utterances=tuple(
                replace(
                    utterance,
                    alignment=tuple(
                        replace(s, start=s.start + 0.02 * (s.start > 0), end=s.end + 0.02)
                        for s in utterance.alignment[:-1]
                    )
                    + (
                        replace(
                            utterance.alignment[-1], start=utterance.alignment[-1].start + 0.02
                        ),
                    ),
                )
                for utterance in corpus
            ),
        )


@pytest.mark.parametrize(("within", "moved"), [(0.0, 2), (10.0, 2), (20.0, 0)])
def test_realigned_boundaries_keep_near_times_of_the_corpus(folder, monkeypatch, within, moved):
    monkeypatch.setattr(recipe_data, "TextRealigner", LateRealigner)
    monkeypatch.setattr(recipe_data, "Lexicon", lambda *_: None)
    monkeypatch.setattr(recipe_data, "Reductions", types.SimpleNamespace(read=lambda *_: None))
    monkeypatch.setattr(RecipeData, "_aligner", None)
    monkeypatch.setattr(RecipeData, "start_digest", [])
    plain = data(folder, [])
    plain.prepare()
    before = plain.prepared("train")
    changes = {"realign": ["tones/train"], "reductions": "english", "start_from": "english"}
    made = data(folder, [], **changes, keep_times_ms=within)
    made.prepare()
    after = made.prepared("train")
    for entry, same in zip(before.entries, after.entries):
        starts = [[run.start for run in s.runs(e)] for s, e in ((before, entry), (after, same))]
        assert starts[1] == [start + moved * (start > 0) for start in starts[0]]
