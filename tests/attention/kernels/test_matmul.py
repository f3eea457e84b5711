"""Products with a matrix in panels against the same in float64."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch._subclasses import FakeTensorMode

from speechattn.attention.kernels.matmul import STRIP, Panels

SIZE = st.integers(1, 80)


def numbers(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def layer(inputs, outputs, seed=0, biased=True):
    return numbers(outputs, inputs, seed=seed), numbers(outputs, seed=seed + 1) if biased else None


def expected(x, weight, bias):
    return F.linear(x.double(), weight.double(), None if bias is None else bias.double())


def check(found, wanted, atol=3e-5):
    torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=atol)


@given(rows=st.integers(0, 2 * STRIP + 3), inputs=SIZE, outputs=SIZE, biased=st.booleans())
def test_one_matrix(rows, inputs, outputs, biased):
    weights = layer(inputs, outputs, biased=biased)
    x = numbers(rows, inputs, seed=5)
    check(Panels(*weights).product(x), expected(x, *weights))


@given(rows=st.integers(0, 2 * STRIP + 3), inputs=SIZE, inner=SIZE, outputs=SIZE)
def test_two_matrices_with_a_relu_between_them(rows, inputs, inner, outputs):
    first, second = layer(inputs, inner), layer(inner, outputs, seed=8)
    x = numbers(rows, inputs, seed=5)
    found = Panels(*second).after_relu(x, Panels(*first))
    check(found, expected(expected(x, *first).clamp(min=0), *second), atol=1e-4)


def test_a_row_is_the_same_whatever_stands_beside_it():
    panels, x = Panels(*layer(48, 70)), numbers(300, 48)
    whole = panels.product(x)
    for begin, end in ((0, 1), (5, 12), (90, 200), (299, 300)):
        assert torch.equal(panels.product(x[begin:end]), whole[begin:end])


@pytest.mark.parametrize("shape", [(48,), (2, 3, 48), (0, 48), (1, 7, 48)])
def test_shapes(shape):
    weights, x = layer(48, 33), numbers(*shape)
    found = Panels(*weights).product(x)
    assert found.shape == (*shape[:-1], 33)
    check(found, expected(x, *weights))


@pytest.mark.parametrize(
    "x, message",
    [(numbers(3, 47), r"\(3, 47\)"), (numbers(3, 48).double(), "torch.float64")],
)
def test_what_does_not_fit_is_named(x, message):
    panels = Panels(*layer(48, 33))
    with pytest.raises(ValueError, match=message):
        panels.product(x)
    with pytest.raises(ValueError, match=message):
        Panels(*layer(33, 48)).after_relu(x, panels)


def test_views():
    weights = layer(48, 33)
    for x in (
        numbers(48, 10).T,
        numbers(10, 96)[:, 48:],
        numbers(20, 48)[::2],
        numbers(1, 48).expand(5, 48),
    ):
        check(Panels(*weights).product(x), expected(x, *weights))


def test_on_several_cores_the_same(monkeypatch):
    panels, more, x = Panels(*layer(512, 300)), Panels(*layer(300, 256)), numbers(900, 512)
    alone = panels.product(x), more.after_relu(x, panels)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    assert torch.equal(panels.product(x), alone[0])
    assert torch.equal(more.after_relu(x, panels), alone[1])


def test_the_matrix_is_a_copy_and_nan_is_not_hidden():
    weight, bias = layer(48, 33)
    panels, x = Panels(weight, bias), numbers(4, 48)
    before = panels.product(x)
    weight.zero_()
    bias.zero_()
    assert torch.equal(panels.product(x), before)
    x[1, 3] = torch.nan
    assert panels.product(x).isnan().any(1).tolist() == [False, True, False, False]
    assert panels.after_relu(x, Panels(*layer(48, 48)))[1].isnan().all()


def test_many_threads_of_a_program_do_not_disturb_each_other():
    first, second = Panels(*layer(64, 256)), Panels(*layer(256, 64))
    inputs = [numbers(90, 64, seed=seed) for seed in range(16)]
    alone = [second.after_relu(x, first) for x in inputs]
    with ThreadPoolExecutor(len(inputs)) as pool:
        for _ in range(60):
            found = pool.map(lambda x: second.after_relu(x, first), inputs)
            assert all(map(torch.equal, found, alone))


def test_results_are_whole_tensors_of_their_own():
    found = Panels(*layer(48, 33)).product(numbers(5, 48))
    assert found.is_contiguous() and found.view(-1).shape == (165,)


def test_other_defaults_of_pytorch_change_nothing():
    weights, x = layer(48, 33), numbers(5, 48)
    panels = Panels(*weights)
    torch.set_default_dtype(torch.float64)
    try:
        found = panels.product(x)
    finally:
        torch.set_default_dtype(torch.float32)
    assert found.dtype == torch.float32
    check(found, expected(x, *weights))


def test_a_matrix_in_other_types():
    weights, x = layer(48, 33), numbers(5, 48)
    check(Panels(*(w.double() for w in weights)).product(x), expected(x, *weights))


def test_where_tensors_are_not_there():
    first, second, x = Panels(*layer(48, 33)), Panels(*layer(33, 48)), numbers(5, 48)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        fake = mode.from_tensor(x)
        assert first.product(fake).shape == (5, 33)
        assert second.after_relu(fake, first).shape == (5, 48)
    traced = torch.jit.trace(first.product, x)
    torch.testing.assert_close(traced(x), first.product(x))
