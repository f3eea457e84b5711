"""The study of what minutes of a speaker give, on speakers of tones."""

from __future__ import annotations

import csv
from types import SimpleNamespace

import pytest
from support.commands import make_corpus
from support.recipes import make_corpora, sentences, write_recipe

from speechattn.errors import ConfigError, CorpusError
from speechattn.studies import adaptation
from speechattn.studies.adaptation import Config, _cut, _test_and_rest
from speechattn.training.recipe import Recipe
from speechattn.training.recipe_file import read_config

pytestmark = pytest.mark.studies


def utterances(*seconds):
    return [SimpleNamespace(duration=each) for each in seconds]


def test_minutes_are_cut_in_whole_utterances():
    every = utterances(30, 30, 30, 30)
    for minutes, count in ((0.5, 1), (0.6, 2), (1.5, 3), (9, 4)):
        first, rest = _cut(every, minutes)
        assert (first, rest) == (every[:count], every[count:])


def test_no_sentence_of_the_test_is_learned():
    texts = ["One two.", "THREE", "one two", None, "four"]
    every = [SimpleNamespace(duration=30, text=text) for text in texts]
    test, rest = _test_and_rest(every, 0.9)
    assert (test, rest) == (every[:2], every[3:])


@pytest.mark.slow
def test_a_speaker_is_learned_and_tested_before_and_after(tmp_path):
    make_corpora(tmp_path)
    Recipe(read_config(write_recipe(tmp_path), []), lambda _: None).runner.run(("prepare", "train"))
    said = sentences(24, 5)  # every second one is of speaker s1
    folder = make_corpus(tmp_path / "corpora/new", said)
    lengths = {name: sum(frames for _, frames in phones) / 100 for name, phones in said.items()}
    (folder / "utt2dur").write_text("".join(f"{n} {s:.2f}\n" for n, s in lengths.items()))
    config = Config(
        work_dir=str(tmp_path / "study"),
        corpora=str(tmp_path / "corpora"),
        speakers=("new/all/s1",),
        minutes=(0.05, 3.0),
        test_minutes=0.03,
        init=str(tmp_path / "work/model"),
        changes=("training.steps=4", "training.evaluate_every=2", "device=cpu"),
        threads=1,
    )
    lines: list[str] = []
    adaptation.run(config, False, lines.append)
    assert "new/all/s1: has no 3 minutes beside the test" in lines
    with open(tmp_path / "study/scores.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["minutes"] for row in rows] == ["0.0", "0.05"]
    report = (tmp_path / "study/report.md").read_text()
    assert "| new/all/s1 | none |" in report and "| new/all/s1 | 0.05 |" in report
    with pytest.raises(CorpusError, match="speakers: new/all/s9: no such speaker; .* has s0, s1"):
        adaptation._utterances(config, "new/all/s9")


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"speakers": ("a/b",)}, r"^speakers: 'a/b'; each is corpus/split/speaker$"),
        ({"minutes": (0,)}, r"^minutes: 0; numbers above 0$"),
        ({"test_minutes": -1.0}, r"^minutes: -1.0; numbers above 0$"),
    ],
)
def test_impossible_values_are_named(keys, message):
    with pytest.raises(ConfigError, match=message):
        Config(**keys)
