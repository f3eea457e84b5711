"""Recipes with a teacher: it is learned from, it realigns, and it is looked at beforehand."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from support.recipe_runs import SKIPPED, fails, history, stages
from support.recipes import write_recipe

from speechattn.cli.main import main as speechattn_main
from speechattn.cli.recipe import main
from speechattn.studies import training_profile
from speechattn.training.recipe import Recipe
from speechattn.training.recipe_file import read_config
from speechattn.training.warm_start import weights_digest

WEIGHT = "training.teacher_weight=2"


def train_teacher(place: Path, *changes: str) -> Path:
    """Run the recipe as another one; returns its model."""
    recipe = write_recipe(place, name="first", work_dir=str(place / "first"))
    assert main([str(recipe), "stages=prepare,train", *changes]) == 0
    return place / "first/model"


def weights(place: Path) -> dict[str, torch.Tensor]:
    return load_file(place / "work/model/model.safetensors")


def test_what_a_teacher_hears_is_learned(place, capsys):
    teacher = train_teacher(place)
    path = write_recipe(place)
    alone = [str(path), "stages=prepare,train"]
    taught = [*alone, f"teacher={teacher}", WEIGHT]
    assert main(alone) == 0
    losses, before = history(place / "work"), weights(place)
    inputs = (place / "work/train/inputs.txt").read_text()
    capsys.readouterr()

    assert main(taught) == 0
    out = capsys.readouterr().out
    assert SKIPPED[0] in out and "training afresh" in out
    assert history(place / "work")[0]["loss"] > losses[0]["loss"]  # a divergence is added
    after = weights(place)
    assert not torch.equal(after["classify.bias"], before["classify.bias"])
    record = json.loads((place / "work/run.json").read_text())
    assert str(teacher) in json.dumps(record["teacher"])
    recipe = Recipe(read_config(path, taught[2:]), lambda _: None)
    digest = weights_digest(str(teacher))
    assert digest is not None and recipe.data.start_digest == [digest]
    assert main(taught) == 0
    assert stages(capsys) == SKIPPED[:2]

    train_teacher(place, "seed=7")
    capsys.readouterr()
    write_recipe(place)
    assert main(taught) == 0
    out = capsys.readouterr().out
    assert SKIPPED[0] in out and "training afresh" in out
    assert not torch.equal(weights(place)["classify.bias"], after["classify.bias"])

    assert main(alone) == 0
    assert (place / "work/train/inputs.txt").read_text() == inputs
    assert json.loads((place / "work/run.json").read_text())["teacher"] is None


def test_a_teacher_realigns_where_training_begins_at_random(place, capsys):
    teacher = train_teacher(place)
    recipe = str(write_recipe(place))
    taught = [recipe, f"teacher={teacher}", WEIGHT, "stages=prepare"]
    runs = place / "work/prepared/train/runs.npy"
    assert main(taught) == 0
    given = np.load(runs)
    realigned = [*taught, "realign=[tones/train]"]
    assert main(realigned) == 0
    found = np.load(runs)
    assert found.shape != given.shape or (found != given).any()
    capsys.readouterr()
    assert main(realigned) == 0
    assert stages(capsys) == SKIPPED[:1]
    train_teacher(place, "seed=7")
    write_recipe(place)
    capsys.readouterr()
    assert main(realigned) == 0
    assert stages(capsys) == ["prepare:"]
    said = fails(capsys, 1, *realigned, f"teacher={place / 'gone'}")
    assert f"teacher: {place / 'gone'}: no model folder" in said


@pytest.mark.parametrize(
    ("teacher", "said"),
    [("gone", "teacher: gone: no model folder"), ("{}", "teacher: {}: its front_end are not")],
    ids=["missing", "other frames"],
)
def test_a_check_says_what_is_wrong_with_a_teacher(place, tiny_model_dir, capsys, teacher, said):
    command = ["train", str(write_recipe(place)), WEIGHT, "--check"]
    assert speechattn_main([*command, f"teacher={teacher.format(tiny_model_dir)}"]) == 1
    lines = [line for line in capsys.readouterr().out.splitlines() if "teacher" in line]
    assert len(lines) == 1 and said.format(tiny_model_dir) in lines[0]
    assert not (place / "work").exists()


def test_a_check_finds_nothing_wrong_with_a_teacher_that_fits(place, capsys):
    teacher = train_teacher(place)
    command = ["train", str(write_recipe(place)), f"teacher={teacher}", WEIGHT, "--check"]
    assert speechattn_main(command) == 0
    assert "0 problems" in capsys.readouterr().err


@pytest.fixture
def profile(place, tiny_model_dir, monkeypatch):
    """The profile of an update, with a teacher or without."""
    monkeypatch.setattr(training_profile, "_peak", lambda _: 1.0)
    monkeypatch.setattr(training_profile, "_front_end_seconds", lambda _: 1.0)
    path = write_recipe(place, phones=None, front_end={"num_mel_bins": 40})

    def measure(*changes: str, taught: bool) -> training_profile.UpdateProfile:
        teacher = [f"teacher={tiny_model_dir}", WEIGHT] if taught else []
        return training_profile.profile_updates(read_config(path, [*changes, *teacher]), 1)

    return measure


@pytest.mark.studies
@pytest.mark.parametrize("weight", ["sequence_weight", "consistency_weight"])
def test_a_profile_measures_the_teacher(profile, weight):
    alone, taught = (profile(f"training.{weight}=1", taught=taught) for taught in (False, True))
    assert alone.seconds["teacher"] == 0 < taught.seconds["teacher"]
    assert min(taught.seconds.values()) >= 0
    assert all("| teacher |" in each.report("x") for each in (alone, taught))


@pytest.mark.studies
def test_the_time_of_the_teacher_is_no_part_of_the_losses(profile, monkeypatch):
    clock, load = [0.0], training_profile.load_teacher

    def load_slow(*arguments):
        teacher = load(*arguments)

        def listen(frames, lengths):
            clock[0] += 5
            return teacher.classifier(frames, lengths)

        return SimpleNamespace(classifier=listen)

    monkeypatch.setattr(training_profile, "load_teacher", load_slow)
    monkeypatch.setattr(training_profile, "time", SimpleNamespace(process_time=lambda: clock[0]))
    seconds = profile(taught=True).seconds
    assert seconds == {**dict.fromkeys(training_profile.PARTS, 0), "teacher": 5}


@pytest.mark.studies
def test_a_profile_is_of_the_phones_of_the_recipe(place):
    teacher = train_teacher(place)
    path = write_recipe(place)
    profile = training_profile.profile_updates(read_config(path, [f"teacher={teacher}", WEIGHT]), 1)
    assert profile.seconds["teacher"] > 0


def test_a_teacher_that_is_not_there_costs_no_checkpoint(place):
    alone = [str(write_recipe(place)), "stages=prepare,train"]
    assert main(alone) == 0
    before = {path.name: path.read_bytes() for path in (place / "work/train").iterdir()}
    assert "checkpoint.safetensors" in before
    assert main([*alone, "teacher=gone", WEIGHT]) == 1
    after = {path.name: path.read_bytes() for path in (place / "work/train").iterdir()}
    assert after == before
