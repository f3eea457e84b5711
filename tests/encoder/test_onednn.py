"""PyTorch's private operators beside the plain way: the same numbers, and the plain way if they fail."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from speechattn.encoder import int8_matrix, onednn
from speechattn.encoder.int8 import Int8FeedForward, Int8Linear
from speechattn.encoder.layers import FeedForward
from speechattn.encoder.onednn import (
    Bf16Matrix,
    PackedInt8Matrix,
    PlainInt8Matrix,
    bf16_operator_works,
    int8_operator_works,
    largest_weight,
)
from speechattn.encoder.packed_linear import PackedFeedForward, PackedLinear

needs_bf16 = pytest.mark.skipif(not bf16_operator_works(), reason="no private operator in bfloat16")
needs_int8 = pytest.mark.skipif(not int8_operator_works(), reason="no private operator in 8 bits")
LARGEST = largest_weight()
COPIES = [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]


def without_operators(monkeypatch):
    """As in a version of PyTorch whose private operators are gone."""
    monkeypatch.setattr(onednn, "bf16_operator_works", lambda: False)
    monkeypatch.setattr(int8_matrix, "int8_operator_works", lambda: False)
    monkeypatch.setattr(int8_matrix, "own_products_work", lambda: False)


@needs_bf16
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_bfloat16_with_and_without_the_operator(relu, bias, monkeypatch):
    torch.manual_seed(0)
    weight, add, x = torch.randn(48, 64), torch.randn(48) if bias else None, torch.randn(32, 64)
    with torch.inference_mode():
        packed = Bf16Matrix(weight, add).product(x.bfloat16(), relu)
        without_operators(monkeypatch)
        plain = Bf16Matrix(weight, add).product(x.bfloat16(), relu)
    assert packed.dtype == plain.dtype == torch.bfloat16
    torch.testing.assert_close(packed, plain, rtol=2**-7, atol=2**-6)
    exact = F.linear(x.double(), weight.double(), None if add is None else add.double())
    torch.testing.assert_close(plain.double(), exact.relu() if relu else exact, rtol=0, atol=0.2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_packed_layers_without_the_operators(dtype, monkeypatch):
    without_operators(monkeypatch)
    torch.manual_seed(0)
    linear, feed_forward = nn.Linear(48, 80), FeedForward(48, 80, 0.1).eval()
    x, limit = torch.randn(1, 21, 48), 1e-5 if dtype == torch.float32 else 0.03
    with torch.inference_mode():
        for packed, layer in (
            (PackedLinear(linear, dtype), linear),
            (PackedFeedForward(feed_forward, dtype), feed_forward),
        ):
            torch.testing.assert_close(packed(x), layer(x), rtol=limit, atol=limit)


@needs_int8
@pytest.mark.parametrize("zero", [0, 128])
def test_sums_of_whole_numbers_are_exact_both_ways(zero):
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(0, 256, (16, 64), generator=generator).to(torch.uint8)
    whole = torch.randint(-LARGEST, LARGEST + 1, (32, 64), generator=generator).to(torch.int8)
    step = torch.ones(32)
    expected = (x.long() - zero) @ whole.long().T
    for kind in (PackedInt8Matrix, PlainInt8Matrix):
        assert torch.equal(kind(whole, step).product(x, zero, None).long(), expected)


@needs_int8
@pytest.mark.parametrize("shape", [(16,), (1, 16), (2, 32)])
def test_eight_bits_with_and_without_the_operator(shape):
    generator = torch.Generator().manual_seed(1)
    x = torch.randint(0, 256, (*shape, 64), generator=generator).to(torch.uint8)
    whole = torch.randint(-LARGEST, LARGEST + 1, (32, 64), generator=generator).to(torch.int8)
    step = torch.rand(32, generator=generator) / 1000
    bias = torch.randn(32, generator=generator)
    packed, plain = (kind(whole, step) for kind in (PackedInt8Matrix, PlainInt8Matrix))
    for add in (None, bias):
        found, expected = (matrix.product(x, 128, add) for matrix in (packed, plain))
        assert found.shape == expected.shape == (*shape, 32)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    found, expected = (m.product(x, 128, bias, to_bytes=True) for m in (packed, plain))
    assert found.dtype == expected.dtype == torch.uint8
    assert (found.int() - expected.int()).abs().max() <= 1  # a tie may round to either side
    assert (found == expected).float().mean() > 0.99


@needs_int8
def test_layers_in_eight_bits_without_the_operators(monkeypatch):
    torch.manual_seed(0)
    linear, feed_forward = nn.Linear(48, 80), FeedForward(48, 80, 0.1).eval()
    x = torch.randn(1, 21, 48)
    ranges, inner = x.abs().amax((0, 1)), feed_forward.expand(x).detach().relu().amax((0, 1))

    def outputs():
        with torch.inference_mode():
            layers = Int8Linear(linear, ranges), Int8FeedForward(feed_forward, ranges, inner)
            return [layer(x) for layer in layers]

    found = outputs()
    without_operators(monkeypatch)
    for packed, plain in zip(found, outputs()):
        assert packed.shape == plain.shape
        torch.testing.assert_close(packed, plain, rtol=0.01, atol=0.01)


@pytest.mark.parametrize("copied", COPIES)
@pytest.mark.parametrize("plain", [False, True])
def test_copies(copied, plain, monkeypatch):
    if plain:
        without_operators(monkeypatch)
    torch.manual_seed(0)
    half, x = Bf16Matrix(torch.randn(32, 16), torch.randn(32)), torch.randn(16, 16).bfloat16()
    whole = torch.randint(-LARGEST, LARGEST + 1, (32, 16)).to(torch.int8)
    eight, y = (
        int8_matrix.int8_matrix(whole, torch.rand(32)),
        torch.randint(0, 256, (16, 16)).to(torch.uint8),
    )
    with torch.inference_mode():
        assert torch.equal(copied(half).product(x), half.product(x))
        assert torch.equal(copied(eight).product(y, 128, None), eight.product(y, 128, None))


def gone(*_):
    raise RuntimeError("no such operator")


@pytest.mark.parametrize("missing", ["onednn", "the operator"])
def test_where_there_are_no_products_of_eight_bits(missing, monkeypatch):
    int8_operator_works.cache_clear()
    if missing == "onednn":
        monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    else:
        monkeypatch.setattr(PackedInt8Matrix, "product", gone)
    assert not int8_operator_works()
    int8_operator_works.cache_clear()


@pytest.mark.parametrize(
    "has, largest",
    [({"avx2": True}, 63), ({"avx2": True, "avx_vnni": True}, 127), ({"avx512_vnni": True}, 127),
     ({}, 127)],
)  # fmt: skip
def test_weights_are_small_where_sums_of_two_saturate(has, largest, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has)
    largest_weight.cache_clear()
    assert largest_weight() == largest
    largest_weight.cache_clear()
    assert 2 * 255 * 63 < 2**15 < 2 * 255 * 127  # sums of two products in 16 bits


@needs_int8
def test_a_matrix_from_another_processor_does_not_saturate(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    whole = torch.randint(-127, 128, (32, 64), generator=generator).to(torch.int8)
    whole[:, :32], step = 127, torch.rand(32, generator=generator)
    x = torch.full((16, 64), 255, dtype=torch.uint8)
    monkeypatch.setattr(onednn, "largest_weight", lambda: 127)
    there = pickle.dumps(PackedInt8Matrix(whole, step))
    monkeypatch.setattr(onednn, "largest_weight", lambda: 63)
    found = pickle.loads(there).product(x, 128, None)
    exact = PlainInt8Matrix(whole, step).product(x, 128, None)
    assert (found - exact).abs().max() < 0.02 * exact.abs().max()


def test_an_operator_with_other_numbers_is_found_out(monkeypatch):
    right = PackedInt8Matrix.product

    def wrong(self, *arguments):
        return right(self, *arguments) * 0.9

    monkeypatch.setattr(PackedInt8Matrix, "product", wrong)
    assert not int8_operator_works.__wrapped__()
    monkeypatch.setattr(onednn, "_packed_bf16", gone)
    assert not bf16_operator_works.__wrapped__()
