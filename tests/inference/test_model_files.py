"""Models of the package, and the digest that tells a model from every other one."""

from __future__ import annotations

import hashlib
import json
import math
import shutil

import pytest
import torch
from support.commands import message_of

from speechattn.errors import ModelError
from speechattn.inference.checkpoint import Checkpoint
from speechattn.inference.describe import model_summary
from speechattn.inference.model_files import CONFIG, MODELS, WEIGHTS, find_model, model_digest
from speechattn.inference.stored import StoredCheckpoint


def test_digest(tmp_path):
    (tmp_path / CONFIG).write_bytes(b"{}")
    with pytest.raises(ModelError, match="model.safetensors: cannot be read"):
        model_digest(tmp_path)
    weights = bytes(range(256)) * 5000  # more than is read at a time
    (tmp_path / WEIGHTS).write_bytes(weights)
    assert model_digest(tmp_path) == hashlib.sha256(b"{}" + weights).hexdigest()
    for name in (CONFIG, WEIGHTS):
        before = model_digest(tmp_path)
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes() + b" ")
        assert model_digest(tmp_path) != before


@pytest.mark.parametrize("key", ["weights_of", "words_of"])
def test_the_digest_is_of_the_model_beside_it_too(tiny_model_dir, tmp_path, key):
    for name in ("model", "other"):
        shutil.copytree(tiny_model_dir, tmp_path / name)
    config = json.loads((tmp_path / "model" / CONFIG).read_text()) | {key: "other"}
    (tmp_path / "model" / CONFIG).write_text(json.dumps(config))
    (tmp_path / "other" / WEIGHTS).write_bytes(b"of the other")
    files = {
        "weights_of": ["model/config.json", "other/model.safetensors"],
        "words_of": ["model/config.json", "model/model.safetensors", "other/model.safetensors"],
    }
    content = b"".join((tmp_path / file).read_bytes() for file in files[key])
    assert model_digest(tmp_path / "model") == hashlib.sha256(content).hexdigest()
    (tmp_path / "other" / WEIGHTS).unlink()
    with pytest.raises(ModelError, match="other.model.safetensors: cannot be read"):
        model_digest(tmp_path / "model")


@pytest.mark.parametrize("key", ["weights_of", "words_of"])
@pytest.mark.parametrize("name", ["a\0b", "\ud800", "", ".", "..", "../tiny", "a/b", 3, ["a"]])
def test_names_that_are_none_of_a_folder_are_refused(tiny_model_dir, tmp_path, key, name):
    folder = tmp_path / "model"
    shutil.copytree(tiny_model_dir, folder)
    config = json.loads((folder / CONFIG).read_text()) | {key: name}
    (folder / CONFIG).write_text(json.dumps(config))
    for read in (Checkpoint.load, model_digest):
        with pytest.raises(ModelError) as caught:
            read(folder)
        expected = f"{folder / CONFIG}: {key} is {name!r}; the name of a model folder beside"
        assert message_of(caught).startswith(expected)
    assert StoredCheckpoint.open(folder) is None


@pytest.mark.parametrize(
    ("name", "look_ahead"),
    [("english", math.inf), ("english_fast", math.inf), ("english_streaming", 100)],
)
def test_models_of_the_package_are_small_and_know_what_they_are(name, look_ahead):
    folder = find_model(name)
    assert folder == MODELS / name
    assert sum(path.stat().st_size for path in MODELS.rglob("*")) <= 24_000_000  # all of them
    about = model_summary(Checkpoint.load(folder), torch.device("cpu"))
    assert about["name"] == name and about["look_ahead_ms"] <= look_ahead
    assert about["card"].startswith(f"# {name}:") and "CC BY 4.0" in about["card"]
    for part in ("words", "word_pairs", "word_triples"):
        assert f"{about['decoding'][part]:,}" in about["card"]
