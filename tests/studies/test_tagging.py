"""Tagging: what a word sees, what is counted, and the command on real text and on "I saw a saw"."""

from __future__ import annotations

import random
import sys

import pytest
import torch

from speechattn.cli.recipe import main
from speechattn.errors import ConfigError
from speechattn.studies import tagging
from speechattn.studies.tagged_text import NO_TAG, Lexicon, Text, Utterance
from speechattn.studies.tagging import Config, Tagger, window_name, window_of

pytestmark = pytest.mark.studies

SAW = [("I", "PRON"), ("saw", "VERB"), ("a", "DET"), ("saw", "NOUN"), (".", None)]
CAME = [("we", "PRON"), ("came", "VERB"), (".", None)]


def conversations(count: int) -> list[list[Utterance]]:
    """Of sentences in which the word before "saw" decides what it is."""
    draw = random.Random(0)
    made = []
    for _ in range(count):
        utterances = []
        for _ in range(20):
            words = []
            for _ in range(draw.randint(1, 3)):
                before, tag = draw.choice([("I", "VERB"), ("we", "VERB"), ("a", "NOUN")])
                words += [(before, "DET" if before == "a" else "PRON"), ("saw", tag)]
            utterances.append([*words, (".", None)])
        made.append(utterances)
    return made


@pytest.fixture
def tiny(tmp_path, monkeypatch) -> list[str]:
    """The command on sentences with "saw"."""
    monkeypatch.setattr(tagging, "read_corpus", lambda: conversations(10))
    sizes = ["width=16", "heads=2", "seeds=1", "training.batch=16", "training.steps=60"]
    return ["tagging", f"work_dir={tmp_path / 'work'}", *sizes]


def row(report: str, name: str) -> list[str]:
    """The cells of a row of the report's table."""
    (line,) = [line for line in report.splitlines() if line.startswith(f"| {name} |")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_one_neighbour_decides_what_saw_is(tiny, tmp_path):
    assert main([*tiny, "windows=[[0, 0], [1, 0], [0, 1]]"]) == 0
    report = (tmp_path / "work/report.md").read_text()
    usual, ambiguous = row(report, "most frequent tag"), 3
    assert row(report, "1 left, 0 right")[ambiguous] == "100.0"
    for name in ("the word alone", "0 left, 1 right"):
        assert float(row(report, name)[ambiguous]) <= float(usual[ambiguous]) + 1 < 90


def test_real_text_is_read_and_tagged(tmp_path, capsys):
    pytest.importorskip("pycantonese", reason="the text comes with it: speechattn[studies]")
    arguments = ["tagging", f"work_dir={tmp_path}", "seeds=1", "training.steps=1", "width=8"]
    assert main([*arguments, "windows=[[1, 1]]"]) == 0
    report = (tmp_path / "report.md").read_text()
    assert "all words (27,435), % right | ambiguous words (13,028), % right" in report
    # As counted apart from this program: the usual tag of 27,435 test words, 13,028 of them ambiguous.
    assert row(report, "most frequent tag") == ["most frequent tag", "–", "89.6", "89.2", "17.0"]


@pytest.mark.parametrize(
    ("status", "override", "message"),
    [
        (2, "windows=[[1]]", "windows: [1]; each is [left, right] in words, or everything"),
        (2, "windows=[all]", "windows: 'all'; each is [left, right]"),
        (2, "windows=[[-1, 0]]", "windows: [-1, 0]; each is [left, right]"),
        (2, "windows=[]", "windows: empty"),
        (2, "word_dropout=1.0", "word_dropout: 1.0; from 0 to below 1"),
        (2, "heads=3", "heads: 3; they must divide the width, 16"),
        (2, "test_every=1", "test_every: 1; from 2 on"),
        (1, "test_every=11", "test_every: 11: no utterances to test on, of 10 conversations"),
    ],
)
def test_what_cannot_be_is_one_clear_line(tiny, tmp_path, capsys, status, override, message):
    assert main([*tiny, override]) == status
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("speechattn.recipe: error: ") and message in line
    assert not (tmp_path / "work").exists()


def test_without_pycantonese_the_command_says_what_to_install(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "pycantonese", None)
    assert main(["tagging", f"work_dir={tmp_path}"]) == 2
    assert "pip install 'speechattn[studies]'" in capsys.readouterr().err


def test_tags_that_training_does_not_have_are_named(tiny, tmp_path, monkeypatch):
    text = [*conversations(4), [[("saw", "NEW"), ("I", "NEW")]]]
    monkeypatch.setattr(tagging, "read_corpus", lambda: text)
    assert main([*tiny, "training.steps=1", "windows=[[1, 1]]"]) == 0
    assert "never right: NEW (2)." in (tmp_path / "work/report.md").read_text()


def test_padding_is_not_seen_and_has_no_tag():
    lexicon = Lexicon([SAW, CAME], 1)
    text = Text([SAW, CAME], lexicon)
    words, lengths, tags = text.batch(torch.tensor([0, 1]))
    assert tags[1].tolist()[2:] == [NO_TAG] * 3 and tags[0, 4] == NO_TAG
    torch.manual_seed(0)
    model = Tagger(Config(), len(lexicon.words) + 1, 4, window_of("everything")).eval()
    together = model(words, lengths)[1, :3]
    alone = model(*text.batch(torch.tensor([1]))[:2])[0]
    torch.testing.assert_close(together, alone)


@pytest.mark.parametrize(
    ("window", "seen"),
    [([0, 0], {2}), ([1, 1], {1, 2, 3}), ([1, 0], {1, 2}), ("everything", {0, 1, 2, 3, 4})],
)
def test_a_word_sees_its_window_and_no_more(window, seen):
    torch.manual_seed(0)
    model = Tagger(Config(), 10, 3, window_of(window)).eval()
    words, lengths = torch.tensor([[1, 2, 3, 4, 5]]), torch.tensor([5])
    before = model(words, lengths)[0, 2]
    changes = {
        place
        for place in range(5)
        if not model(words.index_fill(1, torch.tensor([place]), 9), lengths)[0, 2].equal(before)
    }
    assert changes == seen


def test_windows_have_names():
    values = ([0, 0], [1, 2], [None, 0], [None, None], "everything")
    names = ["the word alone", "1 left, 2 right", "all left, 0 right", "everything", "everything"]
    assert [window_name(value) for value in values] == names
    with pytest.raises(ConfigError):
        window_of([1, 2, 3])
