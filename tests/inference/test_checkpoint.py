"""Model folders: what is saved comes back the same, and every damage is named."""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from support.array_models import array_checkpoint, random_frames
from support.six_bits import pack
from support.word_lms import random_words

import speechattn.inference.model_files
from speechattn import deflated
from speechattn.attention.kernels import byte_layers
from speechattn.decoder.lm.ngram_estimation import count_ngrams, estimate_ngrams
from speechattn.decoder.lm.phone_model import PhoneModel
from speechattn.decoder.lm.word_lm import WordNgrams
from speechattn.encoder import int8
from speechattn.encoder.int8_matrix import fast_int8
from speechattn.encoder.precision import with_packed_linears
from speechattn.encoder.six_bits import six_bit_weights
from speechattn.encoder.whole_numbers import OFFSET
from speechattn.errors import ConfigError, ModelError
from speechattn.inference.checkpoint import Checkpoint, pick_device
from speechattn.inference.model_files import CONFIG, WEIGHTS, find_model
from speechattn.inference.stored import StoredCheckpoint

needs_posix = pytest.mark.skipif(os.name == "nt", reason="links and permissions of POSIX")


@pytest.fixture
def folder(tiny_model_dir, tmp_path) -> Path:
    """A copy of the tiny model that a test may damage."""
    return Path(shutil.copytree(tiny_model_dir, tmp_path / "model"))


def edit(folder: Path, change) -> None:
    """Apply a function to the configuration on disk."""
    config = json.loads((folder / CONFIG).read_text())
    change(config)
    (folder / CONFIG).write_text(json.dumps(config))


def edit_weights(folder: Path, change) -> None:
    weights = load_file(folder / WEIGHTS)
    change(weights)
    save_file(weights, folder / WEIGHTS)


def refused(folder: Path, *words: str) -> str:
    """The one-line message with which loading fails."""
    with pytest.raises(ModelError) as caught:
        Checkpoint.load(folder)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message, message
    return message


def test_a_saved_model_comes_back_the_same(tiny_model_dir, tmp_path):
    first = Checkpoint.load(tiny_model_dir)
    first.name, first.training = "second", {"steps": 3, "train": ["a/b"]}
    first.save(tmp_path / "deep" / "er")
    second = Checkpoint.load(tmp_path / "deep" / "er")
    frames = torch.randn(1, 57, first.front_end.dim)
    assert torch.equal(first.classifier(frames), second.classifier(frames))
    assert (second.name, second.training) == ("second", {"steps": 3, "train": ["a/b"]})
    assert second.front_end == first.front_end and second.phones == first.phones
    assert second.decoding == first.decoding
    assert second.classifier.config == first.classifier.config
    assert second.phone_model.to_dict() == first.phone_model.to_dict()
    assert not second.classifier.training
    assert not any(p.requires_grad for p in second.classifier.parameters())
    assert not torch.equal(first.classifier.mean, torch.zeros(first.front_end.dim))


def add_grammar(folder: Path) -> PhoneModel:
    """Give the model on disk phone n-grams, words and a beam."""
    model = Checkpoint.load(folder)
    random = np.random.default_rng(0)
    phones = random.integers(0, len(model.phones), (20, 50))
    ngrams = estimate_ngrams(count_ngrams(phones, 3), len(model.phones), 3)
    words = random_words(random, len(model.phones), 300)
    words = WordNgrams.from_tensors(words.tensors())  # rounded as in a file
    model.phone_model = dataclasses.replace(model.phone_model, ngrams=ngrams, words=words)
    model.decoding = dataclasses.replace(model.decoding, beam=12.0)
    model.save(folder)
    return model.phone_model


@pytest.mark.parametrize("dtype", [None, torch.bfloat16, torch.int8])
def test_ngrams_and_words_come_back_the_same(folder, dtype):
    before = Checkpoint.load(folder)
    assert before.phone_model.ngrams is None and before.phone_model.words is None
    added = add_grammar(folder)
    Checkpoint.load(folder).save(folder, dtype=dtype)
    model = Checkpoint.load(folder)
    for part in ("ngrams", "words"):
        found = getattr(model.phone_model, part).tensors()
        tensors = getattr(added, part).tensors()
        assert found.keys() == tensors.keys()
        for name, values in tensors.items():
            assert found[name].dtype == values.dtype and np.array_equal(found[name], values)
    assert model.decoding.beam == 12.0
    assert model.phone_model.to_dict() == before.phone_model.to_dict()
    assert set(model.classifier.state_dict()) == set(before.classifier.state_dict())
    assert len(pickle.loads(pickle.dumps(model.phone_model)).ngrams.tables.best)


@pytest.mark.parametrize("dtype", [None, torch.bfloat16, torch.int8])
def test_ranges_come_back_the_same(folder, dtype):
    before = Checkpoint.load(folder)
    assert before.ranges == {}
    ranges = {"enter": torch.rand(before.classifier.enter.in_features).half()}
    dataclasses.replace(before, ranges=ranges).save(folder, dtype=dtype)
    found = Checkpoint.load(folder).ranges
    assert found.keys() == ranges.keys() and torch.equal(found["enter"], ranges["enter"])
    assert found["enter"].dtype == torch.float16


def save_in_8_bits(folder: Path) -> Checkpoint:
    """Write the model anew, with random ranges; returns what was written."""
    model = Checkpoint.load(folder)
    linears = {n: m for n, m in model.classifier.named_modules() if isinstance(m, torch.nn.Linear)}
    ranges = {name: torch.rand(m.in_features).half() * 3 for name, m in linears.items()}
    model = dataclasses.replace(model, ranges=ranges)
    model.save(folder, dtype=torch.int8)
    return model


def test_weights_in_8_bits_are_near_and_come_back_the_same(folder):
    before = save_in_8_bits(folder).classifier.state_dict()
    stored = load_file(folder / WEIGHTS)
    whole = [name for name, value in stored.items() if value.dtype == torch.int8]
    assert whole and all(name.startswith("layers.") for name in whole)
    once = Checkpoint.load(folder)
    for name, value in once.classifier.state_dict().items():
        assert value.dtype == torch.float32
        if name in whole:
            # A number of 127 steps, of which the largest of a row has all.
            scale = int8._steps(once.ranges[name.removesuffix(".weight")], 127)
            off, most = (value - before[name]) * scale, (before[name] * scale).abs().amax(1)
            assert (off.abs().amax(1) <= most / 127 * 0.501).all() and off.any()
        else:
            torch.testing.assert_close(value, before[name], rtol=2**-8, atol=0)
    once.save(folder, dtype=torch.int8)
    for name, value in load_file(folder / WEIGHTS).items():
        assert value.dtype == stored[name].dtype
        if name.startswith("steps."):
            torch.testing.assert_close(value, stored[name])
        else:
            assert torch.equal(value, stored[name])


def _first_whole(weights: dict) -> str:
    return next(n for n, v in weights.items() if v.dtype == torch.int8).removesuffix(".weight")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda w, name: w.pop(f"steps.{name}"), "whole numbers without steps"),
        (lambda w, name: w.pop(f"ranges.{name}"), "steps.{name}: there is no such layer"),
        (lambda w, name: w.update({"steps.more": torch.ones(3)}), "steps.more: there is no such"),
        (
            lambda w, name: w.update({f"steps.{name}": torch.ones(3)}),
            "steps.{name}: there is no such layer",
        ),
        (
            lambda w, name: w.update({f"{name}.weight": w[f"{name}.weight"].float()}),
            "steps.{name}: there is no such layer",
        ),
        (
            lambda w, name: w.update({f"{name}.weight": w[f"{name}.weight"].int()}),
            "steps.{name}: there is no such layer",
        ),
    ],
)
def test_weights_in_8_bits_that_make_no_sense_are_refused(folder, change, said):
    save_in_8_bits(folder)
    weights = load_file(folder / WEIGHTS)
    name = _first_whole(weights)
    change(weights, name)
    save_file(weights, folder / WEIGHTS)
    with pytest.raises(ModelError) as caught:
        Checkpoint.load(folder)
    assert said.format(name=name) in str(caught.value) and WEIGHTS in str(caught.value)


def save_in_6_bits(folder: Path, **settings) -> dict[str, torch.Tensor]:
    """Write the model anew; returns the weights that are in 6 bits."""
    model = Checkpoint.load(folder)
    torch.manual_seed(0)
    frames = [8 + 4 * torch.randn(60, model.front_end.dim) for _ in range(3)]
    six_bits = six_bit_weights(model.classifier, frames)
    model.save(folder, six_bits=six_bits, **settings)
    return six_bits


@pytest.mark.parametrize("dtype", [None, torch.bfloat16, torch.int8])
def test_weights_in_6_bits_come_back_as_multiples_of_their_steps(folder, dtype):
    save_in_8_bits(folder)
    before = Checkpoint.load(folder)
    six_bits = save_in_6_bits(folder, dtype=dtype)
    stored, model = load_file(folder / WEIGHTS), Checkpoint.load(folder)
    assert six_bits and all(torch.equal(stored[name], value) for name, value in six_bits.items())
    assert model.ranges.keys() == before.ranges.keys()
    found = model.classifier.state_dict()
    for name, value in before.classifier.state_dict().items():
        assert found[name].dtype == torch.float32 and found[name].shape == value.shape
        if name in six_bits:
            step = six_bits[f"steps.{name.removesuffix('.weight')}"]
            assert torch.equal(found[name], (six_bits[name].float() - OFFSET) * step[:, None])
            assert stored[name].shape == value.shape
            assert 0 < (found[name] - value).norm() < 0.1 * value.norm()
        else:
            rounded = value if dtype is None or name in ("mean", "std") else value.bfloat16()
            assert torch.equal(found[name], rounded.float())
    assert not any(value.dtype == torch.int8 for value in stored.values())


def test_a_file_in_6_bits_is_smaller_than_one_in_8(folder, monkeypatch):
    monkeypatch.setattr(deflated, "LEAST_BYTES", 0)
    save_in_8_bits(folder)
    eight = (folder / WEIGHTS).stat().st_size
    six_bits = save_in_6_bits(folder, dtype=torch.bfloat16)
    packed = sum(value.numel() for value in six_bits.values() if value.dtype == torch.uint8)
    assert eight - (folder / WEIGHTS).stat().st_size > packed / 6
    found = Checkpoint.load(folder).classifier.state_dict()
    for name in [name for name in six_bits if name.endswith(".weight")]:
        step = six_bits[f"steps.{name.removesuffix('.weight')}"]
        assert torch.equal(found[name], (six_bits[name].float() - OFFSET) * step[:, None])


def test_what_is_deflated_and_damaged_is_refused(folder, monkeypatch):
    monkeypatch.setattr(deflated, "LEAST_BYTES", 0)
    six_bits = save_in_6_bits(folder)
    with safe_open(folder / WEIGHTS, "pt") as file:
        metadata = file.metadata()
    weights = load_file(folder / WEIGHTS)
    name = next(n for n, v in six_bits.items() if v.shape == (32, 32))
    weights[name] = weights[name][:-8].clone()
    save_file(weights, folder / WEIGHTS, metadata)
    refused(folder, str(folder / WEIGHTS), "does not inflate to the 1024", "export the model again")
    save_file(weights, folder / WEIGHTS, {"deflated": "{"})
    refused(folder, str(folder / WEIGHTS), "deflated", "export the model again")


def array_model_in_6_bits(folder: Path) -> Path:
    """One whose encoder arrays compute where they are offered."""
    model = array_checkpoint()
    frames = [8 + 2 * random_frames(60, seed, model.front_end.dim) for seed in (0, 1)]
    model.save(folder, six_bits=six_bit_weights(model.classifier, frames))
    return folder


def arrays_of(folder: Path) -> dict[str, np.ndarray]:
    """What is computed with where arrays are offered."""
    if not byte_layers.works():
        return {}
    return StoredCheckpoint.open(folder).arrays


def test_four_numbers_in_three_bytes_of_format_10_are_the_same_numbers(tmp_path):
    new = array_model_in_6_bits(tmp_path / "new")
    old = Path(shutil.copytree(new, tmp_path / "old"))
    edit(old, _set("format_version", 10))
    weights = load_file(new / WEIGHTS)
    whole = {
        n: v.numpy().view(np.int8) - OFFSET for n, v in weights.items() if v.dtype == torch.uint8
    }
    packed = {name: torch.from_numpy(pack(values)) for name, values in whole.items()}
    assert packed and all(4 * v.shape[1] == 3 * weights[n].shape[1] for n, v in packed.items())
    save_file(weights | packed, old / WEIGHTS)
    found, wanted = (Checkpoint.load(each).classifier.state_dict() for each in (old, new))
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], value) for name, value in wanted.items())
    found, wanted = arrays_of(old), arrays_of(new)
    assert found.keys() == wanted.keys()
    assert all(np.array_equal(found[name], value) for name, value in wanted.items())


@pytest.mark.parametrize("byte", [64, 255])
def test_a_byte_of_more_than_6_bits_is_refused(tmp_path, byte):
    folder = array_model_in_6_bits(tmp_path / "model")
    name = "layers.1.layer.project.weight"
    edit_weights(folder, lambda weights: weights[name][-1, -1:].fill_(63))
    Checkpoint.load(folder)
    arrays_of(folder)
    edit_weights(folder, lambda weights: weights[name][-1, -1:].fill_(byte))
    refused(folder, str(folder / WEIGHTS), f"{name}: numbers of more than 6 bits", "export")
    assert StoredCheckpoint.open(folder) is None


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_model_in_6_bits_runs_in_all_precisions(folder, precision):
    if precision == "int8" and not fast_int8():
        pytest.skip("this processor has no products of 8-bit numbers")
    model, frames = Checkpoint.load(folder), 8 + 4 * torch.randn(1, 90, 40)
    linears = {n: m for n, m in model.classifier.named_modules() if isinstance(m, torch.nn.Linear)}
    # Frames are within 6 deviations, and what follows a normalisation is about as large.
    ranges = {name: torch.full((m.in_features,), 6.0).half() for name, m in linears.items()}
    dataclasses.replace(model, ranges=ranges).save(folder)
    save_in_6_bits(folder, dtype=torch.bfloat16)
    small = Checkpoint.load(folder)
    with torch.inference_mode():
        expected = model.classifier(frames)
        found = with_packed_linears(small.classifier, precision, small.ranges)(frames)
    assert found.isfinite().all()
    assert (found - expected).norm() < 0.1 * expected.norm()


def _set_weight(name: str, change):
    def edit(weights: dict, layer: str) -> None:
        weights[name.format(layer)] = change(weights[name.format(layer)])

    return edit


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda w, name: w.pop(f"steps.{name}"), "{name}.weight: 6 bits without steps that fit"),
        (lambda w, _: w.update({"steps.more": torch.ones(3)}), "steps.more: there is no such"),
        (lambda w, name: w.pop(f"{name}.weight"), "{name}.weight has shape None"),
        (_set_weight("steps.{}", lambda v: v[:3].clone()), "{name}.weight: 6 bits without steps"),
        (_set_weight("steps.{}", lambda v: v.int()), "{name}.weight: 6 bits without steps"),
        (_set_weight("steps.{}", lambda v: v * torch.nan), "{name}.weight holds NaN or Inf"),
        (_set_weight("steps.{}", lambda v: v / 0), "{name}.weight holds NaN or Inf"),
        (_set_weight("{}.weight", lambda v: v[:, :-1].clone()), "{name}.weight has shape (32, 31)"),
        (_set_weight("{}.weight", lambda v: v[:, :-3].clone()), "{name}.weight has shape (32, 29)"),
        (_set_weight("{}.weight", lambda v: v[:-1].clone()), "{name}.weight: 6 bits without"),
        (_set_weight("{}.weight", lambda v: v.flatten()), "{name}.weight: 6 bits without"),
        (_set_weight("{}.weight", lambda v: v.char()), "steps.{name}: there is no such"),
        (_set_weight("{}.weight", lambda v: v.float()), "steps.{name}: there is no such"),
        (_set_weight("enter.weight", lambda v: v.byte()), "enter.weight: whole numbers without"),
    ],
)
def test_weights_in_6_bits_that_make_no_sense_are_refused(folder, change, said):
    six_bits = save_in_6_bits(folder)
    names = [n.removesuffix(".weight") for n, v in six_bits.items() if v.shape == (32, 32)]
    edit_weights(folder, lambda weights: change(weights, names[0]))
    refused(folder, said.format(name=names[0]), str(folder / WEIGHTS))


def test_a_file_in_6_bits_that_is_cut_off_is_refused(folder):
    save_in_6_bits(folder)
    data = (folder / WEIGHTS).read_bytes()
    for length in (0, 7, len(data) // 2, len(data) - 1):
        (folder / WEIGHTS).write_bytes(data[:length])
        refused(folder, str(folder / WEIGHTS), "cannot be read", "export the model again")


def test_the_folder_holds_two_files_and_a_config_that_people_can_read(tiny_model_dir):
    assert sorted(p.name for p in tiny_model_dir.iterdir()) == [CONFIG, WEIGHTS]
    assert [p.name for p in tiny_model_dir.parent.iterdir()] == [tiny_model_dir.name]
    lines = (tiny_model_dir / CONFIG).read_text().splitlines()
    assert '  "format": "speechattn-model",' in lines and '    "width": 32,' in lines
    assert len(lines) < 100


def test_a_model_that_is_there_is_replaced(folder):
    model = Checkpoint.load(folder)
    (folder / "left over").write_text("")
    model.name = "newer"
    model.save(folder)
    assert Checkpoint.load(folder).name == "newer"
    assert sorted(p.name for p in folder.iterdir()) == [CONFIG, WEIGHTS]
    assert [p.name for p in folder.parent.iterdir()] == [folder.name]


@pytest.mark.parametrize("what", ["folder", "file"])
def test_what_is_no_model_is_not_replaced(folder, tmp_path, what):
    taken = tmp_path / "recordings"
    if what == "file":
        taken.write_text("precious")
    else:
        taken.mkdir()
        (taken / "a.wav").write_text("precious")
    with pytest.raises(ModelError, match="recordings: is there and no model; remove it"):
        Checkpoint.load(folder).save(taken)
    kept = taken if what == "file" else taken / "a.wav"
    assert kept.read_text() == "precious"


def test_an_empty_folder_may_be_filled(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    Checkpoint.load(folder).save(tmp_path / "empty")
    Checkpoint.load(tmp_path / "empty")


@needs_posix
def test_a_link_to_a_model_stays_a_link(folder, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(folder, target_is_directory=True)
    model = Checkpoint.load(folder)
    model.name = "newer"
    model.save(link)
    assert link.is_symlink() and Checkpoint.load(folder).name == "newer"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link", "model"]


def test_a_save_that_fails_leaves_the_old_model_and_nothing_else(folder, monkeypatch):
    model = Checkpoint.load(folder)
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    model.name = "newer"

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save", full)
    with pytest.raises(OSError, match="No space left"):
        model.save(folder)
    monkeypatch.undo()
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
    assert [p.name for p in folder.parent.iterdir()] == [folder.name]


def test_a_rename_that_fails_puts_the_old_model_back(folder, monkeypatch):
    model = Checkpoint.load(folder)
    before = (folder / WEIGHTS).read_bytes()
    replace = Path.replace

    def fails(source, target):
        if Path(target) == folder and not str(source).endswith(".old"):
            raise OSError("device is gone")
        replace(source, target)

    monkeypatch.setattr(Path, "replace", fails)
    with pytest.raises(OSError, match="gone"):
        model.save(folder)
    assert (folder / WEIGHTS).read_bytes() == before
    assert [p.name for p in folder.parent.iterdir()] == [folder.name]


def _pop(section: str, key: str):
    return lambda config: config[section].pop(key)


def _set(*keys_and_value):
    *sections, last, value = keys_and_value

    def change(config):
        for section in sections:
            config = config[section]
        config[last] = value

    return change


DAMAGED_CONFIGS = {
    "number_too_large": (_set("phone_model", "log_prior", [10**400] * 40), "too large"),
    "another program's": (_set("format", "llama"), "give another folder"),
    "no format": (lambda c: c.pop("format"), "give another folder"),
    "newer": (_set("format_version", 99), "format version 99", "upgrade speechattn"),
    "odd version": (_set("format_version", "1"), "format version '1'"),
    "no encoder": (lambda c: c.pop("encoder"), "no key 'encoder'", "export the model again"),
    "no phone names": (_pop("phones", "names"), "no key 'names'"),
    "encoder of a number": (_set("encoder", 5), "export the model again"),
    "unknown encoder key": (_set("encoder", "widht", 32), "encoder.widht", "encoder.width?"),
    "impossible width": (_set("encoder", "width", 33), "encoder.heads", "33"),
    "width of a word": (_set("encoder", "width", "wide"), "encoder.width", "'wide'"),
    "huge": (_set("encoder", "width", 2**40), "export the model again"),
    "unknown front end key": (_set("front_end", "hop", 1), "front_end.hop"),
    "phones null": (_set("phones", None), "export the model again"),
    "names null": (_set("phones", "names", None), "export the model again"),
    "names of lists": (_set("phones", "names", [["A"], ["B"]]), "export the model again"),
    "phone twice": (lambda c: c["phones"]["names"].append("SIL"), "SIL listed twice"),
    "a phone more": (lambda c: c["phones"]["names"].append("Q"), "41 phones", "phone model of 40"),
    "no bigram": (_pop("phone_model", "log_bigram"), "log_bigram"),
    "bigram of words": (_set("phone_model", "log_bigram", "x"), "log_bigram"),
    "unknown decoding": (_set("decoding", "width", 8), "'width'"),
    "impossible beam": (_set("decoding", "beam", 0), "beam is 0"),
    "negative scale": (_set("decoding", "bigram_scale", -1), "bigram_scale"),
    "decoding a list": (_set("decoding", [1]), "export the model again"),
}


@pytest.mark.parametrize("name", DAMAGED_CONFIGS)
def test_a_damaged_config_is_refused_by_name(folder, name):
    change, *words = DAMAGED_CONFIGS[name]
    edit(folder, change)
    refused(folder, str(folder / CONFIG), *words)


@pytest.mark.parametrize("data", [b"", b'{"format": ', b"[]", b"\xff\xfe", b"null", b"[" * 100_000])
def test_a_config_that_is_no_json_object_is_refused(folder, data):
    (folder / CONFIG).write_bytes(data)
    refused(folder, str(folder / CONFIG), "; ")


def test_missing_files_are_named(folder, tmp_path):
    refused(tmp_path / "gone", str(tmp_path / "gone" / CONFIG), "not a model folder")
    (folder / WEIGHTS).unlink()
    refused(folder, str(folder / WEIGHTS), "export the model again")


class _Bomb:
    """Unpickling one creates a folder: proof that nothing was unpickled is that there is none."""

    def __init__(self, folder: Path):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def test_a_pickle_in_the_place_of_weights_is_refused_and_not_run(folder, tmp_path):
    (folder / WEIGHTS).write_bytes(pickle.dumps(_Bomb(tmp_path / "boom")))
    refused(folder, str(folder / WEIGHTS), "cannot be read")
    torch.save({"mean": torch.zeros(3)}, folder / WEIGHTS)
    refused(folder, str(folder / WEIGHTS), "cannot be read")
    assert not (tmp_path / "boom").exists()


@pytest.mark.parametrize("left", [0, 4, 100, -1])
def test_truncated_weights_are_refused(folder, left):
    data = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(data[:left])
    refused(folder, str(folder / WEIGHTS), "export the model again")


DAMAGED_WEIGHTS = {
    "missing": (lambda w: w.pop("mean"), "mean has shape None", "(40,)"),
    "one more": (lambda w: w.update(extra=torch.zeros(2)), "extra has shape (2,)", "None"),
    "of another shape": (lambda w: w.update(mean=torch.zeros(80)), "mean has shape (80,)", "(40,)"),
    "NaN": (lambda w: w["std"].fill_(float("nan")), "std holds NaN or Inf"),
    "infinite": (lambda w: w["enter.bias"].fill_(float("inf")), "enter.bias holds NaN or Inf"),
    "ranges of no layer": (
        lambda w: w.update({"ranges.exit": torch.ones(40)}),
        "ranges.exit: there is no such layer",
    ),
    "ranges of another shape": (
        lambda w: w.update({"ranges.enter": torch.ones(3)}),
        "ranges.enter: torch.float32 of shape (3,)",
    ),
    "ranges below 0": (
        lambda w: w.update({"ranges.classify": -torch.ones(w["classify.weight"].shape[1])}),
        "ranges.classify: not all finite and above 0",
    ),
}


def _set_grammar(name: str, value):
    return lambda weights: weights.update({f"grammar.{name}": value})


DAMAGED_NGRAMS = {
    "missing": (lambda w: w.pop("grammar.back"), "missing or unknown back"),
    "one more": (_set_grammar("more", torch.zeros(2)), "missing or unknown more"),
    "of another shape": (_set_grammar("back", torch.zeros(3)), "back has shape (3,)"),
    "of another type": (_set_grammar("back", torch.zeros(3).bfloat16()), "BFloat16"),
    "NaN": (lambda w: w["grammar.back_off"].fill_(float("nan")), "grammar.back_off holds NaN"),
    "beyond": (lambda w: w["grammar.oldest"].fill_(40), "oldest has the value 40"),
    "of fewer phones": (
        lambda w: w.update(
            {
                "grammar.log_unigram": torch.zeros(1),
                "grammar.oldest": torch.zeros(1),
                "grammar.back": -torch.ones(1),
                "grammar.back_off": torch.zeros(1),
                "grammar.arcs": torch.zeros(1),
                **{f"grammar.arc_{n}": torch.empty(0) for n in ("phone", "log_prob")},
            }
        ),
        "of 40 phones, but n-grams of 1",
    ),
    "words without n-grams": (
        lambda w: [w.pop(name) for name in list(w) if name.startswith("grammar.")],
        "with words but no n-grams",
    ),
    "words beyond": (lambda w: w["words.phones"].fill_(40), "with words but words of 41 phones"),
    "words of another shape": (lambda w: w.update({"words.ways": torch.ones(3)}), "lengths has"),
}


@pytest.mark.parametrize("name", DAMAGED_NGRAMS)
def test_ngrams_that_cannot_be_right_are_refused(folder, name):
    add_grammar(folder)
    change, *words = DAMAGED_NGRAMS[name]
    edit_weights(folder, change)
    refused(folder, str(folder / WEIGHTS), *words)


@pytest.mark.parametrize("name", DAMAGED_WEIGHTS)
def test_weights_that_cannot_be_right_are_refused(folder, name):
    change, *words = DAMAGED_WEIGHTS[name]
    edit_weights(folder, change)
    refused(folder, str(folder / WEIGHTS), *words)


@pytest.mark.parametrize(
    "key, value, word",
    [
        ("width", 1 << 15, "has shape"),
        ("feedforward", 1 << 26, "has shape"),
        ("conv_kernel", (1 << 26) + 1, "has shape"),
        ("stack", 1 << 22, "multiple of stack"),
        ("blocks", 1000, "has shape"),
        ("blocks", 1 << 31, "at most 1000"),
        ("width", 1 << 62, ""),
    ],
)
def test_a_size_that_the_weights_do_not_have_takes_no_memory(folder, key, value, word):
    import resource

    edit(folder, _set("encoder", key, value))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused(folder, word)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 200 << (20 if sys.platform == "darwin" else 10)


def test_config_of_another_width_does_not_fit_the_weights(folder):
    edit(folder, _set("encoder", "width", 64))
    refused(folder, str(folder / WEIGHTS), "do not belong together")


def test_models_are_found_by_folder_and_by_name(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_model(folder) == folder and find_model("model") == Path("model")
    assert find_model(str(folder) + "/") == folder
    run = tmp_path / "data" / "runs" / "mine"
    shutil.copytree(folder, run / "model")
    assert find_model("mine").resolve() == run / "model"
    monkeypatch.setattr(speechattn.inference.model_files, "MODELS", tmp_path / "packaged")
    shutil.copytree(folder, tmp_path / "packaged" / "mine")
    assert find_model("mine") == tmp_path / "packaged" / "mine"


@pytest.mark.parametrize("name", ["nothing", "no/thing", ".", "..", "", "/", "a" * 300, "a\0b"])
def test_unknown_models_are_refused_with_the_way_out(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=r"no model folder .*here: english") as caught:
        find_model(name)
    assert "\n" not in str(caught.value)


def test_the_folder_above_a_model_is_not_a_model(folder):
    with pytest.raises(ModelError, match="give .*model"):
        find_model(folder.parent)


def test_devices():
    assert pick_device("cpu").type == "cpu"
    assert pick_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert pick_device(torch.device("cpu")).type == "cpu"


@pytest.mark.parametrize("name", ["gpu", "", "cuda:77", "xla", "hpu", "meta", "cpu:-2"])
def test_devices_that_are_not_there_are_refused_in_one_line(name):
    with pytest.raises(ConfigError) as caught:
        pick_device(name)
    message = str(caught.value)
    assert message.startswith(f"device: {name!r}: ")
    assert "; there is cpu" in message or message.endswith("cuda:1 … or mps")
    assert "\n" not in message and len(message) < 300
