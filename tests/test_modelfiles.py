"""The digest of a model tells it from every other one."""

from __future__ import annotations

import hashlib

import pytest

from speechattn.errors import ModelError
from speechattn.modelfiles import CONFIG, WEIGHTS, model_digest


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
