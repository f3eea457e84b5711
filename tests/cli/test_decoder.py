"""``speechattn decoder``: another decoder, the same encoder to the last bit."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from support.commands import make_corpus
from support.models import save_sure_model, save_worded_model

from speechattn.cli.main import main
from speechattn.encoder.encoder import PhoneClassifier
from speechattn.errors import ModelError
from speechattn.inference.model_files import CONFIG, WEIGHTS, model_digest
from speechattn.inference.recognizer import load_model


@pytest.fixture(scope="module")
def models(tiny_model_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    save_sure_model(tiny_model_dir, folder / "plain")
    return save_worded_model(tiny_model_dir, folder / "worded").parent


def test_a_model_gets_the_words_of_another(models, tmp_path):
    plain, worded, out = models / "plain", models / "worded", tmp_path / "out"
    assert main(["decoder", str(plain), "--output-dir", str(out), "--like", str(worded)]) == 0
    before, after = load_file(plain / WEIGHTS), load_file(out / WEIGHTS)
    assert all((after[name] == values).all() for name, values in before.items())
    added = {name for name in after if name not in before}
    assert added == {n for n in load_file(worded / WEIGHTS) if n.startswith(("words.", "grammar."))}
    found, like = load_model(out, "cpu").checkpoint, load_model(worded, "cpu").checkpoint
    assert found.decoding == like.decoding and found.name == "out"
    assert found.phone_model.words.names.names == like.phone_model.words.names.names
    config = json.loads((out / CONFIG).read_text())
    assert config["encoder"] == json.loads((plain / CONFIG).read_text())["encoder"]
    # In its own place, and again.
    again = (out / WEIGHTS).read_bytes()
    assert main(["decoder", str(out), "--output-dir", str(out)]) == 0
    assert (out / WEIGHTS).read_bytes() == again


def test_what_is_no_model_is_not_replaced(models, tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("mine")
    assert main(["decoder", str(models / "plain"), "--output-dir", str(tmp_path)]) == 2
    assert "is there and no model" in capsys.readouterr().err
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_weights_are_tuned_anew(models, tmp_path, capsys):
    words = [("SIL", 10), ("AA", 12), ("B", 8), ("SH", 15), ("SIL", 9)]
    people = make_corpus(tmp_path / "people", {f"u{n}": words[n % 3 :] for n in range(4)})
    recipe = tmp_path / "recipe.yaml"
    values = {"bigram_scale": [0.2, 0.4], "insertion_penalty": [0.0, 1.0], "beam": 12.0}
    sets = {"train": ["a/all"], "dev": ["people/all"], "test": ["b/all"]}
    recipe.write_text(json.dumps({"name": "tuned", **sets, "decoding": values}))
    command = ["decoder", str(models / "worded"), "--output-dir", str(tmp_path / "out")]
    options = ["--tune", "people/all", "--corpora", str(people.parent), "--recipe", str(recipe)]
    assert main([*command, *options]) == 0
    tuned = load_model(tmp_path / "out", "cpu").checkpoint.decoding
    assert tuned.bigram_scale in (0.2, 0.4) and tuned.beam == 12.0
    assert "% on dev" in capsys.readouterr().err


@pytest.fixture
def any_window(models, tmp_path):
    checkpoint = load_model(models / "worded", "cpu").checkpoint
    config = replace(checkpoint.classifier.config, any_window=(0, 16))
    trained = checkpoint.classifier.state_dict()
    checkpoint.classifier = PhoneClassifier(40, len(checkpoint.phones), config).eval()
    checkpoint.classifier.load_state_dict(trained)
    checkpoint.save(tmp_path / "whole")
    return tmp_path / "whole"


def test_two_models_share_their_weights(any_window, tmp_path):
    listening = tmp_path / "listening"
    command = ["decoder", str(any_window), "--output-dir", str(listening)]
    assert main([*command, "--window", "8/0,8/2", "--share-weights"]) == 0
    assert {path.name for path in listening.iterdir()} == {CONFIG}
    one, other = load_model(any_window, "cpu").checkpoint, load_model(listening, "cpu").checkpoint
    assert other.name == "listening" and other.phone_model.words.num_words == 60
    assert other.classifier.config.windows == [(8, 0), (8, 2)]
    for name, values in one.classifier.state_dict().items():
        assert torch.equal(values, other.classifier.state_dict()[name])
    # Its digest is of the weights too.
    before = model_digest(listening)
    one.classifier.classify.bias.data += 1
    one.save(any_window)
    assert model_digest(listening) != before
    # With weights of its own again.
    assert main(["decoder", str(listening), "--output-dir", str(tmp_path / "alone")]) == 0
    (any_window / WEIGHTS).unlink()
    assert load_model(tmp_path / "alone", "cpu").checkpoint.name == "alone"


@pytest.mark.parametrize("precision", ["fp32", "auto"])
def test_a_model_has_the_words_of_the_one_beside_it(models, tmp_path, precision):
    folder = tmp_path / "models"
    shutil.copytree(models, folder)
    command = ["decoder", str(folder / "plain"), "--like", str(folder / "worded")]
    assert main([*command, "--output-dir", str(folder / "small"), "--share-words"]) == 0
    assert main([*command, "--output-dir", str(folder / "large")]) == 0
    stored = load_file(folder / "small" / WEIGHTS)
    assert not any(name.startswith(("words.", "grammar.")) for name in stored)
    small, large = (load_model(folder / n, "cpu", precision=precision) for n in ("small", "large"))
    sound = np.random.default_rng(0).normal(0, 0.1, 16_000)
    found = [m.transcribe(sound, sample_rate=16_000, words=True) for m in (small, large)]
    assert found[0].phones == found[1].phones and found[0].words == found[1].words
    assert small.checkpoint.phone_model.words.num_words == 60
    # One that shares its weights has the words too, and its digest is of them.
    again = ["decoder", str(folder / "small"), "--output-dir", str(folder / "again")]
    assert main([*again, "--share-weights"]) == 0
    assert load_model(folder / "again", "cpu").checkpoint.phone_model.words.num_words == 60
    before = model_digest(folder / "again")
    (folder / "worded" / WEIGHTS).write_bytes((folder / "plain" / WEIGHTS).read_bytes())
    assert model_digest(folder / "again") != before
    # Without --share-words it has its own again.
    shutil.copy(models / "worded" / WEIGHTS, folder / "worded" / WEIGHTS)
    assert main(["decoder", str(folder / "small"), "--output-dir", str(tmp_path / "alone")]) == 0
    assert load_model(tmp_path / "alone", "cpu").checkpoint.phone_model.words.num_words == 60


def test_the_names_of_folders_are_whole(models, tmp_path, monkeypatch):
    folder = tmp_path / "models"
    shutil.copytree(models, folder)
    (folder / "link").symlink_to("worded")
    monkeypatch.chdir(folder / "worded")
    for like in (".", "../link"):
        command = ["decoder", "../plain", "--like", like, "--output-dir", "../small"]
        assert main([*command, "--share-words"]) == 0
        assert json.loads((folder / "small" / CONFIG).read_text())["words_of"] == "worded"
        assert load_model(folder / "small", "cpu").checkpoint.phone_model.words.num_words == 60
    monkeypatch.chdir(folder / "plain")
    assert main(["decoder", ".", "--output-dir", "../same", "--share-weights"]) == 0
    assert json.loads((folder / "same" / CONFIG).read_text())["weights_of"] == "plain"


def test_words_without_names_are_not_shared(models, tmp_path, capsys):
    folder = tmp_path / "models"
    shutil.copytree(models, folder)
    tensors = {n: v for n, v in load_file(folder / "worded" / WEIGHTS).items() if ".names" not in n}
    (folder / "worded" / WEIGHTS).unlink()
    save_file(tensors, folder / "worded" / WEIGHTS)
    command = ["decoder", str(folder / "plain"), "--like", str(folder / "worded")]
    assert main([*command, "--output-dir", str(folder / "small"), "--share-words"]) == 2
    assert "have no names; write it anew with names first" in capsys.readouterr().err


def test_words_that_are_not_there_are_named(models, tmp_path):
    folder = tmp_path / "models"
    shutil.copytree(models, folder)
    command = ["decoder", str(folder / "plain"), "--like", str(folder / "worded")]
    assert main([*command, "--output-dir", str(folder / "small"), "--share-words"]) == 0
    shutil.rmtree(folder / "worded")
    with pytest.raises(ModelError, match=r"worded/config.json: no such file"):
        load_model(folder / "small", "cpu")


@pytest.mark.parametrize("name", ["../worded", "", 3, ".."])
def test_words_lie_beside_a_model(any_window, name):
    config = json.loads((any_window / CONFIG).read_text()) | {"words_of": name}
    (any_window / CONFIG).write_text(json.dumps(config))
    with pytest.raises(ModelError, match=r"words_of is .*; the name of a model folder beside"):
        load_model(any_window, "cpu")


@pytest.mark.parametrize(
    "options, said",
    [
        (["--share-words"], "--share-words: needs --like"),
        (["--share-words", "--like", "{0}/whole", "--output-dir", "{0}/below/out"], "lie beside"),
        (
            ["--share-words", "--like", "{0}/whole", "--output-dir", "{0}/whole"],
            "has these words itself",
        ),
        (["--window", "8"], "--window 8: LEFT/RIGHT"),
        (["--window", "20/2"], "encoder.window: 20 frames; encoder.any_window allows 0 to 16"),
        (["--share-weights", "--output-dir", "{}/below/out"], "must lie beside"),
        (["--share-weights", "--output-dir", "{}/whole"], "has these weights itself"),
        (["--output-dir", "{}/whole/out"], "lies in"),
        (["--tune", "librispeech"], "--tune: 'librispeech'; each entry is corpus/split"),
        (["--output-dir", "{}/whole/config.json/out"], "lies in"),
        (["--output-dir", "{}/file/out"], "cannot be written (Not a directory)"),
        (["--share-words", "--like", "{}/bare"], "bare has no n-grams and words"),
    ],
)
def test_what_cannot_be_shared_is_said(any_window, tmp_path, capsys, options, said):
    (tmp_path / "file").touch()
    bare = load_model(any_window, "cpu").checkpoint
    bare.phone_model = replace(bare.phone_model, ngrams=None, words=None)
    bare.save(tmp_path / "bare")
    before = model_digest(any_window)
    command = ["decoder", str(any_window), "--output-dir", str(tmp_path / "out")]
    assert main([*command, *(option.format(tmp_path) for option in options)]) == 2
    assert said in capsys.readouterr().err
    assert model_digest(any_window) == before and not (tmp_path / "out").exists()


def test_a_model_that_others_have_weights_or_words_of_stays(models, any_window, tmp_path, capsys):
    folder = any_window.parent
    shutil.copytree(models / "plain", folder / "plain")
    shutil.copytree(models / "worded", folder / "worded")
    whole = ["decoder", str(any_window), "--output-dir"]
    assert main([*whole, str(folder / "listening"), "--share-weights"]) == 0
    worded = ["--like", str(folder / "worded"), "--share-words"]
    plain = ["decoder", str(folder / "plain"), "--output-dir"]
    assert main([*plain, str(folder / "small"), *worded]) == 0
    digests = {path: model_digest(path) for path in folder.iterdir() if (path / CONFIG).is_file()}
    capsys.readouterr()
    for command, who in (
        ([*plain, str(any_window)], "listening"),
        (["decoder", str(folder / "listening"), "--output-dir", str(any_window)], "listening"),
        ([*whole, str(any_window), *worded], "listening"),
        ([*whole, str(folder / "worded")], "small"),
    ):
        assert main(command) == 2
        said = capsys.readouterr().err
        assert f"{folder / who} has weights or words of the model that is there" in said
    assert {path: model_digest(path) for path in digests} == digests
    # A neighbour that cannot be loaded is in nobody's way.
    (folder / "broken").mkdir()
    (folder / "broken" / CONFIG).write_text('{"words_of": "../x"}')
    assert main([*plain, str(folder / "other")]) == 0
    # In its own place, with words of its own, nothing is lost.
    assert main([*whole, str(any_window)]) == 0
    assert load_model(folder / "listening", "cpu").checkpoint.phone_model.words.num_words == 60


def test_a_card_stays_with_its_decoder(any_window, tmp_path):
    (any_window / "MODEL_CARD.md").write_text("figures")
    (any_window / "history.json").write_text("{}")
    for folder, options in (("other", []), ("sharing", ["--share-weights"])):
        command = ["decoder", str(any_window), "--output-dir", str(tmp_path / folder), *options]
        assert main(command) == 0
        assert not (tmp_path / folder / "MODEL_CARD.md").exists()
        assert (tmp_path / folder / "history.json").exists()
    assert main(["decoder", str(any_window), "--output-dir", str(any_window)]) == 0
    assert (any_window / "MODEL_CARD.md").read_text() == "figures"


@pytest.mark.parametrize("name", ["../whole", "", 3, ".."])
def test_weights_lie_beside_a_model(any_window, tmp_path, name):
    config = json.loads((any_window / CONFIG).read_text()) | {"weights_of": name}
    (any_window / CONFIG).write_text(json.dumps(config))
    with pytest.raises(ModelError, match=r"weights_of is .*; the name of a model folder beside"):
        load_model(any_window, "cpu")
