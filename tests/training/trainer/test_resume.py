"""A run that stopped goes on, and ends with what a whole one ends with."""

from __future__ import annotations

import signal
from dataclasses import replace

import pytest
import torch
from support.trainings import assert_same_weights, recipe, trainer

from speechattn.errors import ModelError
from speechattn.training.optim import schedule


@pytest.mark.parametrize("any_window", [None, (0, 8)])
@pytest.mark.parametrize("optimizer, replicas", [("adamw", 1), ("muon", 2)])
def test_resuming_gives_exactly_what_not_stopping_gives(
    sets, tmp_path, optimizer, replicas, any_window
):
    """With dropout and every augmentation on, to the last bit."""
    config = recipe(optimizer=optimizer, replicas=replicas)
    config = replace(config, encoder=replace(config.encoder, any_window=any_window))
    whole = trainer(sets, tmp_path / "whole", config)
    expected = [whole.update() for _ in range(9)]
    losses = []
    for steps in (2, 4, 3):  # a new process each, as far as the trainer can tell
        torch.manual_seed(12345 + steps)
        part = trainer(sets, tmp_path / "parts", config)
        if part.checkpoint.exists():
            part.load()
        losses += [part.update() for _ in range(steps)]
        part.save()
    assert losses == expected and part.step == whole.step == 9
    assert len(set(losses)) == 9
    assert_same_weights(part.model.state_dict(), whole.model.state_dict())
    assert_same_weights(part.average, whole.average)
    assert_same_weights(part.optimizers.tensors(), whole.optimizers.tensors())


@pytest.mark.parametrize("evaluate_every", [3, 5])
def test_an_interrupted_run_ends_with_the_history_of_a_whole_one(
    sets, tmp_path, monkeypatch, evaluate_every
):
    config = recipe(evaluate_every=evaluate_every)
    whole = trainer(sets, tmp_path / "whole", config)
    model = whole.run()
    first = trainer(sets, tmp_path / "parts", config)
    update = first.update

    def interrupted() -> float:
        if first.step == 4:
            raise KeyboardInterrupt
        return update()

    monkeypatch.setattr(first, "update", interrupted)
    with pytest.raises(KeyboardInterrupt):
        first.run()
    second = trainer(sets, tmp_path / "parts", config)
    resumed = second.run()
    assert_same_weights(resumed.state_dict(), model.state_dict())
    assert [row["step"] for row in second.history] == [row["step"] for row in whole.history]
    assert second.history == whole.history


def test_a_finished_run_is_not_trained_again(sets, tmp_path, monkeypatch):
    first = trainer(sets, tmp_path / "c")
    model = first.run()
    content = (tmp_path / "c").read_bytes()
    second = trainer(sets, tmp_path / "c")
    monkeypatch.setattr(second, "update", lambda: pytest.fail("trained again"))
    assert_same_weights(second.run().state_dict(), model.state_dict())
    assert second.history == first.history and second.seconds == first.seconds > 0
    assert (tmp_path / "c").read_bytes() == content


@pytest.mark.parametrize("done", [4, 6])
def test_a_run_goes_on_with_more_steps_and_their_schedule(sets, tmp_path, done):
    """From where it was, interrupted or finished, with the learning rate of the new schedule."""
    first = trainer(sets, tmp_path / "c", recipe(steps=6))
    for _ in range(done):
        first.update()
    first.save()
    more = trainer(sets, tmp_path / "c", recipe(steps=10))
    more.load()
    assert more.step == done
    assert_same_weights(more.model.state_dict(), first.model.state_dict())
    more.update()
    (group,) = (g for o in more.optimizers.parts.values() for g in o.param_groups)
    assert group["lr"] == pytest.approx(5e-3 * schedule(done, 10, 3))
    model = trainer(sets, tmp_path / "c", recipe(steps=10)).run()
    assert not model.training
    with pytest.raises(ModelError, match="another configuration"):
        trainer(sets, tmp_path / "c", recipe(steps=6)).load()


def test_a_run_that_began_with_given_weights_resumes_to_the_same_bits(sets, tmp_path):
    config = recipe(precision="bf16")
    start = trainer(sets, tmp_path / "start").averaged().requires_grad_(False)
    before = {name: value.clone() for name, value in start.state_dict().items()}
    whole = trainer(sets, tmp_path / "whole", config, start=start)
    expected = [whole.update() for _ in range(6)]
    losses = []
    for steps in (2, 4):
        part = trainer(sets, tmp_path / "parts", config, start=start)
        if part.checkpoint.exists():
            part.load()
        losses += [part.update() for _ in range(steps)]
        part.save()
    assert losses == expected
    assert_same_weights(part.model.state_dict(), whole.model.state_dict())
    assert_same_weights(part.average, whole.average)
    assert_same_weights(start.state_dict(), before)  # what was given stays


def test_best_weights_and_accumulated_batches_survive_an_interruption(sets, tmp_path):
    config = recipe(patience=3, accumulate=2, checkpoint_every=1)
    whole = trainer(sets, tmp_path / "whole", config)
    expected = whole.run()
    first = trainer(sets, tmp_path / "parts", config)
    first.stopping.take(0, first.evaluate(), first.average)
    for _ in range(3):
        first.losses.append(first.update())
    first._add_row()
    first.losses.append(first.update())
    first.save()
    second = trainer(sets, tmp_path / "parts", config)
    found = second.run()
    assert second.history == whole.history
    assert second.stopping.results == whole.stopping.results
    assert second.stopping.best_step == whole.stopping.best_step > 0
    assert_same_weights(found.state_dict(), expected.state_dict())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("settings", [{"replicas": 2}, {"patience": 3, "accumulate": 2}])
def test_what_a_signal_stops_between_checkpoints_loses_no_update(
    sets, tmp_path, monkeypatch, number, settings
):
    config = recipe(evaluate_every=2, checkpoint_every=9, **settings)
    whole = trainer(sets, tmp_path / "whole", config)
    model = whole.run()
    first = trainer(sets, tmp_path / "parts", config)
    update = first.update

    def interrupted() -> float:
        if first.step == 4:
            signal.raise_signal(number)
        return update()

    def default(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(first, "update", interrupted)
    before = signal.signal(number, default)
    try:
        with pytest.raises(KeyboardInterrupt):
            first.run()
        assert signal.getsignal(number) is default
    finally:
        signal.signal(number, before)
    assert first.step == 5  # the running update was finished
    second = trainer(sets, tmp_path / "parts", config)
    second.resume()
    assert second.step == 5
    resumed = second.run()
    assert_same_weights(resumed.state_dict(), model.state_dict())
    assert_same_weights(second.optimizers.tensors(), whole.optimizers.tensors())
    assert second.history == whole.history


def test_a_second_signal_stops_at_once(sets, tmp_path, monkeypatch):
    run = trainer(sets, tmp_path / "c", recipe())

    def interrupted() -> float:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        return pytest.fail("went on")

    monkeypatch.setattr(run, "update", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run.run()
    assert run.step == 0 and not (tmp_path / "c").exists()
