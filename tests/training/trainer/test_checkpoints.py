"""What a checkpoint holds, and that one of another training or a damaged one is refused by name."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from support.commands import make_prepared
from support.trainings import (
    NO_AUGMENTATION,
    PHONES,
    assert_same_weights,
    recipe,
    separable,
    trainer,
)

from speechattn.errors import ModelError, SpeechattnError


def test_the_checkpoint_holds_tensors_and_json_and_nothing_else(sets, tmp_path):
    run = trainer(sets, tmp_path / "c")
    run.update()
    run.save()
    data = (tmp_path / "c").read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    facts = json.loads(header.pop("__metadata__")["facts"])
    assert facts["step"] == 1 and facts["history"] == []
    assert max(t["data_offsets"][1] for t in header.values()) == len(data) - 8 - size
    assert {t["dtype"] for t in header.values()} == {"F32"}
    assert {name.split(".")[0] for name in header} == {"weights", "average", "optimizer"}
    assert [p.name for p in tmp_path.iterdir()] == ["c"]


@pytest.mark.parametrize(
    "changed",
    [
        recipe(learning_rate=1e-3),
        recipe(steps=8),
        recipe(NO_AUGMENTATION),
        replace(recipe(), seed=4),
        replace(recipe(), encoder=replace(recipe().encoder, width=32)),
    ],
    ids=["learning_rate", "steps", "augmentation", "seed", "encoder"],
)
def test_a_checkpoint_of_another_configuration_is_refused(sets, tmp_path, changed):
    run = trainer(sets, tmp_path / "c")
    run.save()
    content = (tmp_path / "c").read_bytes()
    with pytest.raises(ModelError) as caught:
        trainer(sets, tmp_path / "c", changed).run()
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'c'}: belongs to another configuration")
    assert "\n" not in message and (tmp_path / "c").read_bytes() == content


def test_a_checkpoint_of_another_training_set_is_refused(sets, tmp_path):
    trainer(sets, tmp_path / "c").save()
    other = make_prepared(tmp_path / "other", separable(30, 5)), sets[1]
    with pytest.raises(ModelError, match="belongs to another"):
        trainer(other, tmp_path / "c").run()


def test_a_checkpoint_of_the_same_frames_with_other_labels_is_refused(sets, tmp_path):
    keep = recipe(max_silence_frames=0)
    trainer(sets, tmp_path / "c", keep).save()
    relabelled = make_prepared(tmp_path / "relabelled", separable(40, 1, shift=1)), sets[1]
    with pytest.raises(ModelError, match="belongs to another"):
        trainer(relabelled, tmp_path / "c", keep).load()


def test_a_checkpoint_of_another_phone_set_is_refused(sets, tmp_path):
    trainer(sets, tmp_path / "c").save()
    with pytest.raises(ModelError, match="belongs to another"):
        trainer(sets, tmp_path / "c", phones=PHONES + 1).load()


def with_facts(path: Path, change) -> None:
    """Change the facts of a checkpoint, and nothing else."""
    with safe_open(path, "pt") as stored:
        facts = json.loads(stored.metadata()["facts"])
        names = stored.keys()
        tensors = {name: stored.get_tensor(name) for name in names}
    change(facts)
    save_file(tensors, path, {"facts": json.dumps(facts)})


def test_what_changes_no_weights_may_be_another(sets, tmp_path):
    run = trainer(sets, tmp_path / "c")
    run.update()
    run.save()
    other = trainer(sets, tmp_path / "c", recipe(evaluate_every=7, checkpoint_every=2))
    other.load()
    assert other.step == 1
    assert_same_weights(other.model.state_dict(), run.model.state_dict())


def test_a_checkpoint_of_an_early_version_is_taken_up(sets, tmp_path):
    """Its facts were step, seconds, history and config, and its sets held no phones."""
    run = trainer(sets, tmp_path / "c")
    run.update()
    run.save()

    def early(facts):
        del facts["data"], facts["losses"], facts["start_result"]
        assert sorted(facts) == ["config", "history", "seconds", "step"]
        del facts["config"][4]["label_smoothing"]  # a setting that came later, with its default

    with_facts(tmp_path / "c", early)
    other = trainer(sets, tmp_path / "c")
    other.load()
    assert other.step == 1 and other.losses == []
    with pytest.raises(ModelError, match="another configuration"):
        trainer(sets, tmp_path / "c", recipe(label_smoothing=0.0)).load()


def test_a_checkpoint_of_the_same_data_with_other_phones_is_refused(sets, tmp_path):
    named = make_prepared(tmp_path / "named", separable(40, 1), ["SIL", "A", "B", "C"]), sets[1]
    trainer(named, tmp_path / "c").save()
    trainer(named, tmp_path / "c").load()
    renamed = make_prepared(tmp_path / "renamed", separable(40, 1), ["SIL", "A", "C", "B"]), sets[1]
    with pytest.raises(ModelError, match="another training set or phone set") as caught:
        trainer(renamed, tmp_path / "c").load()
    assert "\n" not in str(caught.value)


def test_a_checkpoint_past_the_end_is_refused(sets, tmp_path):
    run = trainer(sets, tmp_path / "c")
    run.update()
    run.save()
    with_facts(tmp_path / "c", lambda facts: facts.update(step=10))
    with pytest.raises(ModelError, match="step 10"):
        trainer(sets, tmp_path / "c").load()


@pytest.mark.parametrize("which", ["weights", "average", "optimizer"])
def test_nothing_is_saved_that_is_not_finite(sets, tmp_path, which):
    run = trainer(sets, tmp_path / "c")
    run.update()
    run.save()
    content = (tmp_path / "c").read_bytes()
    moments = run.optimizers.tensors()["optimizer.0.exp_avg"]
    part = {"weights": run.model.mean, "average": run.average["classify.bias"]}.get(which, moments)
    part.flatten()[0] = math.inf
    with pytest.raises(SpeechattnError) as caught:
        run.save()
    message = str(caught.value)
    assert message.startswith(f"training.learning_rate: 0.005: {which}.") and "step 1" in message
    assert "holds NaN or Inf" in message and "\n" not in message
    assert (tmp_path / "c").read_bytes() == content


def damage(path: Path, how: str) -> None:
    data = path.read_bytes()
    if how == "empty":
        path.write_bytes(b"")
    elif how == "cut off":
        path.write_bytes(data[: len(data) // 2])
    elif how == "cut in the header":
        path.write_bytes(data[:100])
    elif how == "a pickle":
        torch.save({"weights": torch.zeros(2)}, path)
    elif how == "no facts":
        save_file({"x": torch.zeros(2)}, path)
    elif how == "other facts":
        save_file({"x": torch.zeros(2)}, path, {"facts": json.dumps({"step": 3})})
    elif how == "facts that are no JSON":
        save_file({"x": torch.zeros(2)}, path, {"facts": "{step"})
    elif how == "facts that lead nowhere":
        save_file({"x": torch.zeros(2)}, path, {"facts": "[" * 100_000})
    elif how == "no weights":
        size = int.from_bytes(data[:8], "little")
        save_file({"x": torch.zeros(2)}, path, json.loads(data[8 : 8 + size])["__metadata__"])


@pytest.mark.parametrize(
    "how",
    [
        "empty",
        "cut off",
        "cut in the header",
        "a pickle",
        "no facts",
        "facts that are no JSON",
        "other facts",
        "facts that lead nowhere",
        "no weights",
    ],
)
def test_a_damaged_checkpoint_is_refused_by_name(sets, tmp_path, how):
    trainer(sets, tmp_path / "c").save()
    damage(tmp_path / "c", how)
    with pytest.raises(ModelError) as caught:
        trainer(sets, tmp_path / "c").run()
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'c'}: ") and "delete it to start afresh" in message
    assert "\n" not in message
