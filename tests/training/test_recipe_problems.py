"""What is wrong with a recipe is listed whole: no fault hides another."""

from __future__ import annotations

import re

import pytest

from speechattn.training.recipe_problems import recipe_problems


def test_all_problems_of_a_recipe_are_listed_with_their_lines(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text(
        "name: 3\ntrain: [a/b]\ntest: [a/b]\nhold_out: 0.1\ntraining:\n  steps: x\n  stepz: 4\n"
    )
    problems = recipe_problems(path, ["seed=-1"])
    assert sorted(problems) == sorted(
        [
            f"{path}:1: name: 3; it takes text",
            f"{path}:6: training.steps: 'x'; it takes a whole number",
            f"{path}:7: training.stepz: no such key; did you mean training.steps?",
            "command line: seed: -1; from 0 on",
            f"{path}:3: test: 'a/b'; train has 'a/b': nothing may be in both",
        ]
    )
    path.write_text("train: [a/b]\ntest: [c/d]\nhold_out: 0.1\n")
    assert recipe_problems(path) == []


RECIPE = (
    "train: [a/b]\ntest: [c/d]\nhold_out: 5\nencoder: {stack: 3, window: %s}\n"
    "training: {steps: five}\n"
)


@pytest.mark.parametrize(
    ("window", "override", "more"),
    [
        ("[8, 8]", [], ["encoder.window"]),
        ("[9, 9]", ["training.stepps=4"], ["training.stepps"]),
        ("[8, 9]", ["training.learning_rate=-1"], ["encoder.window", "training.learning_rate"]),
        ("[9]", ["encoder.any_window=[3, 9]"], ["encoder.window"]),
        ("[9, 9]", ["encoder.any_window=[1, 9]"], ["encoder.any_window"]),
        ("[9, 9]", ["encoder.kind=cnn"], ["encoder.window"]),
        ("[9, 9]", ["encoder.kind=ccc"], ["encoder.kind"]),
        ("[9, 9]", ["encoder.positions=p"], ["encoder.positions"]),
        ("[9, 9]", ["encoder.width=wide", "encoder.heads=3"], ["encoder.width"]),
        ("[9, 9]", ["train=5", "realign=[a/b]"], ["train"]),
        ("[9, 9]", ["train=[]", "decoding.ngram_order=1"], ["train", "decoding.ngram_order"]),
        ("[9, 9]", ["training.x.y=1", "seeds", "seed=-1"], ["training.x", "'seeds'", "seed"]),
    ],
)
def test_no_problem_hides_another(tmp_path, window, override, more):
    path = tmp_path / "r.yaml"
    path.write_text(RECIPE % window)
    problems = recipe_problems(path, override)
    found = [re.sub(r"^(command line|.*?yaml:\d+): ", "", problem) for problem in problems]
    keys = [problem.partition(": ")[0] for problem in found]
    assert sorted(keys) == sorted(["hold_out", "training.steps", *more]), problems


@pytest.mark.parametrize(
    "override",
    ["corpus=/no/such", "init=/no/such"],
)
def test_what_follows_from_a_problem_is_no_other_problem(override, tmp_path):
    key, _, value = override.partition("=")
    overrides = [f"corpus={tmp_path}"] if key == "init" else []
    (problem,) = recipe_problems("finetune", [*overrides, override])
    assert problem.startswith(f"command line: {key}: ") and value in problem
