"""The exported classifier gives what the package's own gives, for every length."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from support.models import save_tiny_model

from speechattn.cli.main import main
from speechattn.encoder.config import EncoderConfig
from speechattn.encoder.encoder import PhoneClassifier
from speechattn.encoder.export import ExportableClassifier
from speechattn.encoder.kinds import CnnConfig
from speechattn.errors import ConfigError
from speechattn.inference.checkpoint import Checkpoint
from speechattn.inference.export import export_onnx, export_program

DIM, PHONES = 8, 5
LENGTHS = (1, 2, 3, 31, 63, 64, 65, 200)
BASE = EncoderConfig(width=16, heads=2, feedforward=16, blocks=2, window=(8, 4), stack=2)


def classifier(config) -> PhoneClassifier:
    torch.manual_seed(0)
    return PhoneClassifier(DIM, PHONES, config).eval().requires_grad_(False)


@pytest.mark.parametrize(
    "changes",
    [
        {"conv_kernel": 3},
        {"window": (None, 4)},
        {"window": (None, None), "positions": "rotary"},
        {"positions": "distance", "window": (200, 40)},
        {"positions": "sinusoidal", "stack": 3, "window": (9, 6)},
        {"scores": "additive", "positions": "none"},
        {"weights": "relu"},
        {"positions": "learned", "trained_length": 400},
    ],
    ids=str,
)
def test_every_kind_of_attention_gives_the_same(changes):
    own = classifier(replace(BASE, **changes))
    exported = ExportableClassifier(own)
    for count in LENGTHS:
        frames = torch.randn(2, count, DIM)
        expected = own(frames).log_softmax(-1)
        np.testing.assert_allclose(exported(frames), expected, atol=1e-4)


def test_other_encoders_are_refused():
    with pytest.raises(ConfigError, match="'cnn' is not exported"):
        ExportableClassifier(classifier(CnnConfig(width=16)))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Checkpoint:
    folder = tmp_path_factory.mktemp("model") / "tiny"
    save_tiny_model(folder)
    return Checkpoint.load(folder)


@pytest.mark.slow
def test_one_program_of_torch_export_for_every_length(tiny):
    program = export_program(tiny).module()
    for count in (3, 4, 50, 97, 333):
        frames = torch.randn(1, count, tiny.front_end.dim) * 4 + 8
        expected = tiny.classifier(frames).log_softmax(-1)
        np.testing.assert_allclose(program(frames), expected, atol=1e-4)


@pytest.mark.slow
def test_the_onnx_file_in_onnxruntime(tiny, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime", reason="the extra test")
    path = tmp_path / "tiny.onnx"
    export_onnx(tiny, path)
    session = onnxruntime.InferenceSession(str(path))
    (given,) = session.get_inputs()
    assert (given.name, given.shape) == ("frames", ["batch", "frames", tiny.front_end.dim])
    for batch, count in ((1, 1), (1, 2), (3, 50), (1, 97), (2, 1000)):
        frames = torch.randn(batch, count, tiny.front_end.dim) * 4 + 8
        (found,) = session.run(None, {"frames": frames.numpy()})
        np.testing.assert_allclose(found, tiny.classifier(frames).log_softmax(-1), atol=1e-4)
    facts = session.get_modelmeta().custom_metadata_map
    assert json.loads(facts["phones"]) == list(tiny.phones.names)
    assert json.loads(facts["front_end"])["num_mel_bins"] == 40
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_exported(tmp_path, capsys):
    assert main(["export", str(tmp_path / "none"), str(tmp_path / "a.onnx")]) == 2
    assert "no model folder" in capsys.readouterr().err and not list(tmp_path.iterdir())
