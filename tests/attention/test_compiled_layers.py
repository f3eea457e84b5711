"""Layers under ``torch.compile``: the same numbers, and no compilation for each length."""

from __future__ import annotations

import pytest
import torch
from torch._dynamo.utils import counters

from speechattn.attention.masks import WindowMask
from speechattn.attention.multihead import MultiHeadAttention

pytestmark = pytest.mark.slow  # the compiler alone takes seconds to import
LENGTHS = (50, 61, 70, 83, 120, 33)
WINDOW = WindowMask(10, 3)
LAYERS = {
    "rotary": {"mask": WINDOW, "positions": "rotary"},
    "sinusoidal": {"mask": WINDOW, "positions": "sinusoidal"},
    "distance": {"mask": WINDOW, "positions": "distance", "reach": 14},
    "additive": {"mask": WINDOW, "scores": "additive"},
    "all": {},
}


@pytest.fixture(autouse=True)
def fresh():
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


def graphs(module: torch.nn.Module, inputs) -> list[int]:
    """Number of graphs that have been compiled after each length; the numbers are compared."""
    compiled, found = torch.compile(module, backend="eager"), []
    for length in LENGTHS:
        arguments = inputs(length)
        torch.testing.assert_close(compiled(*arguments), module(*arguments))
        found.append(counters["stats"]["unique_graphs"])
    return found


def frames(width: int, with_lengths: bool):
    """Inputs of two sequences; the second one is shorter if lengths are given."""

    def made(length: int) -> tuple[torch.Tensor, ...]:
        x = torch.randn(2, length, width)
        return (x, torch.tensor([length, length - 7])) if with_lengths else (x,)

    return made


def test_attention_is_compiled_for_one_length_and_for_any():
    layer = MultiHeadAttention(32, 2, **LAYERS["rotary"])
    first, second, *others = graphs(layer, frames(32, with_lengths=True))
    assert 0 < first and set(others) == {second}


@pytest.mark.parametrize("with_lengths", [False, True])
@pytest.mark.parametrize("kind", LAYERS)
def test_so_is_attention_of_every_kind(kind, with_lengths):
    layer = MultiHeadAttention(32, 2, **LAYERS[kind])
    first, second, *others = graphs(layer, frames(32, with_lengths))
    assert 0 < first and set(others) == {second}


def test_gradients_go_through_a_compiled_layer():
    layer = MultiHeadAttention(32, 2, **LAYERS["rotary"])
    x, found = torch.randn(2, 40, 32), []
    for module in (layer, torch.compile(layer, backend="eager")):
        layer.zero_grad()
        module(x).square().sum().backward()
        found.append([p.grad.clone() for p in layer.parameters()])
    torch.testing.assert_close(found[1], found[0])
