"""Processes that train together: the same losses as one, and what a single one does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from support.recipes import make_corpora, write_recipe

import speechattn
from speechattn.errors import ConfigError
from speechattn.training.updates.process_group import ProcessGroup, join_processes

IMPORT_FROM = str(Path(speechattn.__file__).resolve().parents[1])
TOLERANCE = 1e-5  # relative, of losses in 32 bits; the order of sums differs


def test_one_process_changes_nothing(monkeypatch):
    for name in ("WORLD_SIZE", "RANK"):
        monkeypatch.delenv(name, raising=False)
    group = join_processes()
    assert group == ProcessGroup(0, 1) and group.is_first
    tensor = torch.tensor([1.0, 2.0])
    group.add_up([tensor])
    assert tensor.tolist() == [1.0, 2.0]
    assert group.total(3.5) == 3.5 and group.from_first(lambda: "here") == "here"
    group.check(1)


def test_batches_that_cannot_be_shared_are_refused():
    with pytest.raises(ConfigError, match="training.accumulate: 3, but 2 processes"):
        ProcessGroup(0, 2).check(3)


def run(folder: Path, name: str, launcher: list[str]) -> tuple[list[dict], dict]:
    """Train in a folder of its own; returns the history and the weights of the model."""
    path = write_recipe(folder, work_dir=str(folder / name), transcribe=0)
    changes = ["training.accumulate=2", "training.steps=6", "encoder.dropout=0.1"]
    environment = {**os.environ, "PYTHONPATH": IMPORT_FROM, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", *launcher, "speechattn.recipe", str(path), *changes,
         "stages=prepare,train"],
        env=environment, capture_output=True, text=True, timeout=400,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    history = json.loads((folder / name / "train/history.json").read_text())["history"]
    return history, load_file(folder / name / "model/model.safetensors")


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals as on POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_all_processes_after_the_same_update(tmp_path, number):
    make_corpora(tmp_path)
    path = write_recipe(tmp_path, transcribe=0)
    changes = ["training.accumulate=2", "training.steps=100000", "training.evaluate_every=50000",
               "training.checkpoint_every=50000", "stages=prepare,train"]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": IMPORT_FROM, "OMP_NUM_THREADS": "1"}
    launcher = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    with subprocess.Popen(
        [sys.executable, "-m", *launcher, "speechattn.recipe", str(path), *changes],
        env=environment, stderr=subprocess.PIPE, text=True,
    ) as run:  # fmt: skip
        record = tmp_path / "work/run.json"
        until = time.monotonic() + 100
        while not record.exists() and time.monotonic() < until:
            time.sleep(0.1)
        time.sleep(3)  # in the middle of the updates
        run.send_signal(number)
        _, said = run.communicate(timeout=100)
    assert (tmp_path / "work/train/checkpoint.safetensors").exists(), said
    assert said.count("stopping after this update") == 1


@pytest.mark.slow
def test_two_processes_have_the_losses_of_one(tmp_path):
    make_corpora(tmp_path)
    two = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    expected, weights = run(tmp_path, "one", [])
    found, others = run(tmp_path, "two", two)
    assert [row["step"] for row in found] == [row["step"] for row in expected]
    for one, other in zip(expected, found):
        assert other["loss"] == pytest.approx(one["loss"], rel=TOLERANCE)
    for name, value in weights.items():
        if value.is_floating_point():
            torch.testing.assert_close(others[name], value, rtol=1e-3, atol=1e-4)
    # losses that differ are told apart
    assert expected[0]["loss"] != pytest.approx(expected[-1]["loss"], rel=TOLERANCE)
