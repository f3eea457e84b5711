"""Products of bytes against NumPy's whole numbers of 64 bits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from speechattn.attention.kernels import byte_matrix
from speechattn.attention.kernels.byte_matrix import FOUR, PANEL, STRIP, TILE, BytePanels

pytestmark = pytest.mark.skipif(not byte_matrix.OFFERED, reason="no products of bytes here")
MOST = byte_matrix.MOST_WEIGHT


def expected(x, whole, step, zero, bias):
    """In the order in which it is computed: whole numbers, times the step, plus the bias."""
    sums = (x.numpy().astype(np.int64) - zero) @ whole.numpy().astype(np.int64).T
    return sums.astype(np.float32) * step.numpy() + (0 if bias is None else bias.numpy())


@settings(deadline=None, max_examples=60)
@given(
    rows=st.integers(0, 2 * TILE + 1) | st.sampled_from([STRIP, STRIP + 1, 2 * STRIP + TILE]),
    outputs=st.integers(1, 2 * PANEL + 1),
    fours=st.integers(1, 40),
    zero=st.sampled_from([0, 1, 128, 255]),
    with_bias=st.booleans(),
    seed=st.integers(0, 99),
)
def test_all_shapes(rows, outputs, fours, zero, with_bias, seed):
    generator = torch.Generator().manual_seed(seed)
    inputs = FOUR * fours
    x = torch.randint(0, 256, (rows, inputs), generator=generator).to(torch.uint8)
    whole = torch.randint(-MOST, MOST + 1, (outputs, inputs), generator=generator).to(torch.int8)
    step = torch.rand(outputs, generator=generator)
    bias = torch.randn(outputs, generator=generator) if with_bias else None
    found = BytePanels.of(whole.numpy(), step.numpy()).product(
        x.numpy(), zero, None if bias is None else bias.numpy()
    )
    assert found.shape == (rows, outputs) and found.flags.c_contiguous
    np.testing.assert_array_equal(found, expected(x, whole, step, zero, bias))


@pytest.mark.parametrize("sign", [1, -1])
def test_the_largest_numbers_do_not_overflow(sign):
    x = torch.full((TILE, 2048), 255, dtype=torch.uint8)
    whole = torch.full((PANEL, 2048), sign * MOST, dtype=torch.int8)
    step = torch.ones(PANEL)
    found = BytePanels.of(whole.numpy(), step.numpy()).product(x.numpy(), 0, None)
    np.testing.assert_array_equal(found, expected(x, whole, step, 0, None))


def test_a_row_is_the_same_beside_any_others_and_in_several_threads():
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(0, 256, (700, 512), generator=generator).to(torch.uint8).numpy()
    whole = torch.randint(-MOST, MOST + 1, (256, 512), generator=generator).to(torch.int8)
    panels, threads = (
        BytePanels.of(whole.numpy(), torch.rand(256, generator=generator).numpy()),
        torch.get_num_threads(),
    )
    try:
        torch.set_num_threads(1)
        alone = np.concatenate([panels.product(x[n : n + 1], 128, None) for n in range(len(x))])
        torch.set_num_threads(3)
        np.testing.assert_array_equal(panels.product(x, 128, None), alone)
    finally:
        torch.set_num_threads(threads)
