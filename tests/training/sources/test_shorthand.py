"""``corpus`` and ``init``: what they stand for, and what may not stand beside them."""

from __future__ import annotations

import json

import pytest
from support.commands import message_of

from speechattn.errors import ConfigError
from speechattn.training.recipe_file import read_config
from speechattn.training.sources.shorthand import HELD_OUT, spelled_out


def write_splits(folder, *names):
    (folder / "splits").mkdir(parents=True)
    for name in names:
        (folder / "splits" / name).write_text("u1\n")
    return folder


@pytest.mark.parametrize(
    ("splits", "expected"),
    [
        ((), {"train": ["c/all"], "dev": [], "test": [], "hold_out": HELD_OUT,
              "hold_out_test": HELD_OUT}),
        (("train", "dev", "test"), {"train": ["c/train"], "dev": ["c/dev"], "test": ["c/test"]}),
        (("train", "test"), {"train": ["c/train"], "dev": [], "test": ["c/test"],
                             "hold_out": HELD_OUT}),
        (("test",), {"train": ["c/all"], "dev": [], "test": [], "hold_out": HELD_OUT,
                     "hold_out_test": HELD_OUT}),
    ],
    ids=["none", "all", "no dev", "no train"],
)  # fmt: skip
def test_a_corpus_stands_for_its_splits(tmp_path, splits, expected):
    folder = write_splits(tmp_path / "c", *splits)
    given = {"name": "x", "corpus": str(folder)}
    found = spelled_out(given)
    assert given == {"name": "x", "corpus": str(folder)}
    assert found == {**given, "corpora": str(tmp_path.resolve()), **expected}


def test_shares_that_were_given_stay(tmp_path):
    values = {"corpus": str(write_splits(tmp_path / "c")), "hold_out": 0.3}
    assert spelled_out(values)["hold_out"] == 0.3


def test_the_shape_of_the_model_is_taken(tiny_model_dir, tmp_path):
    stored = json.loads((tiny_model_dir / "config.json").read_text())
    path = tmp_path / "r.yaml"
    path.write_text(f"init: {tiny_model_dir}\ncorpus: {tmp_path}\nencoder: {{dropout: 0.25}}\n")
    config = read_config(path)
    assert config.start_from == config.init == str(tiny_model_dir)
    assert config.encoder.width == stored["encoder"]["width"]
    assert config.encoder.dropout == 0.25
    assert config.front_end.num_mel_bins == stored["front_end"]["num_mel_bins"]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"corpus": "no/such"}, "corpus: no/such: no such folder"),
        ({"corpus": ".", "train": ["a/b"]}, "corpus: there is train as well; leave one of them"),
        ({"corpus": "a\0b"}, "no such folder"),
        ({"init": "english", "start_from": "other"}, "init: there is start_from as well"),
        ({"init": "no-such-model"}, "init: no-such-model: no model folder"),
        ({"init": "english", "encoder": 3}, "encoder: 3; it has keys of its own"),
    ],
)
def test_what_cannot_be_is_refused(values, said):
    with pytest.raises(ConfigError) as caught:
        spelled_out(values)
    assert said in message_of(caught)
