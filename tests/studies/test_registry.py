"""Recipes that name a task, through the command; and the trainings that all tasks share."""

from __future__ import annotations

import csv
import math
import shutil

import numpy as np
import pytest
import torch
from scipy import stats
from support.commands import message_of, small_recipe
from support.work_folders import held_elsewhere

from speechattn.cli.recipe import main
from speechattn.errors import ConfigError, SpeechattnError
from speechattn.studies import STUDIES, StudyConfigs
from speechattn.studies.trials import FitConfig, fit, interval, missing, percent
from speechattn.training.recipe_file import read_config

pytestmark = pytest.mark.studies

NAMES = ["with bias, seed 0", "without, seed 0", "with bias, seed 1", "without, seed 1"]


@pytest.fixture(autouse=True)
def _sums(monkeypatch):
    """The task of the tests, beside those of the package; and torch's threads as they were."""
    monkeypatch.setitem(STUDIES, "sums", "support.study_sums")
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def recipe(tmp_path):
    return small_recipe(tmp_path, "", f"task: sums\nwork_dir: {tmp_path / 'work'}\nthreads: 1\n")


def ran(capsys) -> list[str]:
    """The trainings that were not skipped since the last call."""
    lines = capsys.readouterr().out.splitlines()
    return [line[:-1] for line in lines if line[:-1] in NAMES]


def fails(capsys, status: int, *arguments: object) -> str:
    """The one line on standard error with which the command fails."""
    assert main([str(argument) for argument in arguments]) == status
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("speechattn.recipe: error: ")
    return line


def test_a_task_leaves_a_report_and_its_scores(recipe, tmp_path, capsys):
    assert main([str(recipe)]) == 0
    said = capsys.readouterr().out
    report = (tmp_path / "work/report.md").read_text()
    assert report.startswith("# sums\n\n| kind | error (%) |") and report in said
    with open(tmp_path / "work/scores.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [f"{row['trial']}, seed {row['seed']}" for row in rows] == NAMES
    errors = [float(row["error"]) for row in rows if row["trial"] == "without"]
    assert f"| without | {percent(errors)} |" in report


def test_what_is_done_is_skipped_and_what_is_missing_is_done(recipe, tmp_path, capsys):
    main([str(recipe)])
    scores = (tmp_path / "work/scores.csv").read_bytes()
    assert ran(capsys) == NAMES
    main([str(recipe)])
    assert ran(capsys) == []
    (tmp_path / "work/runs/without-1.json").unlink()
    main([str(recipe)])
    assert ran(capsys) == NAMES[3:]
    assert (tmp_path / "work/scores.csv").read_bytes() == scores


def test_other_inputs_train_again_and_more_seeds_only_the_new_ones(recipe, tmp_path, capsys):
    main([str(recipe), "seeds=1"])
    ran(capsys)
    main([str(recipe), "seeds=2"])
    assert ran(capsys) == NAMES[2:]
    main([str(recipe), "name=mine"])
    assert (tmp_path / "work/report.md").read_text().startswith("# mine\n")
    assert ran(capsys) == []
    main([str(recipe), "name=mine", "training.steps=2"])
    assert ran(capsys) == NAMES
    main([str(recipe), "name=mine", "training.steps=2", "force=true"])
    assert ran(capsys) == NAMES


def test_a_report_of_fewer_seeds_has_no_row_of_others(recipe, tmp_path, capsys):
    main([str(recipe)])
    main([str(recipe), "seeds=1"])
    assert len((tmp_path / "work/scores.csv").read_text().splitlines()) == 3


def test_a_work_folder_may_be_moved(recipe, tmp_path, capsys):
    main([str(recipe)])
    ran(capsys)
    shutil.move(tmp_path / "work", tmp_path / "elsewhere")
    main([str(recipe), f"work_dir={tmp_path / 'elsewhere'}"])
    assert ran(capsys) == []


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("exmples=3", "exmples: no such key; did you mean examples?"),
        ("training.stps=3", "training.stps: no such key; did you mean training.steps?"),
        ("seeds=0", "seeds: 0; from 1 to 1000"),
        ("training.batch=0", "training.batch: 0; from 1 on"),
        ("training.learning_rate=.nan", "training.learning_rate: nan; it takes a number"),
        ("training.learning_rate=0", "training.learning_rate: 0.0; above 0"),
        ("work_dir=''", "work_dir: ''; it cannot be empty"),
        ("task=sms", "task: 'sms'; one of phones, "),
        ("task=[sums]", "task: ['sums']; one of phones, "),
        ("task=null", "task: None; one of phones, "),
        ("stages=train", "stages: for recipes of phones, this one has a task; leave it out"),
        ("force=maybe", "force: 'maybe'; true or false"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_written(
    recipe, tmp_path, capsys, override, message
):
    assert message in fails(capsys, 2, recipe, override)
    assert not (tmp_path / "work").exists()


def test_failures_have_the_status_of_any_recipe(recipe, tmp_path, capsys, monkeypatch):
    assert "examples: 13" in fails(capsys, 1, recipe, "examples=13")
    assert "loss is " in fails(capsys, 1, recipe, "training.learning_rate=1.0e+38")
    (tmp_path / "file").write_text("")
    line = fails(capsys, 2, recipe, f"work_dir={tmp_path / 'file' / 'work'}")
    assert "file/work: cannot be written (Not a directory); give another work_dir" in line

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("support.study_sums.run", interrupted)
    assert main([str(recipe)]) == 130


def test_a_missing_package_is_wrong_usage(recipe, capsys, monkeypatch):
    def lacking(*_):
        raise missing("sums")

    monkeypatch.setattr("support.study_sums.run", lacking)
    assert "sums is not installed; run: pip install 'speechattn[studies]'" in fails(
        capsys, 2, recipe
    )


def test_recipes_of_studies_are_read_only_with_their_config_classes(recipe, tmp_path):
    assert read_config(recipe, kinds=StudyConfigs()).examples == 8
    with pytest.raises(ConfigError) as caught:
        read_config(recipe)
    assert "phones is asked for here" in message_of(caught)
    phones = small_recipe(tmp_path, "task: phones\n")
    assert read_config(phones) == read_config(phones, kinds=StudyConfigs())


def test_a_task_of_the_package_has_what_a_recipe_needs():
    from speechattn.studies import study_module

    for name in set(STUDIES) - {"sums"}:
        module = study_module(name)
        assert callable(module.run) and callable(module.check_data) and module.Config().name


def test_training_finds_what_least_squares_finds():
    random = torch.Generator().manual_seed(0)
    x, noise = torch.randn(64, 3, generator=random), torch.randn(64, generator=random)
    y = x @ torch.tensor([1.0, -2.0, 0.5]) + 0.1 * noise
    model = torch.nn.Linear(3, 1, bias=False)
    settings = FitConfig(steps=600, batch=64, learning_rate=0.05, weight_decay=0.0)
    fit(model, lambda i: (model(x[i])[:, 0] - y[i]).square().mean(), 64, settings, 0)
    expected = torch.linalg.lstsq(x, y[:, None]).solution[:, 0]
    torch.testing.assert_close(model.weight.detach()[0], expected, atol=1e-4, rtol=1e-3)
    assert not model.training


@pytest.mark.parametrize(("examples", "batch"), [(5, 2), (2, 5), (1, 1), (7, 7)])
def test_every_example_comes_before_one_comes_again(examples, batch):
    model, seen = torch.nn.Linear(1, 1), []

    def loss(chosen):
        seen.extend(chosen.tolist())
        return model(chosen[:, None].float()).mean() * 0

    fit(model, loss, examples, FitConfig(steps=9, batch=batch), 3)
    assert len(seen) == 9 * batch
    for start in range(0, len(seen) - examples + 1, examples):
        assert sorted(seen[start : start + examples]) == list(range(examples))


def test_training_without_examples_is_an_error():
    model = torch.nn.Linear(1, 1)
    with pytest.raises(SpeechattnError, match="no examples"):
        fit(model, lambda chosen: model(chosen), 0, FitConfig(), 0)


def test_intervals_are_students():
    values = [0.5, 0.7, 0.9, 0.6]
    low, high = stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values))
    mean, half = interval(values)
    assert mean - half == pytest.approx(low) and mean + half == pytest.approx(high)
    assert math.isnan(interval([0.5])[1]) and percent([0.5]) == "50.0"
    assert percent(values) == f"{100 * mean:.1f} ± {100 * half:.1f}"


def test_a_check_finds_what_a_study_refuses_at_once(recipe, tmp_path, capsys):
    assert main([str(recipe), "--check"]) == 0
    assert "0 problems" in capsys.readouterr().err
    assert main([str(recipe), "examples=13", "--check"]) == 1
    said = capsys.readouterr()
    assert said.out == "examples: 13; another number\n" and "1 problem" in said.err
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["adaptation", "speakers=[]"], "speakers: empty"),
        (["adaptation", "corpora=gone"], "gone/librispeech: no such folder"),
        (["flat_start", "corpora=gone"], "gone/kathleen: no such folder"),
        (["phone_strings", "frames=gone"], "gone: no such recipe file"),
        (["phone_strings", "frames_changes=[encoder.widht=3]"], "frames_changes: encoder.widht"),
        (["spoken_digits", "corpora=gone"], "gone/fsdd: no such folder"),
    ],
)
def test_a_check_looks_at_what_studies_of_speech_name(capsys, arguments, said):
    assert main([*arguments, "--check"]) == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert said in line


@pytest.mark.parametrize("content", ["{bad", "[]", "\xff", ""])
def test_a_damaged_result_is_made_again(recipe, tmp_path, capsys, content):
    main([str(recipe)])
    scores = (tmp_path / "work/scores.csv").read_bytes()
    ran(capsys)
    result = tmp_path / "work/runs/without-1.json"
    result.write_text(content, encoding="latin-1")
    assert main([str(recipe)]) == 0
    said = capsys.readouterr().out
    assert f"{result}: damaged; made again" in said and "without, seed 1:" in said.splitlines()
    assert (tmp_path / "work/scores.csv").read_bytes() == scores


def test_two_runs_do_not_share_a_work_folder(recipe, tmp_path, capsys):
    work = tmp_path / "work"
    work.mkdir()
    with held_elsewhere(work):
        line = fails(capsys, 2, recipe)
        assert f"{work}: another training is at work in this folder (process " in line
    assert main([str(recipe)]) == 0
