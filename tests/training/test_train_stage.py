"""The train stage: what it refuses before it begins."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from support.commands import make_prepared

from speechattn.encoder.config import EncoderConfig
from speechattn.errors import ConfigError
from speechattn.training import train_stage
from speechattn.training.config import RecipeConfig
from speechattn.training.config_sections import TrainingConfig
from speechattn.training.stages import fingerprint
from speechattn.training.train_stage import TrainStage

LIMIT = 60


class Phones(list):
    silence_index = 0


class Begun(Exception):
    """Training has begun."""


def stage(folder, positions, **lengths) -> TrainStage:
    """Of a recipe whose sets have utterances of these lengths, in frames."""
    made = {
        name: make_prepared(
            folder / name,
            [(np.ones((n, 8)), np.zeros(n, int)) for n in lengths.get(name, [20, 30])],
        )
        for name in ("train", "dev", "test")
    }
    limit = {"trained_length": LIMIT} if positions == "learned" else {}
    config = RecipeConfig(
        train=("c/t",),
        dev=("c/d",),
        test=("c/e",),
        encoder=EncoderConfig(width=8, heads=2, positions=positions, **limit),
        training=TrainingConfig(crop_frames=20),
    )
    data = SimpleNamespace(
        prepared=made.__getitem__, start_digest=[], phones=Phones(), noises=list, corpora=folder
    )
    return TrainStage(config, folder, data, torch.device("cpu"), str, lambda line: None)


@pytest.fixture(autouse=True)
def no_training(monkeypatch):
    def begin(*_, **__):
        raise Begun

    monkeypatch.setattr(train_stage, "Trainer", begin)


@pytest.mark.parametrize("name", ["dev", "test"])
def test_utterances_beyond_learned_positions_are_refused_at_once(tmp_path, name):
    message = (
        f"encoder.trained_length: {LIMIT} frames, but c u1 of {name} .u1.wav. has {LIMIT + 1}: "
    )
    with pytest.raises(ConfigError, match=message) as caught:
        stage(tmp_path, "learned", **{name: [20, LIMIT + 1, 30]}).run()
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "train").joinpath("inputs.txt").exists()  # nothing was set aside


def test_training_begins_where_all_is_within_reach(tmp_path):
    with pytest.raises(Begun):  # what is trained on is cropped
        stage(tmp_path / "a", "learned", train=[500], dev=[LIMIT], test=[LIMIT]).run()
    with pytest.raises(Begun):
        stage(tmp_path / "b", "rotary", dev=[500], test=[500]).run()


@pytest.mark.parametrize("precision, fast", [("bf16", False), ("bf16", True), ("fp32", False)])
def test_16_bits_without_instructions_for_them_are_said_to_be_slow(
    tmp_path, monkeypatch, precision, fast
):
    monkeypatch.setattr(train_stage, "fast_bfloat16", lambda: fast)
    begins = stage(tmp_path, "rotary")
    training = replace(begins.config.training, precision=precision)
    begins.config, lines = replace(begins.config, training=training), []
    begins.report = lines.append
    with pytest.raises(Begun):
        begins.run()
    said = [line for line in lines if "training.precision=fp32" in line]
    assert len(said) == (precision == "bf16" and not fast)


def test_without_a_teacher_and_codecs_the_inputs_are_those_of_before_there_were_any(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(train_stage, "load_teacher", lambda *_: SimpleNamespace(classifier=None))
    begins = stage(tmp_path, "rotary")
    config = begins.config.to_dict()
    later = ("steps", "evaluate_every", "checkpoint_every", "start_share", "tensorboard")
    training = {k: v for k, v in config["training"].items() if k not in later}
    assert training.pop("teacher_weight") == 0
    assert config["augmentation"].pop("codec_probability") == 0
    parts = ["", config["encoder"], training, config["augmentation"]]
    taught = [replace(begins.config.training, teacher_weight=weight) for weight in (0.5, 1.0)]
    configs = [replace(begins.config, teacher="x", training=each) for each in taught]
    coded = replace(begins.config.augmentation, codec_probability=0.5)
    configs.append(replace(begins.config, augmentation=coded))
    found = []
    for begins.config in (begins.config, *configs):
        with pytest.raises(Begun):
            begins.run()
        found.append((tmp_path / "train/inputs.txt").read_text().split()[0])
    assert found[0] == fingerprint(parts) and len(set(found)) == 4
