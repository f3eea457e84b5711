"""Models as they lie in their folders: what arrays need, and PyTorch's part when it is wanted."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from support.array_models import (
    CONFIG,
    array_checkpoint,
    random_frames,
    save_array_model,
)
from support.commands import message_of
from support.references.decoder import with_ngrams
from support.word_lms import random_words

import speechattn
from speechattn import deflated
from speechattn.attention.kernels import byte_matrix
from speechattn.attention.kernels.llvm import LANES
from speechattn.encoder import array_weights
from speechattn.encoder.config import EncoderConfig
from speechattn.encoder.encoder import PhoneClassifier
from speechattn.encoder.int8 import input_ranges
from speechattn.encoder.int8_matrix import fast_int8
from speechattn.encoder.kinds import CnnConfig, FramesConfig, RnnConfig
from speechattn.encoder.six_bits import six_bit_weights
from speechattn.errors import ConfigError, ModelError
from speechattn.inference.array_engine import ArrayEngine
from speechattn.inference.checkpoint import Checkpoint
from speechattn.inference.engine import make_engine
from speechattn.inference.model_files import CONFIG as CONFIG_FILE
from speechattn.inference.model_files import WEIGHTS
from speechattn.inference.stored import StoredCheckpoint
from speechattn.inference.tensor_engine import TensorEngine

pytestmark = pytest.mark.skipif(
    not byte_matrix.OFFERED, reason="PyTorch computes on this processor"
)
needs_int8 = pytest.mark.skipif(not fast_int8(), reason="PyTorch has no such products here")
PROJECT = "layers.1.layer.project"
OTHERS = {
    "rotary": EncoderConfig(width=2 * LANES, heads=2, feedforward=LANES, blocks=1),
    "convolutions": dataclasses.replace(CONFIG, conv_kernel=3),
    "narrow": dataclasses.replace(CONFIG, feedforward=LANES + 4),
    "cnn": CnnConfig(width=2 * LANES, kernels=(3, 3), dilations=None),
    "rnn": RnnConfig(width=2 * LANES, layers=1),
    "frames": FramesConfig(width=2 * LANES, layers=1, window=(2, 2)),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A model that no test may damage, with n-grams."""
    made = array_checkpoint()
    phone_model = with_ngrams(np.random.default_rng(0), made.phone_model)
    folder = tmp_path_factory.mktemp("models") / "whole"
    return save_array_model(folder, phone_model=phone_model)


@pytest.fixture
def folder(whole, tmp_path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "model"))


def frames_of(checkpoint):
    return 8 + 2 * random_frames(60, 5, checkpoint.front_end.dim)


def scores_of(checkpoint, classifier=None):
    frames = torch.from_numpy(frames_of(checkpoint))[None]
    with torch.inference_mode():
        return (classifier or checkpoint.classifier)(frames)[0].numpy()


def test_everything_but_the_encoder_is_that_of_a_loaded_model(whole):
    found, wanted = StoredCheckpoint.open(whole), Checkpoint.load(whole)
    for name in ("name", "front_end", "phones", "decoding", "training", "card", "encoder"):
        assert getattr(found, name) == getattr(wanted, name), name
    assert found.phone_model.to_dict() == wanted.phone_model.to_dict()
    tensors = [each.phone_model.ngrams.tensors() for each in (found, wanted)]
    for name, values in tensors[1].items():
        assert tensors[0][name].dtype == values.dtype
        np.testing.assert_array_equal(tensors[0][name], values)


def test_the_encoder_of_pytorch_is_loaded_when_it_is_asked_for(whole):
    found = StoredCheckpoint.open(whole)
    assert found._loaded is None and found.arrays
    assert found.encoder == CONFIG and found._loaded is None
    assert isinstance(found.classifier, PhoneClassifier)
    assert found.classifier is found.classifier  # loaded once
    wanted = Checkpoint.load(whole)
    np.testing.assert_array_equal(scores_of(found), scores_of(wanted))
    assert found.ranges.keys() == wanted.ranges.keys()
    for name, values in wanted.ranges.items():
        assert torch.equal(found.ranges[name], values)


@pytest.mark.parametrize("early", [True, False])
def test_it_has_the_window_that_was_set(whole, early):
    found, wanted = StoredCheckpoint.open(whole), Checkpoint.load(whole)
    if early:
        assert found.classifier.config == CONFIG
    for window in ((2, 10), (12, 0)):
        found.set_window(window)
        wanted.set_window(window)
        assert found.encoder.window == found.classifier.config.window == window
        np.testing.assert_array_equal(scores_of(found), scores_of(wanted))
    assert Checkpoint.load(whole).encoder.window == CONFIG.window


@pytest.mark.parametrize("window", [(13, 2), (3, 4), (-2, 2), (2, 14)])
def test_a_window_that_was_not_trained_is_refused_alike(whole, window):
    said = []
    for precision in ("int8", "fp32"):
        with pytest.raises(ConfigError, match="window") as caught:
            speechattn.load_model(whole, "cpu", precision=precision, window=window)
        said.append(str(caught.value))
    assert said[0] == said[1]
    found = StoredCheckpoint.open(whole)
    for checkpoint in (found, Checkpoint.load(whole)):
        with pytest.raises(ConfigError):
            checkpoint.set_window(window)
    assert found.encoder == CONFIG


def test_a_model_of_one_window_is_given_no_other(tmp_path):
    config = dataclasses.replace(CONFIG, any_window=None)
    folder, said = save_array_model(tmp_path / "model", config), []
    for precision in ("int8", "fp32"):
        with pytest.raises(ConfigError, match="its own window alone") as caught:
            speechattn.load_model(folder, "cpu", precision=precision, window=(4, 4))
        said.append(str(caught.value))
    assert said[0] == said[1]


def test_it_can_be_saved(whole, tmp_path):
    model = speechattn.load_model(whole, "cpu", precision="int8")
    model.checkpoint.save(tmp_path / "again")
    tensors = [load_file(folder / WEIGHTS) for folder in (whole, tmp_path / "again")]
    assert tensors[0].keys() == tensors[1].keys()
    assert all(torch.equal(values, tensors[1][name]) for name, values in tensors[0].items())
    configs = [
        json.loads((folder / CONFIG_FILE).read_text()) for folder in (whole, tmp_path / "again")
    ]
    assert configs[0] == configs[1]


@pytest.mark.parametrize("again", [copy.copy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_and_pickles_compute_the_same(whole, again):
    found = StoredCheckpoint.open(whole)
    other = again(found)
    assert isinstance(other, StoredCheckpoint) and other.encoder == found.encoder
    frames = [frames_of(found)]
    one, two = (
        make_engine(each, "cpu", "int8").log_posteriors(frames)[0] for each in (found, other)
    )
    np.testing.assert_array_equal(one, two)


def test_with_other_fields_it_is_a_plain_checkpoint(whole):
    other = dataclasses.replace(StoredCheckpoint.open(whole), name="other")
    assert type(other) is Checkpoint and other.name == "other" and other.encoder == CONFIG


def test_it_outlives_its_folder(folder):
    model = speechattn.load_model(folder, "cpu", precision="int8")
    frames = [frames_of(model.checkpoint)]
    before = model.encode(frames)[0]
    shutil.rmtree(folder)
    np.testing.assert_array_equal(model.encode(frames)[0], before)
    with pytest.raises(ModelError):
        _ = model.checkpoint.classifier


def with_weights(change):
    def damage(folder):
        weights = load_file(folder / WEIGHTS)
        change(weights)
        save_file(weights, folder / WEIGHTS)

    return damage


def with_config(**values):
    def damage(folder):
        config = json.loads((folder / CONFIG_FILE).read_text())
        config["encoder"] |= values
        (folder / CONFIG_FILE).write_text(json.dumps(config))

    return damage


def cut(folder):
    content = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).unlink()  # what is mapped stays as it is
    (folder / WEIGHTS).write_bytes(content[:-100])


def first_nan(weights, name):
    weights[name] = weights[name].clone()
    weights[name].view(-1)[0] = float("nan")


def to_six_bits(weights, steps=None):
    rows, columns = weights[f"{PROJECT}.weight"].shape
    weights[f"{PROJECT}.weight"] = torch.full((rows, columns * 3 // 4), 77, dtype=torch.uint8)
    if steps is not None:
        weights[f"steps.{PROJECT}"] = steps(rows)


DAMAGE = {
    "cut": cut,
    "no weights": lambda folder: (folder / WEIGHTS).unlink(),
    "no configuration": lambda folder: (folder / CONFIG_FILE).unlink(),
    "no json": lambda folder: (folder / CONFIG_FILE).write_text("{"),
    "NaN": with_weights(lambda w: first_nan(w, f"{PROJECT}.weight")),
    "NaN in the classifier": with_weights(lambda w: first_nan(w, "classify.bias")),
    "NaN in the mean": with_weights(lambda w: first_nan(w, "mean")),
    "NaN in ranges": with_weights(lambda w: first_nan(w, f"ranges.{PROJECT}")),
    "NaN in the n-grams": with_weights(
        lambda w: first_nan(
            w, min(n for n in w if n.startswith("grammar.") and w[n].is_floating_point())
        )
    ),
    "a tensor is missing": with_weights(lambda w: w.pop("norm.bias")),
    "a matrix is missing": with_weights(lambda w: w.pop(f"{PROJECT}.weight")),
    "one too many": with_weights(lambda w: w.update(more=torch.ones(2))),
    "another shape": with_weights(lambda w: w.update({"norm.bias": torch.ones(3)})),
    "whole numbers": with_weights(
        lambda w: w.update({f"{PROJECT}.weight": w[f"{PROJECT}.weight"].to(torch.int8)})
    ),
    "booleans": with_weights(lambda w: w.update({"norm.bias": w["norm.bias"] > 0})),
    "negative ranges": with_weights(
        lambda w: w.update({f"ranges.{PROJECT}": -w[f"ranges.{PROJECT}"]})
    ),
    "ranges of another shape": with_weights(
        lambda w: w.update({f"ranges.{PROJECT}": torch.ones(3).half()})
    ),
    "ranges of no layer": with_weights(lambda w: w.update({"ranges.no": torch.ones(3).half()})),
    "whole ranges": with_weights(
        lambda w: w.update({f"ranges.{PROJECT}": torch.ones(2 * LANES, dtype=torch.int32)})
    ),
    "NaN in ranges that arrays do not need": with_weights(
        lambda w: first_nan(w, "ranges.classify")
    ),
    "steps of no layer": with_weights(lambda w: w.update({"steps.no": torch.ones(3)})),
    "6 bits without steps": with_weights(to_six_bits),
    "6 bits of one step": with_weights(lambda w: to_six_bits(w, lambda rows: torch.ones(1))),
    "6 bits of a number": with_weights(lambda w: to_six_bits(w, lambda rows: torch.tensor(1.0))),
    "6 bits of too many steps": with_weights(
        lambda w: to_six_bits(w, lambda rows: torch.ones(rows + 1))
    ),
    "no n-grams left": with_weights(
        lambda w: w.pop(min(name for name in w if name.startswith("grammar.")))
    ),
    "n-grams of another shape": with_weights(
        lambda w: w.update({n: v[:1] for n, v in w.items() if n.startswith("grammar.")})
    ),
    "another width": with_config(width=4 * LANES),
    "another stack": with_config(stack=1),
    "fewer blocks": with_config(blocks=1),
    "more blocks": with_config(blocks=3),
    "another reach": with_config(reach=4),
    "another subsampling": with_config(subsampling="linear"),
    "an unknown key": with_config(unknown=3),
    "an impossible window": with_config(window=[3, 5]),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_damage_is_named_as_in_float32(folder, damage):
    """Also where the cache holds the arrays of the model before the damage."""
    speechattn.load_model(folder, "cpu", precision="int8")
    damage(folder)
    said = []
    for precision in ("fp32", "int8", "auto"):
        with pytest.raises(ModelError) as caught:
            speechattn.load_model(folder, "cpu", precision=precision)
        said.append(str(caught.value))
    assert "\n" not in said[0] and said[0] == said[1] == said[2]


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_folder_that_is_not_there(tmp_path, precision):
    with pytest.raises(ModelError):
        speechattn.load_model(tmp_path / "nothing", "cpu", precision=precision)
    assert StoredCheckpoint.open(tmp_path / "nothing") is None


@needs_int8
@pytest.mark.parametrize("config", OTHERS.values(), ids=OTHERS.keys())
@pytest.mark.parametrize("with_ranges", [True, False])
def test_what_arrays_cannot_compute_is_left_to_pytorch(tmp_path, config, with_ranges):
    made = array_checkpoint()
    torch.manual_seed(0)
    classifier = PhoneClassifier(made.front_end.dim, len(made.phones), config).eval()
    made = dataclasses.replace(made, classifier=classifier.requires_grad_(False), ranges={})
    if with_ranges:
        made.ranges = input_ranges(classifier, [frames_of(made)])
    made.save(tmp_path / "model")
    assert StoredCheckpoint.open(tmp_path / "model") is None
    try:
        wanted = TensorEngine(Checkpoint.load(tmp_path / "model"), "cpu", "int8")
    except ConfigError as error:
        assert not with_ranges
        with pytest.raises(ConfigError) as caught:
            speechattn.load_model(tmp_path / "model", "cpu", precision="int8")
        assert str(caught.value) == str(error)
        return
    found = speechattn.load_model(tmp_path / "model", "cpu", precision="int8")
    assert isinstance(found.engine, TensorEngine) and found.precision == "int8"
    frames = [frames_of(made)]
    np.testing.assert_array_equal(found.encode(frames)[0], wanted.log_posteriors(frames)[0])


def test_without_ranges_there_are_no_eight_bits(tmp_path):
    folder = save_array_model(tmp_path / "model", ranges={})
    with pytest.raises(ConfigError, match="ranges"):
        speechattn.load_model(folder, "cpu", precision="int8")
    model = speechattn.load_model(folder, "cpu", precision="auto")
    assert isinstance(model.engine, TensorEngine) and model.precision in ("bf16", "fp32")
    model.encode([frames_of(model.checkpoint)])


@needs_int8
def test_layers_without_ranges_are_left_to_pytorch(folder):
    with_weights(lambda w: w.pop(f"ranges.{PROJECT}"))(folder)
    model = speechattn.load_model(folder, "cpu", precision="int8")
    assert isinstance(model.engine, TensorEngine) and model.precision == "int8"
    assert PROJECT not in model.checkpoint.ranges


@needs_int8
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.int8, "six bits"])
def test_models_saved_with_fewer_bits(tmp_path, dtype):
    made = array_checkpoint()
    if dtype == "six bits":
        six_bits = six_bit_weights(made.classifier, [frames_of(made)])
        made.save(tmp_path / "model", dtype=torch.bfloat16, six_bits=six_bits)
    else:
        made.save(tmp_path / "model", dtype=dtype)
    found, exact = (
        speechattn.load_model(tmp_path / "model", "cpu", precision=precision)
        for precision in ("int8", "fp32")
    )
    if dtype != torch.int8:
        assert isinstance(found.engine, ArrayEngine)
    frames = [frames_of(made)]
    apart = np.exp(found.encode(frames)[0]) - np.exp(exact.encode(frames)[0])
    assert np.abs(apart).mean() < 0.05


def test_nothing_is_stored_for_arrays_without_products_of_bytes(whole, monkeypatch):
    monkeypatch.setattr(array_weights.byte_matrix, "OFFERED", False)
    assert StoredCheckpoint.open(whole) is None


def save_deflated(folder: Path, seed: int | None = None, words: bool = False) -> Path:
    """A model in six bits, with n-grams and words of a seed, deflated however small they are."""
    made = array_checkpoint()
    random = np.random.default_rng(seed)
    if seed is not None:
        made.phone_model = with_ngrams(random, made.phone_model)
    if words:
        of = random_words(random, len(made.phones), 60)
        made.phone_model = dataclasses.replace(made.phone_model, words=of)
    six_bits = six_bit_weights(made.classifier, [frames_of(made)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deflated, "LEAST_BYTES", 0)
        made.save(folder, six_bits=six_bits)
    names = {name.split(".")[0] for name in deflated_names(folder)}
    assert "layers" in names and ("grammar" in names) == (seed is not None)
    return folder


def metadata_of(folder: Path) -> dict[str, str]:
    with safe_open(folder / WEIGHTS, "np") as file:
        return file.metadata()


def deflated_names(folder: Path) -> list[str]:
    return list(json.loads(metadata_of(folder)[deflated.METADATA]))


def assert_same_language(found: Checkpoint, wanted: Checkpoint) -> None:
    assert found.phone_model.to_dict() == wanted.phone_model.to_dict()
    for part in ("ngrams", "words"):
        one, two = (getattr(each.phone_model, part) for each in (found, wanted))
        assert (one is None) == (two is None)
        if two is not None:
            one, two = one.tensors(), two.tensors()
            assert one.keys() == two.keys()
            for name, values in two.items():
                assert one[name].dtype == values.dtype
                np.testing.assert_array_equal(one[name], values)


def test_what_is_deflated_computes_what_the_same_numbers_do(tmp_path):
    small = save_deflated(tmp_path / "small", seed=0, words=True)
    wanted = Checkpoint.load(small)
    wanted.save(tmp_path / "plain")
    assert metadata_of(tmp_path / "plain") is None
    found, plain = (StoredCheckpoint.open(tmp_path / name) for name in ("small", "plain"))
    assert found.arrays.keys() == plain.arrays.keys()
    for name, values in plain.arrays.items():
        np.testing.assert_array_equal(found.arrays[name], values)
    frames = [frames_of(wanted)]
    one, two = (make_engine(m, "cpu", "int8").log_posteriors(frames)[0] for m in (found, plain))
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(scores_of(found), scores_of(wanted))
    assert_same_language(found, wanted)


@pytest.fixture(scope="module")
def sharing(tmp_path_factory) -> Path:
    """A folder of ``model``, which has the n-grams and words of ``other``; none may damage it."""
    folder = tmp_path_factory.mktemp("sharing")
    save_deflated(folder / "other", seed=0, words=True)
    with_words_of(save_deflated(folder / "model"))
    return folder


def with_words_of(folder: Path) -> None:
    config = json.loads((folder / CONFIG_FILE).read_text()) | {"words_of": "other"}
    (folder / CONFIG_FILE).write_text(json.dumps(config))


@pytest.fixture
def models(sharing, tmp_path) -> Path:
    return Path(shutil.copytree(sharing, tmp_path / "models"))


def test_words_are_those_of_the_model_beside_it(models):
    """N-grams of its own are not looked at, whether they are damaged or not."""
    for name in ("own", "damaged"):
        with_words_of(save_deflated(models / name, seed=1))
    cut_deflated("grammar.")(models / "damaged")
    wanted = Checkpoint.load(models / "other")
    assert wanted.phone_model.ngrams and wanted.phone_model.words
    for name in ("model", "own", "damaged"):
        for found in (StoredCheckpoint.open(models / name), Checkpoint.load(models / name)):
            assert_same_language(found, wanted)


def test_the_encoder_is_not_loaded_after_the_words_have_changed(models):
    found, unchanged = (StoredCheckpoint.open(models / "model") for _ in range(2))
    assert isinstance(unchanged.classifier, PhoneClassifier)
    Checkpoint.load(models / "other").save(models / "other")
    with pytest.raises(ModelError, match="model: has changed since it was loaded; load it again"):
        _ = found.classifier
    assert isinstance(StoredCheckpoint.open(models / "model").classifier, PhoneClassifier)


def cut_deflated(begin: str):
    """Take the end off the first array that is deflated and whose name begins like this."""

    def damage(folder):
        metadata, tensors = metadata_of(folder), load_file(folder / WEIGHTS)
        name = min(n for n in deflated_names(folder) if n.startswith(begin))
        tensors[name] = tensors[name][:-4].clone()
        (folder / WEIGHTS).unlink()
        save_file(tensors, folder / WEIGHTS, metadata)

    return damage


def with_tensors(change):
    """Change tensors of a file, of which some are deflated."""

    def damage(folder):
        metadata, tensors = metadata_of(folder), load_file(folder / WEIGHTS)
        change(tensors)
        (folder / WEIGHTS).unlink()
        save_file(tensors, folder / WEIGHTS, metadata)

    return damage


def with_facts(change):
    """Change what the header says of what is deflated."""

    def damage(folder):
        tensors = load_file(folder / WEIGHTS)
        facts = json.loads(metadata_of(folder)[deflated.METADATA])
        change(facts)
        (folder / WEIGHTS).unlink()
        save_file(tensors, folder / WEIGHTS, {deflated.METADATA: json.dumps(facts)})

    return damage


def rename_a_phone(folder):
    config = json.loads((folder / CONFIG_FILE).read_text())
    config["phones"]["names"][-1] = "other"
    (folder / CONFIG_FILE).write_text(json.dumps(config))


def without_encoder(folder):
    drop = ("layers.", "steps.", "ranges.")
    with_facts(lambda facts: [facts.pop(n) for n in list(facts) if n.startswith(drop)])(folder)
    with_tensors(lambda w: [w.pop(n) for n in list(w) if n.startswith(drop)])(folder)


DAMAGED_WORDS = {
    "missing": shutil.rmtree,
    "no weights": lambda folder: (folder / WEIGHTS).unlink(),
    "no configuration": lambda folder: (folder / CONFIG_FILE).unlink(),
    "no n-grams and words": lambda folder: array_checkpoint().save(folder),
    "other phones": rename_a_phone,
    "damaged n-grams": cut_deflated("grammar."),
    "damaged words": cut_deflated("words."),
    "a longer array": with_facts(lambda facts: facts["grammar.back"][1].append(2)),
    "an array too large": with_facts(lambda f: f.update({"grammar.back": ["int32", [2**30]]})),
    "facts of no array": with_facts(lambda facts: facts.update(more=["int8", [3]])),
    "odd facts": with_facts(lambda facts: facts.update(mean=3)),
    "a file cut off": cut,
}


@pytest.mark.parametrize("damage", DAMAGED_WORDS.values(), ids=DAMAGED_WORDS.keys())
def test_damage_of_the_words_beside_it_is_named_as_in_float32(models, damage):
    """Also where the cache holds the n-grams of the model before the damage."""
    assert StoredCheckpoint.open(models / "model") is not None
    damage(models / "other")
    assert StoredCheckpoint.open(models / "model") is None
    said = []
    for precision in ("fp32", "int8", "auto"):
        with pytest.raises(ModelError) as caught:
            speechattn.load_model(models / "model", "cpu", precision=precision)
        said.append(message_of(caught))
    assert str(models / "other") in said[0] and said[0] == said[1] == said[2]


DAMAGED_ENCODERS = {
    "a damaged matrix": cut_deflated("layers."),
    "NaN": with_tensors(lambda w: first_nan(w, "mean")),
    "no encoder": without_encoder,
    "one too many": with_tensors(lambda w: w.update(more=torch.ones(2))),
}


@pytest.mark.parametrize("damage", DAMAGED_ENCODERS.values(), ids=DAMAGED_ENCODERS.keys())
def test_the_encoder_of_the_model_beside_it_is_not_looked_at(models, damage):
    wanted = Checkpoint.load(models / "other")
    damage(models / "other")
    with pytest.raises(ModelError):
        Checkpoint.load(models / "other")
    for found in (StoredCheckpoint.open(models / "model"), Checkpoint.load(models / "model")):
        assert_same_language(found, wanted)
