"""The optimizers: who updates what, by how much, and what a checkpoint keeps of them."""

from __future__ import annotations

import pytest
import torch

from speechattn.encoder.config import EncoderConfig
from speechattn.encoder.encoder import PhoneClassifier
from speechattn.errors import ConfigError
from speechattn.training.config_sections import TrainingConfig
from speechattn.training.optim import Optimizers


def classifier() -> PhoneClassifier:
    torch.manual_seed(1)
    config = EncoderConfig(
        width=16, heads=2, feedforward=32, blocks=2, window=(4, 4), conv_kernel=3
    )
    return PhoneClassifier(8, 5, config)


def set_gradients(model: PhoneClassifier, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)


def settings(**changes) -> TrainingConfig:
    return TrainingConfig(**{"learning_rate": 0.01, "weight_decay": 0.0, **changes})


def test_every_weight_has_one_optimizer():
    for optimizer in ("adamw", "muon"):
        model = classifier()
        parts = Optimizers(model, settings(optimizer=optimizer)).parts
        held = [p for part in parts.values() for g in part.param_groups for p in g["params"]]
        assert len(held) == len(set(map(id, held))) == len(list(model.parameters()))


def test_muon_has_the_matrices_within_the_layers():
    model = classifier()
    parts = Optimizers(model, settings(optimizer="muon")).parts
    names = {id(p): name for name, p in model.named_parameters()}
    held = {names[id(p)] for p in parts["muon"].param_groups[0]["params"]}
    ends = {name.split(".", 3)[-1] for name in held}
    assert ends == {
        "project.weight",
        "join.weight",
        "mix.weight",
        "expand.weight",
        "contract.weight",
    }
    assert not any(name.startswith(("enter", "classify")) for name in held)


def test_an_update_of_muon_is_orthogonal_and_as_large_as_one_of_adamw():
    """All singular values of a step are about the same, their mean square entry is 0.2 rates."""
    model = classifier()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizers = Optimizers(model, settings(optimizer="muon"))
    set_gradients(model, 2)
    optimizers.step(0.01)
    after = dict(model.named_parameters())
    name = "layers.0.layer.project.weight"  # (48, 16)
    step = (after[name] - before[name]) / 0.01
    values = torch.linalg.svdvals(step)
    assert values.min() > 0.5 * values.max()
    assert step.square().mean().sqrt().item() == pytest.approx(0.2, rel=0.3)
    name = "classify.weight"  # Adam's first step has entries of one rate
    torch.testing.assert_close(
        (after[name] - before[name]).abs(), torch.full_like(before[name], 0.01), rtol=1e-3, atol=0
    )


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_what_is_loaded_goes_on_as_if_never_saved(optimizer):
    whole, part = classifier(), classifier()
    first = Optimizers(whole, settings(optimizer=optimizer))
    assert first.tensors() == {}
    set_gradients(whole, 3)
    first.step(0.01)
    tensors = {name: tensor.clone() for name, tensor in first.tensors().items()}
    assert {name: tensor.shape for name, tensor in tensors.items()} == first.shapes()
    part.load_state_dict(whole.state_dict())
    second = Optimizers(part, settings(optimizer=optimizer))
    second.load({**tensors, "weights.enter.weight": torch.zeros(1)})
    for model, optimizers in ((whole, first), (part, second)):
        set_gradients(model, 4)
        optimizers.step(0.01)
    for name, expected in whole.state_dict().items():
        assert torch.equal(part.state_dict()[name], expected)


def test_an_unknown_optimizer():
    with pytest.raises(ConfigError, match="optimizer: 'sgd'; 'adamw' or 'muon'"):
        TrainingConfig(optimizer="sgd")
