"""Models of the package, and the digest that tells a model from every other one."""

from __future__ import annotations

import hashlib
import math

import pytest
import torch

from speechattn.errors import ModelError
from speechattn.inference.checkpoint import Checkpoint
from speechattn.inference.describe import model_summary
from speechattn.inference.model_files import CONFIG, MODELS, WEIGHTS, find_model, model_digest


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


@pytest.mark.parametrize(
    ("name", "look_ahead"), [("english", math.inf), ("english_streaming", 100)]
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
