"""Cached tensors; which tensors compiled code may use."""

from __future__ import annotations

import torch
from support.references.attention import brute_force, tensors
from torch._subclasses.fake_tensor import FakeTensorMode

from speechattn.attention.functional import truncated_attention
from speechattn.attention.kernels import runtime
from speechattn.attention.kernels.runtime import (
    cached_tensors,
    is_plain_cpu_tensor,
)
from speechattn.attention.sparse_masks import ImageMask


def counting():
    made = []

    @cached_tensors(2)
    def ramp(count: int) -> torch.Tensor:
        made.append(count)
        return torch.arange(float(count))

    return ramp, made


def test_the_last_ones_are_kept():
    ramp, made = counting()
    assert ramp(3) is ramp(3)
    assert made == [3]
    ramp(4), ramp(5)  # 3 is let go
    assert ramp(3).tolist() == [0, 1, 2]
    assert made == [3, 4, 5, 3]


def test_made_in_inference_they_serve_gradients():
    ramp, made = counting()
    with torch.inference_mode():
        ramp(3)
    x = torch.ones(3, requires_grad=True)
    (x * ramp(3)).sum().backward()  # keeps its factors for the way back
    assert x.grad.tolist() == [0, 1, 2]
    assert made == [3]


def test_nothing_is_kept_of_a_dry_run():
    ramp, made = counting()
    with FakeTensorMode():
        assert type(ramp(3)) is not torch.Tensor
    assert type(ramp(3)) is torch.Tensor
    with FakeTensorMode():
        assert type(ramp(3)) is not torch.Tensor
    assert made == [3, 3, 3]


def test_attention_after_a_dry_run():
    q, k, v = tensors(1, 90)
    grid = ImageMask(3, 4)
    with FakeTensorMode():
        fake = torch.empty(1, 90, 2, 4)
        assert truncated_attention(fake, fake, fake, 7, 7).shape == (1, 90, 2, 4)
        grid.blocks(12)
    expected = brute_force(q, k, v, 7, 7)
    found = truncated_attention(q, k, v, 7, 7).double()
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert all(type(x) is torch.Tensor for block in grid.blocks(12) for x in block)


def test_without_private_functions_pytorch_computes_everything(monkeypatch):
    """In a version of PyTorch that does not tell who watches: the same numbers, on the plain way."""
    q, k, v = tensors(1, 90)
    expected = truncated_attention(q, k, v, 7, 7)
    assert is_plain_cpu_tensor(q)
    monkeypatch.setattr(runtime, "_dispatch_queries", lambda: None)
    assert not is_plain_cpu_tensor(q)
    torch.testing.assert_close(truncated_attention(q, k, v, 7, 7), expected, rtol=0, atol=1e-5)


def test_private_functions_that_are_gone_are_found_out(monkeypatch):
    assert runtime._dispatch_queries.__wrapped__() is not None
    monkeypatch.delattr(torch._C, "_len_torch_dispatch_stack")
    assert runtime._dispatch_queries.__wrapped__() is None
