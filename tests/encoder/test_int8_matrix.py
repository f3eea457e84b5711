"""Ways of multiplying matrices of 8 bits: which one is taken, and that all give the same."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch

from speechattn.attention.kernels import byte_matrix
from speechattn.encoder import int8_matrix as ways
from speechattn.encoder.int8_matrix import FEW_ROWS, OwnInt8Matrix, fast_int8, int8_matrix
from speechattn.encoder.onednn import (
    PackedInt8Matrix,
    PlainInt8Matrix,
    int8_operator_works,
    largest_weight,
)

LARGEST = largest_weight()
needs_own = pytest.mark.skipif(
    not ways.own_products_work(), reason="this processor has no products of bytes"
)
needs_both = pytest.mark.skipif(
    not (ways.own_products_work() and int8_operator_works()), reason="one of the ways is missing"
)


def matrix(outputs: int, inputs: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Whole numbers, steps and a bias."""
    generator = torch.Generator().manual_seed(outputs)
    whole = torch.randint(-LARGEST, LARGEST + 1, (outputs, inputs), generator=generator)
    step = torch.rand(outputs, generator=generator) / 1000
    return whole.to(torch.int8), step, torch.randn(outputs, generator=generator)


def rows(*shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randint(0, 256, shape, generator=generator).to(torch.uint8)


@needs_both
@pytest.mark.parametrize("shape", [(0, 64), (1, 64), (3, 5, 64), (1, FEW_ROWS + 1, 64), (200, 64)])
@pytest.mark.parametrize("zero", [0, 128])
def test_own_products_have_the_bits_of_onednn(shape, zero):
    whole, step, bias = matrix(48, 64)
    own, other, x = OwnInt8Matrix(whole, step), PackedInt8Matrix(whole, step), rows(*shape)
    for add in (None, bias):
        for to_bytes in (False, True):
            found = own.product(x, zero, add, to_bytes)
            assert torch.equal(found, other.product(x, zero, add, to_bytes))
            assert found.shape == (*shape[:-1], 48)


@needs_both
def test_other_bits_are_found_out(monkeypatch):
    assert ways.has_bits_of_onednn.__wrapped__()
    product = byte_matrix.BytePanels.product
    monkeypatch.setattr(  # the last bit of one number
        byte_matrix.BytePanels, "product", lambda *given: product(*given) * np.float32(1 + 2**-23)
    )
    assert not ways.has_bits_of_onednn.__wrapped__()


@needs_both
def test_many_rows_go_another_way(monkeypatch):
    whole, step, bias = matrix(32, 16)
    mixed = OwnInt8Matrix(whole, step, PackedInt8Matrix(whole, step))
    x, seen = rows(FEW_ROWS + 3, 16), []
    product = PackedInt8Matrix.product
    monkeypatch.setattr(
        PackedInt8Matrix,
        "product",
        lambda self, x, *more: seen.append(len(x)) or product(self, x, *more),
    )
    together = mixed.product(x, 128, bias)
    assert seen == [FEW_ROWS + 3]
    assert torch.equal(mixed.product(x[:FEW_ROWS], 128, bias), together[:FEW_ROWS])
    assert seen == [FEW_ROWS + 3]
    assert [mixed.rows_for(n) for n in (1, FEW_ROWS, FEW_ROWS + 1)] == [1, FEW_ROWS, 32]
    assert OwnInt8Matrix(whole, step).rows_for(FEW_ROWS + 1) == FEW_ROWS + 1


@needs_own
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
@pytest.mark.parametrize("used", [False, True])
def test_copies(copied, used):
    whole, step, bias = matrix(40, 32)  # 40 is no multiple of a panel
    own, x = OwnInt8Matrix(whole, step), rows(5, 32)
    expected = OwnInt8Matrix(whole, step).product(x, 128, bias)
    if used:
        own.product(x, 128, bias)
    assert torch.equal(copied(own).product(x, 128, bias), expected)


@needs_own
def test_a_matrix_from_another_processor_is_rounded(monkeypatch):
    whole = torch.full((16, 64), 127, dtype=torch.int8)
    there = pickle.dumps(OwnInt8Matrix(torch.zeros_like(whole), torch.ones(16)))
    own = pickle.loads(there)
    state = own.__getstate__() | {"_whole": whole}
    monkeypatch.setattr("speechattn.encoder.onednn.largest_weight", lambda: 63)
    own.__setstate__(state)
    x = torch.full((2, 64), 255, dtype=torch.uint8)
    assert torch.equal(own.product(x, 0, None), torch.full((2, 16), 2.0 * 63 * 255 * 64))


@needs_own
def test_tensors_that_compiled_code_cannot_see():
    whole, step, bias = matrix(16, 16)
    own, x = OwnInt8Matrix(whole, step), rows(2, 16)
    expected = own.product(x, 128, bias)
    traced = torch.jit.trace(lambda y: own.product(y, 128, bias), x, check_trace=False)
    torch.testing.assert_close(traced(x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "vnni, avx2, operator, own, fast, kind",
    [
        (True, True, True, True, True, OwnInt8Matrix),
        (True, True, True, False, True, PackedInt8Matrix),
        (True, True, True, "other bits", True, PackedInt8Matrix),
        (True, True, False, True, True, PlainInt8Matrix),
        (False, True, True, True, True, OwnInt8Matrix),
        (False, True, False, True, True, OwnInt8Matrix),
        (False, True, True, False, False, PackedInt8Matrix),
        (False, False, False, False, False, PlainInt8Matrix),
    ],
)
def test_which_way_is_taken(vnni, avx2, operator, own, fast, kind, monkeypatch):
    if operator and not int8_operator_works():
        pytest.skip("no private operator in 8 bits")
    for name, value in (
        ("has_vnni", vnni),
        ("has_avx2", avx2),
        ("int8_operator_works", operator),
        ("own_products_work", bool(own)),
        ("has_bits_of_onednn", own != "other bits"),
    ):
        monkeypatch.setattr(ways, name, lambda value=value: value)
    assert fast_int8() == fast
    whole, step, _ = matrix(16, 16)
    assert type(int8_matrix(whole, step)) is kind
    # Four inputs are multiplied at a time.
    other = type(int8_matrix(whole[:, :15], step))
    assert other is (PackedInt8Matrix if operator else PlainInt8Matrix)


@pytest.mark.parametrize("fault", ["not offered", "weights", "fails", "other numbers"])
def test_own_products_are_tried_first(fault, monkeypatch):
    monkeypatch.setattr(byte_matrix, "works", byte_matrix.works.__wrapped__)
    if fault == "not offered":
        monkeypatch.setattr(byte_matrix, "OFFERED", False)
    elif fault == "weights":
        monkeypatch.setattr(byte_matrix, "MOST_WEIGHT", LARGEST - 1)
    elif fault == "fails":

        def fail(*_):
            raise TypeError("no such function")

        monkeypatch.setattr(byte_matrix.BytePanels, "product", fail)
    else:
        monkeypatch.setattr(
            byte_matrix.BytePanels, "product", lambda *_: np.zeros((16, 48), np.float32)
        )
    assert not ways.own_products_work.__wrapped__()
