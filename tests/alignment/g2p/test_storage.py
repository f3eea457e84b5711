"""The file of a model: whole, of an earlier version, damaged, and the one of the package."""

from __future__ import annotations

import numpy as np
import pytest
from support.small_lexicon import ENTRIES

from speechattn.alignment.g2p import analogy
from speechattn.alignment.g2p.pronouncer import Pronouncer
from speechattn.alignment.g2p.storage import load_model, save_model
from speechattn.alignment.g2p.train import train
from speechattn.alignment.guesses import MODEL
from speechattn.errors import ConfigError
from speechattn.files import resource


@pytest.fixture
def model(monkeypatch) -> Pronouncer:
    monkeypatch.setattr(analogy, "LEAST_WORDS", 1)
    monkeypatch.setattr(analogy, "SHORTEST_STEM", 2)
    return train(ENTRIES, order=3)


def test_a_file_holds_the_model(model, tmp_path):
    save_model(tmp_path / "a.npz", model)
    save_model(tmp_path / "b.npz", train(ENTRIES, order=3))
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    loaded = load_model(tmp_path / "a.npz")
    assert loaded.graphones.graphones == model.graphones.graphones
    for mine, theirs in zip(model.graphones.orders, loaded.graphones.orders):
        assert (mine.suffix == theirs.suffix).all() and (mine.history == theirs.history).all()
    assert loaded.ends.rules == model.ends.rules and "s" in loaded.ends.rules
    assert loaded.fronts.rules == model.fronts.rules and loaded.fronts.rules
    assert loaded.pronounce("phate")[0].phones == ("F", "EY", "T")


def test_files_of_earlier_versions_have_no_rules(model, tmp_path):
    save_model(tmp_path / "new.npz", model)
    with np.load(tmp_path / "new.npz") as arrays:
        np.savez(tmp_path / "old.npz", **{n: arrays[n] for n in arrays if "rules" not in n})
    loaded = load_model(tmp_path / "old.npz")
    assert loaded.ends.rules == loaded.fronts.rules == {}
    known = {"phate": [("F", "EY", "T")]}
    guess = loaded.pronounce("phates", 1, lambda word: known.get(word, []))
    assert guess == loaded.pronounce("phates")


def test_a_damaged_file_is_named(model, tmp_path):
    save_model(tmp_path / "a.npz", model)
    for data in (b"", b"PK", (tmp_path / "a.npz").read_bytes()[:500]):
        (tmp_path / "bad.npz").write_bytes(data)
        with pytest.raises(ConfigError, match=r"bad\.npz: is no model of pronunciations"):
            load_model(tmp_path / "bad.npz")
    with np.load(tmp_path / "a.npz") as arrays:
        wrong = {**arrays, "end_rules": np.frombuffer(b"s\t\tT\tS", np.uint8)}
    np.savez(tmp_path / "bad.npz", **wrong)
    with pytest.raises(ConfigError, match=r"bad\.npz: is no model of pronunciations"):
        load_model(tmp_path / "bad.npz")


def test_what_the_package_brings():
    path = resource("data", MODEL)
    assert path.stat().st_size < 3_000_000
    model = load_model(path)
    assert model.letters == set("abcdefghijklmnopqrstuvwxyz'")
    assert model.ends.rules and model.fronts.rules
    for word, phones in {
        "blorf": "B L AO R F",
        "snickering": "S N IH K ER IH NG",
        "dephlorination": "D EH F L AO R AH N EY SH AH N",
    }.items():
        assert " ".join(model.pronounce(word)[0].phones) == phones
