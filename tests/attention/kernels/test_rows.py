"""Steps on rows against PyTorch's, and the same whatever stands beside a row."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from speechattn.attention.kernels.llvm import LANES
from speechattn.attention.kernels.rows import can_rotate, convolve_silu, is_offered
from speechattn.attention.kernels.rows import rotate as rotate_rows
from speechattn.attention.positions import rotate, rotation
from speechattn.encoder.layers import Convolution

SIZES = st.lists(st.integers(0, 20), min_size=1, max_size=4)


def numbers(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@given(
    sizes=SIZES,
    before=st.integers(0, 4),
    after=st.integers(0, 4),
    channels=st.sampled_from([LANES, LANES + 3, 3 * LANES]),
)
def test_convolutions_of_sequences_laid_end_to_end(sizes, before, after, channels):
    taps = before + 1 + after
    x, weight, bias = numbers(sum(sizes), channels), numbers(taps, channels), numbers(channels)
    size = np.array(sizes)
    first = size.cumsum() - size
    found = convolve_silu(x, weight, bias, before, np.stack([first, size, first, size], 1))
    for part, one in zip(x.split(sizes), found.split(sizes)):
        if len(part) == 0:  # PyTorch cannot
            continue
        padded = F.pad(part.double().T, (before, after))
        expected = F.conv1d(padded, weight.double().T[:, None], bias.double(), groups=channels)
        torch.testing.assert_close(one.double(), F.silu(expected).T, rtol=1e-5, atol=1e-5)


def test_a_silu_far_from_zero():
    bias = torch.tensor([-1e30, -200.0, -88.0, -20.0, 0.0, 20.0, 88.0, 1e30] * LANES)
    found = convolve_silu(
        torch.zeros(1, len(bias)), torch.ones(1, len(bias)), bias, 0, np.array([[0, 1, 0, 1]])
    )
    torch.testing.assert_close(found[0], F.silu(bias), rtol=1e-6, atol=1e-6)


@given(sizes=SIZES, heads=st.integers(1, 3), first=st.integers(0, 99))
def test_rotations(sizes, heads, first):
    d = 2 * LANES
    cos, sin = (x.float() for x in rotation(first + torch.arange(20)[:, None], d))
    together = numbers(1, sum(sizes), 3 * heads, d)
    before = together.clone()
    with torch.no_grad():
        found = rotate_rows(together[:, :, : 2 * heads], cos, sin, sizes)
    assert torch.equal(together, before)  # whoever sees the projection sees it as it was
    parts = zip(found.split(sizes, 1), before[:, :, : 2 * heads].split(sizes, 1))
    for one, part in parts:
        count = part.shape[1]
        expected = rotate(part, cos[:count], sin[:count])
        torch.testing.assert_close(one, expected, rtol=1e-6, atol=1e-6)


def test_rotations_that_are_left_to_pytorch():
    with torch.no_grad():
        for x in (numbers(1, 5, 2, 10), numbers(1, 5, 2, 2 * LANES).double()):
            assert not can_rotate(x, x, x)
        x = numbers(1, 5, 2 * LANES, 2).mT
        assert can_rotate(x, x, x)
        cos, sin = (y.float() for y in rotation(torch.arange(5)[:, None], 2 * LANES))
        torch.testing.assert_close(rotate_rows(x, cos, sin, [5]), rotate(x, cos, sin))
    assert not can_rotate(x, x, x)


def test_not_where_gradients_are_wanted():
    assert not is_offered(numbers(3, LANES))
    with torch.inference_mode():
        assert is_offered(numbers(3, LANES)) and not is_offered(numbers(3, LANES - 1))
        assert not is_offered(numbers(3, LANES), numbers(LANES).double())


def test_rows_of_another_width_than_the_weights_are_named():
    x, weight = numbers(5, 2 * LANES), numbers(3, LANES)
    with pytest.raises(ValueError, match=rf"x: shape \(5, {2 * LANES}\)"):
        convolve_silu(x, weight, weight[0], 1, np.array([[0, 5, 0, 5]]))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_convolution_with_other_weights_than_its_input(dtype):
    layer, x = Convolution(LANES, 2, 1).to(dtype), numbers(1, 9, LANES)
    with torch.inference_mode(), pytest.raises(RuntimeError):
        layer(x, None)
    with torch.inference_mode():
        found = layer(x.to(dtype), None).float()
        torch.testing.assert_close(found, layer.float()(x, None), rtol=0.05, atol=0.05)
