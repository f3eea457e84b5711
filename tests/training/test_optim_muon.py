"""Muon, against its equation through singular values and against PyTorch's own."""

from __future__ import annotations

import pytest
import torch

from speechattn.training.optim import Muon, orthogonal


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(24, 8), (8, 24), (16, 16), (1, 5)])
def test_orthogonal_keeps_directions_and_evens_singular_values(shape):
    matrix = random(*shape)
    found = orthogonal(matrix)
    assert found.shape == shape
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    values = left.T @ found @ right.T  # diagonal: the directions are those of the matrix
    torch.testing.assert_close(values, torch.diag(values.diagonal()), atol=1e-4, rtol=0)
    assert 0.3 < values.diagonal().min() and values.diagonal().max() < 1.3


def test_zeros_stay_zeros():
    assert torch.equal(orthogonal(torch.zeros(4, 3)), torch.zeros(4, 3))


def test_several_steps_are_those_of_pytorch():
    """Which computes the same in 16 bits: as close as those allow, and the same momentum."""
    rates = {"lr": 0.01, "weight_decay": 0.1}
    ours, theirs = (torch.nn.Parameter(random(48, 16)) for _ in range(2))
    mine = Muon([ours], **rates, dtype=torch.bfloat16)
    pytorch = torch.optim.Muon([theirs], adjust_lr_fn="match_rms_adamw", **rates)
    for seed in range(1, 5):
        for parameter, optimizer in ((ours, mine), (theirs, pytorch)):
            parameter.grad = random(48, 16, seed=seed)
            optimizer.step()
    torch.testing.assert_close(ours, theirs, atol=3e-4, rtol=0)
    assert not torch.allclose(ours, random(48, 16), atol=1e-2)
    buffers = (o.state[p]["momentum_buffer"] for o, p in ((mine, ours), (pytorch, theirs)))
    torch.testing.assert_close(*buffers)


def test_in_32_bits_as_in_16():
    exact, rough = orthogonal(random(32, 64)), orthogonal(random(32, 64), torch.bfloat16)
    assert exact.dtype == torch.float32 and rough.dtype == torch.bfloat16
    torch.testing.assert_close(exact, rough.float(), atol=0.03, rtol=0)


def test_what_has_no_gradient_stays():
    matrix = torch.nn.Parameter(random(3, 4))
    Muon([matrix], lr=0.1, weight_decay=0.1).step()
    assert torch.equal(matrix, random(3, 4))
