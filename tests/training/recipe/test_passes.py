"""Recipes that begin with the model of another one."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from support.recipe_runs import (
    SKIPPED,
    STAGES,
    fails,
    make_orders,
    process,
    stages,
    write_passes,
)
from support.recipes import write_recipe

from speechattn.cli.recipe import main
from speechattn.corpora.prepared import PreparedSet


def test_a_second_pass_begins_with_the_model_of_the_first(place, capsys, sketches):
    make_orders(place)
    _, recipe = write_passes(place)
    done = process(["-m", "speechattn.recipe", str(recipe), "training.precision=bf16"], place)
    assert done.returncode == 0, done.stderr
    ran = [line for line in done.stdout.splitlines() if line.split(":")[0] in STAGES]
    assert ran == ["prepare:", "train:", *[f"{name}:" for name in STAGES]]
    assert done.stdout.index("first pass, first:") < done.stdout.index("prepare:")
    index = json.loads((place / "work/prepared/train/index.json").read_text())
    assert [e["id"] for e in index["utterances"] if e["corpus"] == "orders"] == [
        "u00", "u01", "u02",
    ]  # fmt: skip
    first = np.load(place / "first/prepared/train/runs.npy")
    second = np.load(place / "work/prepared/train/runs.npy")[: len(first)]
    assert second.shape != first.shape or (second != first).any()  # realigned
    assert (place / "work/prepared/noises.safetensors").is_file()
    assert not (place / "first/prepared/noises.safetensors").exists()
    assert not (place / "first/evaluate").exists()
    one, two = (load_file(place / w / "model/model.safetensors") for w in ("first", "work"))
    torch.testing.assert_close(one["mean"], two["mean"], rtol=0, atol=0)
    assert not torch.equal(one["classify.bias"], two["classify.bias"])

    again = [str(recipe), "training.precision=bf16"]
    before = {p: p.stat().st_mtime_ns for p in place.rglob("*")}
    assert main(again) == 0
    assert stages(capsys) == [*SKIPPED[:2], *SKIPPED]
    assert {p: p.stat().st_mtime_ns for p in place.rglob("*")} == before
    (place / "work/prepared/noises.safetensors").unlink()
    assert main([*again, "stages=prepare"]) == 0
    assert stages(capsys) == [*SKIPPED[:2], "prepare:"]

    # A first pass that is out of date concerns what is made from it, and nothing else.
    first = place / "first.yaml"
    first.write_text(first.read_text().replace("learning_rate: 0.01", "learning_rate: 0.02"))
    assert main([*again, "stages=transcribe,report"]) == 0
    assert stages(capsys) == SKIPPED[3:]
    assert main([*again, "stages=prepare,train"]) == 0
    assert stages(capsys) == [SKIPPED[0], "train:", "prepare:", "train:"]
    three = load_file(place / "work/model/model.safetensors")
    assert not torch.equal(three["classify.bias"], two["classify.bias"])


def test_a_grammar_does_without_machine_strings(place, capsys, monkeypatch):
    """Every recording gets the phones of its slots; without the grammar's words, a line says so."""
    make_orders(place)
    orders = place / "corpora/orders"
    lines = (orders / "phones.machine").read_text().splitlines()
    (orders / "phones.machine").unlink()
    said = {name: [p for p in phones if p != "SIL"] for name, *phones in map(str.split, lines)}
    slots = {name: {"slots": {"what": " ".join(phones)}} for name, phones in said.items()}
    (orders / "intents.json").write_text(json.dumps(slots))
    (place / "orders.jsgf").write_text("#JSGF V1.0; grammar g; public <g> = <what>;")
    (place / "words.dict").write_text("AA AA\nB B\nSH SH\n")
    monkeypatch.setattr("speechattn.training.recipe_data.POCKETSPHINX", str(place / "words.dict"))
    monkeypatch.setattr("speechattn.training.realignment.realign.LOWEST_SCORE", -100.0)
    changes = {"train": ["tones/train", "orders/all"], "realign": ["orders/all"]}
    _, recipe = write_passes(place, noise=None, **changes)
    grammar = f"grammar={place / 'orders.jsgf'}"
    assert main([str(recipe), grammar, "stages=prepare"]) == 0
    prepared = PreparedSet(place / "work/prepared/train")
    entries = [entry for entry in prepared.entries if entry.corpus == "orders"]
    names = prepared.phones
    found = {e.id: [names[r.phone] for r in prepared.runs(e)] for e in entries}
    assert {u: [p for p in phones if p != "SIL"] for u, phones in found.items()} == said
    capsys.readouterr()
    assert main([str(recipe), grammar, "stages=prepare"]) == 0
    assert stages(capsys) == [*SKIPPED[:2], SKIPPED[0]]
    (place / "orders.jsgf").touch()  # as a checkout does
    assert main([str(recipe), grammar, "stages=prepare"]) == 0
    assert stages(capsys) == [*SKIPPED[:2], SKIPPED[0]]
    (place / "orders.jsgf").write_text("#JSGF V1.0; grammar g; public <g> = <what> [B];")
    assert main([str(recipe), grammar, "stages=prepare"]) == 0
    assert stages(capsys) == [*SKIPPED[:2], "prepare:"]
    missing = fails(capsys, 1, recipe, "grammar=gone.jsgf", "stages=prepare")
    assert "grammar: " in missing and "gone.jsgf: cannot be read" in missing


def test_a_start_trained_anew_is_trained_on_from_anew(place, capsys):
    """Also where nothing is realigned: the same name, the same shapes, other weights."""
    first, recipe = write_passes(
        place, first_pass=None, realign=[], train=["tones/train"], noise=None
    )
    first = [str(first), f"corpora={place / 'corpora'}", "stages=prepare,train"]
    second = [str(recipe), "stages=prepare,train"]
    assert main(first) == 0 and main(second) == 0
    old = load_file(place / "work/model/model.safetensors")
    # A share of what it began with takes no other training.
    assert main([*second, "training.start_share=0.25"]) == 0
    assert "training afresh" not in capsys.readouterr().out
    begun = load_file(place / "first/model/model.safetensors")
    mixed = load_file(place / "work/model/model.safetensors")
    assert {"ranges.enter", "ranges.classify"} <= old.keys()
    for name, after in old.items():
        if name.startswith("ranges."):  # measured, of each model for itself
            assert (after >= 0).all() and mixed[name].shape == after.shape
            continue
        assert torch.allclose(mixed[name], 0.75 * after + 0.25 * begun[name], atol=1e-6)
    assert any(not torch.equal(old[name], begun[name]) for name in old)
    assert any(not torch.equal(old[k], mixed[k]) for k in old if k.startswith("ranges."))
    assert main(second) == 0
    assert main([*first, "decoding.prior_scale=[0.5]"]) == 0  # the weights stay
    capsys.readouterr()
    assert main(second) == 0
    assert stages(capsys) == SKIPPED[:2]
    assert main([*first, "seed=7"]) == 0
    capsys.readouterr()
    assert main(second) == 0
    out = capsys.readouterr().out
    assert "prepare: up to date, skipped" in out and "training afresh" in out
    new = load_file(place / "work/model/model.safetensors")
    assert not torch.equal(old["mean"], new["mean"]) or not torch.equal(
        old["classify.bias"], new["classify.bias"]
    )


def test_a_second_pass_without_its_start_says_what_is_missing(place, capsys):
    _, recipe = write_passes(place, first_pass=None, realign=["tones/train"], noise=None)
    make_orders(place)
    said = fails(capsys, 1, recipe)
    assert f"start_from: {place / 'first/model'}: no model folder" in said
    assert not (place / "work/prepared").exists()


def test_a_start_of_another_shape_is_refused_in_a_line(place, capsys):
    first, recipe = write_passes(place, first_pass=None, realign=[], train=["tones/train"])
    second = [recipe, "noise=null", "encoder.width=32", "stages=prepare,train"]
    assert main([str(first), f"corpora={place / 'corpora'}", "stages=prepare,train"]) == 0
    capsys.readouterr()
    said = fails(capsys, 1, *second)
    assert f"start_from: {place / 'first/model'}: its " in said and "has shape [" in said


@pytest.mark.parametrize("length", [1, 2])
def test_passes_that_go_round_in_a_circle_are_refused(place, capsys, length):
    paths = [place / f"pass{number}.yaml" for number in range(length)]
    for number, path in enumerate(paths):
        following = str(paths[(number + 1) % length])
        made = write_recipe(place, first_pass=following, work_dir=str(place / f"w{number}"))
        made.rename(path)
    said = fails(capsys, 2, paths[0])
    assert f"first_pass: {paths[0]} builds on itself" in said
    assert not list(place.glob("w[0-9]"))


def test_passes_do_not_share_a_work_folder(place, capsys):
    _, recipe = write_passes(place, work_dir=str(place / "other/../first"))
    said = fails(capsys, 2, recipe)
    assert f"first.yaml has work_dir '{place / 'first'}', as another pass has" in said


def test_the_pass_before_may_be_told_as_changes(place, capsys):
    changes = [f"work_dir={place / 'before'}", "name=before", "training.steps=3", "hold_out=0.25"]
    recipe = write_recipe(place, first_pass_changes=changes)
    assert main([str(recipe), "stages=prepare", f"corpora={place / 'corpora'}"]) == 0
    said = capsys.readouterr().out
    assert said.index("first pass, before:") < said.index("prepare:", said.index("train:"))
    history = json.loads((place / "before/train/history.json").read_text())
    assert history["steps"] == 3
    for wrong, why in (("[3]", "3; each is key=value"), ("[steps=]", "no such key")):
        assert why in fails(capsys, 2, recipe, f"first_pass_changes={wrong}")
    assert "as another pass has" in fails(capsys, 2, recipe, "first_pass_changes=[seed=1]")
    assert "leave one out" in fails(capsys, 2, recipe, "first_pass=default")
