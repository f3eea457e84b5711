"""The models a training begins with or learns from: loaded if they fit, else refused by name."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from support.commands import message_of

from speechattn.audio.features import FrontEndConfig
from speechattn.encoder.config import EncoderConfig
from speechattn.encoder.encoder import PhoneClassifier
from speechattn.encoder.kinds import CnnConfig
from speechattn.errors import ConfigError, ModelError
from speechattn.inference.checkpoint import Checkpoint
from speechattn.phones import PhoneSet, arpabet
from speechattn.training.config import RecipeConfig
from speechattn.training.config_sections import AugmentationConfig, TrainingConfig
from speechattn.training.warm_start import (
    initial_model,
    load_aligner,
    load_initial_model,
    load_teacher,
    weights_digest,
)

CPU = torch.device("cpu")
FRONT_END = FrontEndConfig(num_mel_bins=40)


def recipe(model: Path, **changes) -> RecipeConfig:
    config = json.loads((model / "config.json").read_text())
    encoder = {**config["encoder"], "window": tuple(config["encoder"]["window"])}
    values = {"encoder": EncoderConfig(**encoder), "front_end": FRONT_END, **changes}
    return RecipeConfig(
        train=("c/t",), dev=("c/d",), test=("c/e",), start_from=str(model), **values
    )


def test_a_model_that_fits_is_loaded(tiny_model_dir):
    config = recipe(tiny_model_dir)
    # What changes no shape may be another.
    other = replace(config, encoder=replace(config.encoder, dropout=0.3, window=(2, 2)))
    stored = load_file(tiny_model_dir / "model.safetensors")
    for fitting in (config, other):
        found = load_initial_model(fitting, arpabet(), CPU).classifier.state_dict()
        assert found.keys() == stored.keys()
        assert all(torch.equal(found[name], stored[name]) for name in stored)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"width": 64}, "has shape [32"),
        ({"blocks": 3}, "has shape None, where the recipe's encoder has ["),
        ({"blocks": 1}, "where the recipe's encoder has None"),
        ({"stack": 4}, "has shape ["),
    ],
    ids=["width", "deeper", "shallower", "stack"],
)
def test_weights_of_other_shapes_are_refused_by_name(tiny_model_dir, changes, said):
    config = recipe(tiny_model_dir)
    config = replace(config, encoder=replace(config.encoder, **changes))
    with pytest.raises(ConfigError) as caught:
        load_initial_model(config, arpabet(), CPU)
    message = message_of(caught)
    assert message.startswith(f"start_from: {tiny_model_dir}: its ") and said in message
    assert "make them agree" in message


def test_another_kind_of_encoder_is_refused(tiny_model_dir):
    config = replace(recipe(tiny_model_dir), encoder=CnnConfig(width=32))
    with pytest.raises(ConfigError) as caught:
        load_initial_model(config, arpabet(), CPU)
    message = message_of(caught)
    assert "its encoder is of kind 'attention', the recipe's of kind 'cnn'" in message
    assert message.startswith("start_from: ") and "make them agree" in message


def test_other_frames_and_other_phones_are_refused(tiny_model_dir):
    config = recipe(tiny_model_dir)
    with pytest.raises(ConfigError, match="its front_end are not the recipe's; make them agree"):
        load_initial_model(
            replace(config, front_end=FrontEndConfig(num_mel_bins=41)), arpabet(), CPU
        )
    names = arpabet().names
    for phones in (PhoneSet((names[0], *names[:0:-1])), PhoneSet(names, silence=names[-1])):
        with pytest.raises(ConfigError, match="its phones are not the recipe's"):
            load_initial_model(config, phones, CPU)
    assert load_initial_model(config, PhoneSet(names, arpabet().silence), CPU)  # folded otherwise


def test_a_model_that_is_missing_or_damaged_is_named(tiny_model_dir, tmp_path):
    config = replace(recipe(tiny_model_dir), start_from=str(tmp_path / "gone"))
    with pytest.raises(ModelError) as caught:
        load_initial_model(config, arpabet(), CPU)
    assert message_of(caught).startswith(f"start_from: {tmp_path / 'gone'}: no model folder")
    damaged = shutil.copytree(tiny_model_dir, tmp_path / "damaged")
    (damaged / "model.safetensors").write_bytes(b"")
    with pytest.raises(ModelError) as caught:
        load_initial_model(replace(config, start_from=str(damaged)), arpabet(), CPU)
    assert message_of(caught).startswith(f"start_from: {damaged / 'model.safetensors'}: ")


def taught(teacher: Path, crop_frames: int = 100, speed: float = 0.0, **changes) -> RecipeConfig:
    values = {
        "front_end": FRONT_END,
        "augmentation": AugmentationConfig(speed=speed),
        "training": TrainingConfig(teacher_weight=1.0, crop_frames=crop_frames),
        **changes,
    }
    return RecipeConfig(train=("c/t",), dev=("c/d",), test=("c/e",), teacher=str(teacher), **values)


@pytest.mark.parametrize("encoder", [EncoderConfig(width=64, stack=4), CnnConfig(width=32)])
def test_a_teacher_may_have_another_encoder(tiny_model_dir, encoder):
    config = taught(tiny_model_dir, encoder=encoder)
    stored = load_file(tiny_model_dir / "model.safetensors")
    for load in (load_teacher, load_aligner):
        found = load(config, arpabet(), CPU).classifier.state_dict()
        assert found.keys() == stored.keys()
        assert all(torch.equal(found[name], stored[name]) for name in stored)


def test_the_model_that_training_begins_with_aligns_before_the_teacher(tiny_model_dir):
    config = replace(
        recipe(tiny_model_dir), teacher="gone", training=TrainingConfig(teacher_weight=1)
    )
    assert load_aligner(config, arpabet(), CPU).name == "tiny"


def refusal(config: RecipeConfig, phones: PhoneSet = arpabet(), error=ConfigError) -> str:
    with pytest.raises(error) as caught:
        load_teacher(config, phones, CPU)
    return message_of(caught)


def test_a_teacher_of_other_frames_or_other_phones_is_refused(tiny_model_dir):
    said = refusal(taught(tiny_model_dir, front_end=FrontEndConfig(num_mel_bins=41)))
    assert said.startswith(f"teacher: {tiny_model_dir}: its front_end are not the recipe's; make")
    assert "name another model in teacher" in said
    names = arpabet().names
    for phones in (PhoneSet((names[0], *names[:0:-1])), PhoneSet(names, silence=names[-1])):
        said = refusal(taught(tiny_model_dir), phones)
        assert said.startswith(f"teacher: {tiny_model_dir}: its phones are not the recipe's; make")
    assert load_teacher(taught(tiny_model_dir), PhoneSet(names, arpabet().silence), CPU)


@pytest.mark.parametrize(
    ("crop_frames", "speed", "fits"),
    [(60, 0.0, True), (61, 0.0, False), (54, 0.1, True), (55, 0.1, False)],
)
def test_a_teacher_reaches_as_far_as_a_crop(tiny_model_dir, tmp_path, crop_frames, speed, fits):
    model = Checkpoint.load(tiny_model_dir)
    shape = EncoderConfig(width=8, heads=2, blocks=1, positions="learned", trained_length=60)
    model.classifier = PhoneClassifier(FRONT_END.dim, len(model.phones), shape)
    model.save(tmp_path / "short")
    config = taught(tmp_path / "short", crop_frames, speed)
    if fits:
        assert load_teacher(config, arpabet(), CPU)
        return
    said = refusal(config)
    assert said.startswith(f"teacher: {tmp_path / 'short'}: its positions reach 60 frames, and ")
    assert f" {config.longest_crop}; " in said and config.longest_crop > 60


def test_a_teacher_that_is_missing_or_damaged_is_named(tiny_model_dir, tmp_path):
    said = refusal(taught(tmp_path / "gone"), error=ModelError)
    assert said.startswith(f"teacher: {tmp_path / 'gone'}: no model folder")
    damaged = shutil.copytree(tiny_model_dir, tmp_path / "damaged")
    (damaged / "model.safetensors").write_bytes(b"")
    said = refusal(taught(damaged), error=ModelError)
    assert said.startswith(f"teacher: {damaged / 'model.safetensors'}: ")


def test_a_digest_is_of_the_words_of_the_model_beside_it_too(tiny_model_dir, tmp_path):
    for name in ("small", "words"):
        shutil.copytree(tiny_model_dir, tmp_path / name)
    config = json.loads((tmp_path / "small/config.json").read_text()) | {"words_of": "words"}
    (tmp_path / "small/config.json").write_text(json.dumps(config))
    before = weights_digest(str(tmp_path / "small"))
    assert before not in (weights_digest(str(tiny_model_dir)), None)
    words = Checkpoint.load(tmp_path / "words")
    words.classifier.mean[0] += 1
    words.save(tmp_path / "words")
    assert weights_digest(str(tmp_path / "small")) not in (before, None)
    shutil.rmtree(tmp_path / "words")
    assert weights_digest(str(tmp_path / "small")) is None


def test_a_digest_is_of_the_weights_alone(tiny_model_dir, tmp_path):
    copy = shutil.copytree(tiny_model_dir, tmp_path / "copy")
    expected = weights_digest(str(tiny_model_dir))
    assert weights_digest(str(copy)) == expected and len(expected) == 64
    model = Checkpoint.load(copy)
    model.decoding = replace(model.decoding, prior_scale=0.5)
    model.save(copy)
    assert weights_digest(str(copy)) == expected
    model.classifier.mean[0] += 1
    model.save(copy)
    assert weights_digest(str(copy)) not in (expected, None)
    assert weights_digest(str(tmp_path / "gone")) is None


def test_init_keeps_the_decoder_and_start_from_says_that_it_does_not(tiny_model_dir):
    config = recipe(tiny_model_dir)
    plain = initial_model(config, arpabet(), CPU)
    assert plain.decoder is None and "are not (init=" in plain.notes[0]
    tuned = replace(config, init=str(tiny_model_dir))
    kept = initial_model(tuned, arpabet(), CPU)
    stored = Checkpoint.load(tiny_model_dir)
    assert kept.decoder.decoding == stored.decoding and "stay" in kept.notes[0]
    anew = replace(tuned, decoding=replace(tuned.decoding, keep=False))
    lost = initial_model(anew, arpabet(), CPU)
    assert lost.decoder is None and "are lost" in lost.notes[0]


def test_other_phones_replace_the_classifier_and_keep_what_they_share(tiny_model_dir):
    config = replace(recipe(tiny_model_dir), init=str(tiny_model_dir))
    phones = PhoneSet(("pau", "AA", "new", "S"), "pau")
    found = initial_model(config, phones, CPU)
    assert found.decoder is None
    assert "but for 2 of 4 phones" in found.notes[0] and "are lost" in found.notes[1]
    before = Checkpoint.load(tiny_model_dir).classifier
    after = found.classifier
    for name, value in before.state_dict().items():
        if not name.startswith("classify."):
            assert torch.equal(after.state_dict()[name], value), name
    frames = torch.randn(1, 30, config.front_end.dim)
    with torch.no_grad():
        old, new = before(frames), after.eval()(frames)
    for label in ("AA", "S"):
        torch.testing.assert_close(new[..., phones.index[label]], old[..., arpabet().index[label]])
    assert new.shape[-1] == 4
