"""Event files, read by TensorBoard's own reader."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import pytest
from support.recipes import STEPS, make_corpora, write_recipe

from speechattn.errors import UsageError
from speechattn.training.recipe import Recipe
from speechattn.training.recipe_file import read_config
from speechattn.training.updates.event_log import EventLog


def read_events(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Step and value of every number, by name."""
    from tensorboard.backend.event_processing import event_accumulator

    events = event_accumulator.EventAccumulator(str(folder)).Reload()
    return {
        name: [(event.step, event.value) for event in events.Scalars(name)]
        for name in events.Tags()["scalars"]
    }


def test_a_training_writes_every_loss_and_every_result(tmp_path):
    pytest.importorskip("tensorboard", reason="pip install 'speechattn[tensorboard]'")
    make_corpora(tmp_path)
    config = read_config(write_recipe(tmp_path), ["training.tensorboard=true"])
    Recipe(config, lambda _: None).runner.run(("prepare", "train"))
    found = read_events(tmp_path / "work/train/events")
    assert sorted(found) == ["dev_frame_accuracy", "learning_rate", "loss"]
    assert [step for step, _ in found["loss"]] == list(range(1, STEPS + 1))
    rows = json.loads((tmp_path / "work/train/history.json").read_text())["history"]
    losses = dict(found["loss"])
    for before, row in zip([0, *(row["step"] for row in rows)], rows):
        steps = range(before + 1, row["step"] + 1)
        assert math.fsum(losses[s] for s in steps) / len(steps) == pytest.approx(row["loss"])
    accuracies = [(row["step"], pytest.approx(row["dev_frame_accuracy"])) for row in rows]
    assert found["dev_frame_accuracy"] == accuracies
    assert found["learning_rate"][-1][1] < found["learning_rate"][1][1]


def test_without_tensorboard_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UsageError, match=r"training\.tensorboard: .*speechattn\[tensorboard\]"):
        EventLog(tmp_path)
    assert not list(tmp_path.iterdir())
