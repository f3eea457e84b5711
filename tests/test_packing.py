"""Sequences end to end and apart again, with gradients, against plain indexing."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from speechattn.packing import lay_end_to_end, take_apart

SIZES = st.lists(st.integers(0, 6), min_size=1, max_size=4)


@given(sizes=SIZES, padding=st.integers(0, 3), before=st.integers(0, 3), after=st.integers(0, 3))
@settings(max_examples=40)
def test_there_and_back(sizes, padding, before, after):
    frames = max(sizes) + padding
    x = torch.randn(len(sizes), frames, 2, 3, dtype=torch.float64)
    rows = [x[n, i] for n, size in enumerate(sizes) for i in range(size)]
    zeros = [torch.zeros(2, 3, dtype=torch.float64)]
    flat = lay_end_to_end(x, sizes, before, after)
    expected = torch.stack([*zeros, *zeros * before, *rows, *zeros * after])[1:]
    assert torch.equal(flat, expected)
    back = take_apart(flat[before:], sizes, frames)
    there = torch.arange(frames) < torch.tensor(sizes)[:, None]
    assert torch.equal(back, x * there[:, :, None, None])


@given(sizes=SIZES, padding=st.integers(0, 2), around=st.integers(0, 2))
@settings(max_examples=15)
def test_gradients(sizes, padding, around):
    frames = max(sizes) + padding + 1
    x = torch.randn(len(sizes), frames, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: lay_end_to_end(x, sizes, around, 1), [x])
    flat = torch.randn(sum(sizes) + around + 1, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: take_apart(x, sizes, frames), [flat])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_pads_leaves_no_trace(dtype):
    x = torch.ones(2, 4, 3, dtype=dtype)
    x[0, 2:] = torch.nan
    x.requires_grad_()
    flat = lay_end_to_end(x, [2, 4])
    assert flat.dtype == dtype and bool((flat == 1).all())
    (gradient,) = torch.autograd.grad(take_apart(flat, [2, 4], 4).sum(), x)
    assert gradient[0].sum() == 6 and gradient[1].sum() == 12 and bool((gradient[0, 2:] == 0).all())
