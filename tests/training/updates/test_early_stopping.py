"""Early stopping: when training ends, and which weights are kept."""

from __future__ import annotations

import pytest
import torch

from speechattn.training.updates.early_stopping import EarlyStopping


def weights(value: float) -> dict[str, torch.Tensor]:
    return {"w": torch.tensor([value])}


@pytest.mark.parametrize("lower", [False, True])
def test_the_first_of_the_best_is_kept_and_patience_ends_it(lower):
    stopping = EarlyStopping(2, lower_is_better=lower)
    sign = -1 if lower else 1
    ended = []
    for step, result in enumerate([0.5, 0.7, 0.7, 0.6]):
        stopping.take(step, sign * result, weights(step))
        ended.append(stopping.is_exhausted)
    assert ended == [False, False, False, True]
    assert stopping.best_step == 1 and stopping.weights["w"].item() == 1


def test_without_patience_nothing_is_kept():
    stopping = EarlyStopping(0)
    stopping.take(0, 0.5, weights(0))
    stopping.take(1, 0.1, weights(1))
    assert not stopping.is_exhausted and stopping.weights == {}
    model = torch.nn.Linear(1, 1)
    before = model.weight.clone()
    stopping.kept_in(model)
    assert torch.equal(model.weight, before)


def test_the_state_goes_on_where_it_was_and_weights_are_copies():
    first = EarlyStopping(1)
    changing = weights(1.0)
    first.take(0, 0.5, changing)
    changing["w"].fill_(9)
    second = EarlyStopping(1)
    second.restore(0.5, {4: 0.4}, first.weights)
    assert second.is_exhausted and second.best_step == 0
    assert second.weights["w"].item() == 1.0
