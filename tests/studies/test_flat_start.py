"""The study of alignments without a model, on words of tones."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from support.commands import make_corpus

from speechattn.corpora.corpus import read_corpus
from speechattn.errors import ConfigError
from speechattn.phones import arpabet
from speechattn.studies import flat_start
from speechattn.studies.flat_start import Config, _agreement

pytestmark = pytest.mark.studies

WORDS = {"BASH": ["B", "AA", "SH"], "ABBA": ["AA", "B", "AA"], "SHA": ["SH", "AA"]}
SMALL = """\
name: small
front_end: {num_mel_bins: 20}
encoder: {width: 16, heads: 2, feedforward: 32, blocks: 1, window: [4, 4]}
hold_out: 0.2
device: cpu
training: {steps: 4, batch_frames: 400, crop_frames: 100}
decoding: {bigram_scale: [1.0], prior_scale: [0.0], insertion_penalty: [0.0]}
"""


def corpus_of_words(folder, count, length):
    """A corpus of utterances of so many words of tones, with their texts."""
    random = np.random.default_rng(length)
    utterances, texts = {}, []
    for number in range(count):
        words = [str(word) for word in random.choice(list(WORDS), length)]
        spoken = [(p, int(random.integers(6, 30))) for word in words for p in WORDS[word]]
        utterances[f"{folder.name}{number:02d}"] = [("SIL", 12), *spoken, ("SIL", 20)]
        texts.append(f"{folder.name}{number:02d} {' '.join(words)}\n")
    made = make_corpus(folder, utterances)
    (made / "text").write_text("".join(texts))
    return made


@pytest.mark.slow
def test_alignments_and_models_are_compared(tmp_path):
    for name, count, length in (("a", 12, 3), ("b", 3, 2)):
        corpus_of_words(tmp_path / "corpora" / name, count, length)
    (tmp_path / "small.yaml").write_text(SMALL)
    lines = [f"{word} {' '.join(phones)}" for word, phones in WORDS.items()]
    (tmp_path / "words.dict").write_text("\n".join(lines))
    config = Config(
        work_dir=str(tmp_path / "work"),
        corpora=str(tmp_path / "corpora"),
        train="a/all",
        test="b/all",
        utterances=10,
        lexicon=(str(tmp_path / "words.dict"),),
        recipe=str(tmp_path / "small.yaml"),
        threads=1,
    )
    flat_start.run(config, False, lambda _: None)
    report = (tmp_path / "work/report.md").read_text()
    assert "10 of 10 utterances aligned." in report
    assert "| learned from |" in report
    with open(tmp_path / "work/scores.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["labels"] for row in rows] == ["given", "flat"]
    assert all(0 <= float(row["per_folded"]) for row in rows)


def test_what_is_shifted_is_counted_by_the_class_of_the_phone(tmp_path):
    phones = arpabet()
    spoken = [("SIL", 10), ("B", 10), ("AA", 10), ("SH", 10)]
    late = [("SIL", 10), ("B", 12), ("AA", 13), ("SH", 5)]
    given = read_corpus(make_corpus(tmp_path / "given", {"u": spoken}), phones=phones)
    found = read_corpus(make_corpus(tmp_path / "found", {"u": late}), phones=phones)
    (
        first,
        *_,
    ) = _agreement(given, found, phones)
    assert "1 of 1 utterances aligned. 66.7 % of 3 given boundaries have one within 20 ms" in first
    rows = "\n".join(_agreement(given, found, phones))
    for row in ("| stop | 1 | 100.0 % | +0 ms |", "| vowel | 1 | 100.0 % | +20 ms |",
                "| fricative | 1 | 0.0 % | +50 ms |"):  # fmt: skip
        assert row in rows


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"train": "kathleen"}, r"^train: 'kathleen'; it is corpus/split$"),
        ({"utterances": -1}, r"^utterances: -1; from 0 on$"),
    ],
)
def test_impossible_values_are_named(keys, message):
    with pytest.raises(ConfigError, match=message):
        Config(**keys)


def test_corpora_must_be_named():
    with pytest.raises(ConfigError, match=r"^train, test: each names a part of a corpus"):
        flat_start.run(Config(train="a/all"), False, print)
