"""The file of a training: what is written comes back, and nothing damaged is taken up."""

from __future__ import annotations

import json
import math
import os

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from support.commands import message_of

from speechattn.errors import ModelError
from speechattn.training.trainer_state import (
    TrainingFacts,
    check_tensors,
    nonfinite_tensor,
    read_state,
    write_state,
)

ROW = {"step": 3, "loss": 1.5, "dev_frame_accuracy": 0.5}
FACTS = {"step": 3, "seconds": 1.5, "history": [ROW], "config": [1, {"a": [2, None]}]}
TENSORS = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(-1.0)}
SHAPES = {name: value.shape for name, value in TENSORS.items()}


@given(
    step=st.integers(0, 10**9),
    seconds=st.floats(0, 1e9),
    losses=st.lists(st.floats(-1e9, 1e9), max_size=5),
    data=st.none() | st.text(max_size=9),
)
def test_what_is_written_comes_back(tmp_path_factory, step, seconds, losses, data):
    path = tmp_path_factory.getbasetemp() / "state"
    facts = TrainingFacts(step, seconds, [ROW], [1, {"x": [2]}], data, losses)
    write_state(path, facts, TENSORS)
    found, tensors = read_state(path)
    assert found == facts and tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensors[name], value) for name, value in TENSORS.items())


@pytest.mark.skipif(os.name == "nt", reason="permissions are POSIX's here")
def test_permissions_follow_the_umask(tmp_path):
    old = os.umask(0o027)
    try:
        write_state(tmp_path / "c", TrainingFacts(**FACTS), TENSORS)
    finally:
        os.umask(old)
    assert (tmp_path / "c").stat().st_mode & 0o777 == 0o640


def test_early_files_have_fewer_facts(tmp_path):
    save_file(TENSORS, tmp_path / "c", {"facts": json.dumps(FACTS)})
    facts, _ = read_state(tmp_path / "c")
    assert (facts.step, facts.data, facts.losses) == (3, None, [])


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    write_state(tmp_path / "c", TrainingFacts(**FACTS), TENSORS)
    before = (tmp_path / "c").read_bytes()

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_state(tmp_path / "c", TrainingFacts(**{**FACTS, "step": 4}), TENSORS)
    assert (tmp_path / "c").read_bytes() == before and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("step", -1),
        ("step", 2.0),
        ("step", True),
        ("step", "3"),
        ("seconds", math.nan),
        ("seconds", -1.0),
        ("seconds", None),
        ("seconds", 10**400),
        ("history", {}),
        ("history", [3]),
        ("history", [{"step": 3}]),
        ("history", [{**ROW, "loss": math.inf}]),
        ("history", [{**ROW, "dev_frame_accuracy": "high"}]),
        ("config", {"seed": 0}),
        ("data", 7),
        ("losses", 1.0),
        ("losses", [1.0, math.nan]),
        ("losses", ["1"] * 1000),
    ],
)
def test_impossible_facts_are_refused_by_name(tmp_path, name, value):
    save_file(TENSORS, tmp_path / "c", {"facts": json.dumps({**FACTS, name: value})})
    with pytest.raises(ModelError) as caught:
        read_state(tmp_path / "c")
    message = message_of(caught)
    assert message.startswith(f"{tmp_path / 'c'}: not a checkpoint of this training (its {name} is")
    assert message.endswith("delete it to start afresh") and len(message) < 400


@pytest.mark.parametrize("name", FACTS)
def test_missing_facts_are_refused_by_name(tmp_path, name):
    facts = {key: value for key, value in FACTS.items() if key != name}
    save_file(TENSORS, tmp_path / "c", {"facts": json.dumps(facts)})
    with pytest.raises(ModelError, match=f"no key '{name}'"):
        read_state(tmp_path / "c")


@pytest.mark.parametrize("facts", ["[]", "3", "{", "null", "[" * 100_000])
def test_facts_that_are_no_mapping_are_refused(tmp_path, facts):
    save_file(TENSORS, tmp_path / "c", {"facts": facts})
    with pytest.raises(ModelError) as caught:
        read_state(tmp_path / "c")
    assert "not a checkpoint of this training" in message_of(caught)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"a": None}, "a is missing"),
        ({"c": torch.zeros(1)}, "holds c, which this model has not"),
        ({"a": torch.zeros(3, 2)}, r"a is torch.float32 \[3, 2\], where .* floats \[2, 3\]"),
        ({"b": torch.tensor(1)}, "b is torch.int64"),
        ({"b": torch.tensor(math.nan)}, "b holds NaN or Inf"),
    ],
)
def test_other_tensors_are_refused_by_name(tmp_path, change, said):
    check_tensors(tmp_path, TENSORS, SHAPES)
    found = {k: v for k, v in {**TENSORS, **change}.items() if v is not None}
    with pytest.raises(ModelError, match=said) as caught:
        check_tensors(tmp_path, found, SHAPES)
    message_of(caught)


def test_the_first_tensor_that_is_not_finite_is_found():
    assert nonfinite_tensor(TENSORS) is None
    for bad in (math.nan, math.inf, -math.inf):
        broken = {**TENSORS, "b": torch.tensor(bad), "c": torch.tensor(bad)}
        assert nonfinite_tensor(broken) == "b"
