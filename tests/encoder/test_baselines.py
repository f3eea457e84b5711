"""Kinds of encoders by configuration: what is impossible is named, how far each sees is right."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from support.recipes import make_corpora, write_recipe

from speechattn.cli.recipe import main
from speechattn.encoder.kinds import KINDS, AnyEncoderConfig, CnnConfig, FramesConfig, RnnConfig
from speechattn.errors import ConfigError
from speechattn.inference.recognizer import load_model
from speechattn.schema import build
from speechattn.training.recipe_file import read_config


def made(**values):
    return build(AnyEncoderConfig, values, "encoder.")


def test_the_kinds_are_those_of_the_documentation():
    assert list(KINDS) == ["attention", "frames", "cnn", "rnn"]
    assert made().kind == "attention"
    for name, kind in KINDS.items():
        assert type(made(kind=name)) is kind and made(kind=name).kind == name


@pytest.mark.parametrize(
    "values, parts",
    [
        ({"kind": "transformer"}, ["encoder.kind", "'transformer'", "attention, frames, cnn, rnn"]),
        ({"kind": None}, ["encoder.kind", "None"]),
        ({"kind": "cnn", "heads": 4}, ["encoder.heads", "attention", "cnn", "leave it out"]),
        ({"kind": "rnn", "window": [4, 4]}, ["encoder.window", "attention or frames", "rnn"]),
        ({"cell": "gru"}, ["encoder.cell", "kind rnn", "encoder.kind is attention"]),
        ({"kind": "cnn", "kernel": [3]}, ["encoder.kernel: no such key", "encoder.kernels"]),
        ({"kind": "cnn", "windows": [[3, 3]]}, ["encoder.windows: no such key"]),
        ({"kind": "frames", "width": 0}, ["encoder.width", "0"]),
        ({"kind": "frames", "layers": 0}, ["encoder.layers", "0"]),
        ({"kind": "frames", "dropout": 1.0}, ["encoder.dropout", "1.0"]),
        ({"kind": "frames", "window": [4]}, ["encoder.window", "(4,)", "[left, right]"]),
        ({"kind": "frames", "window": [4, None]}, ["encoder.window", "None"]),
        ({"kind": "frames", "window": [4, 3], "stack": 2}, ["encoder.window", "3", "stack (2)"]),
        ({"kind": "cnn", "kernels": []}, ["encoder.kernels", "[]"]),
        ({"kind": "cnn", "kernels": [3, 0]}, ["encoder.kernels", "[3, 0]"]),
        ({"kind": "cnn", "kernels": 3}, ["encoder.kernels", "3", "a list"]),
        ({"kind": "cnn", "dilations": [1, 2]}, ["encoder.dilations", "[1, 2]", "4 kernels"]),
        ({"kind": "cnn", "kernels": [3], "dilations": [0]}, ["encoder.dilations", "[0]", "1 on"]),
        ({"kind": "cnn", "right": [0, 0, 0]}, ["encoder.right", "[0, 0, 0]", "4 kernels"]),
        ({"kind": "cnn", "right": [0, 0, 0, 5]}, ["encoder.right", "5", "0 to 4"]),
        ({"kind": "cnn", "right": [0, 0, 0, True]}, ["encoder.right", "True"]),
        ({"kind": "cnn", "stack": 0}, ["encoder.stack", "0"]),
        ({"kind": "rnn", "cell": "elman"}, ["encoder.cell", "'elman'", "lstm, gru"]),
        ({"kind": "rnn", "bidirectional": 1}, ["encoder.bidirectional", "1"]),
        ({"kind": "rnn", "delay": -1}, ["encoder.delay", "-1"]),
        ({"kind": "rnn", "delay": 3, "stack": 2}, ["encoder.delay", "3", "stack (2)"]),
        ({"kind": "rnn", "delay": 4, "bidirectional": True}, ["encoder.delay", "4", "leave one"]),
        ({"kind": "rnn", "width": 5, "bidirectional": True}, ["encoder.width", "5", "even"]),
        ({"kind": "rnn", "layers": 1.5}, ["encoder.layers", "1.5"]),
    ],
)
def test_impossible_values_are_named(values, parts):
    with pytest.raises(ConfigError) as error:
        made(**values)
    assert "\n" not in str(error.value)
    for part in parts:
        assert part in str(error.value)


@pytest.mark.parametrize("values", [{"kernels": 3}, {"dilations": 2}, {"right": 1}])
def test_a_number_is_no_list(values):
    ((name, value),) = values.items()
    with pytest.raises(ConfigError, match=f"encoder.{name}: {value}; a "):
        CnnConfig(**values)


@pytest.mark.parametrize(
    "config, left, right, windows",
    [
        (FramesConfig(window=(14, 9)), 14, 9, [(14, 9)]),
        (FramesConfig(window=(0, 0)), 0, 0, [(0, 0)]),
        (FramesConfig(window=(6, 3), stack=3), 8, 5, [(6, 3)]),
        (CnnConfig(), 2 * (1 + 2 + 4 + 8), 30, []),
        (CnnConfig(kernels=(3, 4), dilations=None), 1 + 1, 1 + 2, []),
        (CnnConfig(kernels=(3, 3), dilations=(1, 4), right=(0, 0)), 10, 0, []),
        (CnnConfig(kernels=(4, 3), dilations=(2, 3), right=(1, 2), stack=2), 1 + 8, 1 + 16, []),
        (RnnConfig(), None, 0, []),
        (RnnConfig(delay=6, stack=3), None, 8, []),
        (RnnConfig(bidirectional=True), None, None, []),
    ],
)
def test_reach_by_hand(config, left, right, windows):
    assert (config.context(0), config.context(1), config.look_ahead) == (left, right, right)
    assert list(config.windows) == windows
    field = None if left is None else (left + right + 1) * 10
    assert config.receptive_field_ms == field


@pytest.mark.parametrize("kind", KINDS)
def test_configurations_survive_a_file(kind):
    config = made(kind=kind, width=24, stack=2, dropout=0.2)
    values = json.loads(json.dumps(config.to_dict()))
    assert build(AnyEncoderConfig, values, "encoder.") == config
    # Checkpoints and stages of recipes from before there were kinds stay what they were.
    assert values.get("kind", "attention") == kind and ("kind" in values) == (kind != "attention")
    assert replace(config, width=32).kind == kind


def test_a_recipe_chooses_its_encoder(tmp_path):
    recipe = tmp_path / "cnn.yaml"
    text = "train: [c/train]\ndev: [c/dev]\ntest: [c/test]\n"
    recipe.write_text(text + "encoder:\n  kind: cnn\n  kernels: [3, 3]\n  dilations: [1, 2]\n")
    config = read_config(recipe, ["encoder.width=64"])
    assert config.encoder == CnnConfig(width=64, kernels=(3, 3), dilations=(1, 2))
    assert config.to_dict()["encoder"]["kind"] == "cnn"
    with pytest.raises(ConfigError, match="encoder.feedforward: a key of kind attention"):
        read_config(recipe, ["encoder.feedforward=64"])
    recipe.write_text(text + "encoder:\n")
    assert read_config(recipe).encoder.kind == "attention"


@pytest.mark.parametrize(
    "encoder",
    [
        {"kind": "frames", "width": 24, "layers": 2, "window": [4, 4]},
        {"kind": "cnn", "width": 16, "kernels": [3, 3], "dilations": [1, 2], "stack": 2},
        {"kind": "rnn", "width": 16, "cell": "gru", "layers": 1, "bidirectional": True},
    ],
    ids=lambda encoder: encoder["kind"],
)
def test_the_same_recipe_trains_every_kind(encoder, tmp_path, capsys):
    make_corpora(tmp_path)
    recipe = write_recipe(tmp_path, encoder=encoder, transcribe=0)
    counts = [f"training.{name}=60" for name in ("steps", "evaluate_every", "checkpoint_every")]
    command = [str(recipe), "stages=prepare,train,evaluate", *counts]
    assert main(command) == 0
    capsys.readouterr()
    assert main(command) == 0
    assert capsys.readouterr().out.count("up to date, skipped") == 3
    model = load_model(tmp_path / "work" / "model", "cpu")
    assert model.checkpoint.classifier.config == made(**encoder)
    scores = json.loads((tmp_path / "work" / "evaluate" / "scores.json").read_text())
    assert scores["overall"]["frame_accuracy"] > 0.8  # four classes, well apart
    # A model of one kind is no beginning for another.
    capsys.readouterr()
    other = ["encoder={kind: frames, width: 8}", f"start_from={tmp_path / 'work' / 'model'}"]
    if encoder["kind"] != "frames":
        assert main([*command, *other]) == 1
        assert "kind 'frames'" in capsys.readouterr().err
