"""A convolution as attention: its type of number, and weights that are none of a convolution.

That it computes the convolution is tested with the other kinds of attention.
"""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from speechattn.attention.convolution import AttentionConvolution


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
@torch.no_grad()
def test_a_convolution_has_the_type_of_its_weights(dtype):
    weight, bias = numbers(4, 3, 3).to(dtype), numbers(4, seed=1).to(dtype)
    x = numbers(2, 9, 3, seed=2).to(dtype)
    expected = F.conv1d(x.mT, weight, bias, padding=1).mT
    result = AttentionConvolution(weight, bias)(x)
    assert result.dtype == dtype
    limit = {torch.float64: 1e-12, torch.float16: 0.02, torch.bfloat16: 0.1}[dtype]
    torch.testing.assert_close(result, expected, rtol=0, atol=limit)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AttentionConvolution(numbers(2, 2, 3).long()), "weight: torch.int64"),
        (
            lambda: AttentionConvolution(numbers(2, 2, 3), numbers(2).double()),
            r"bias: shape \(2,\) of torch.float64; \(2,\) of torch.float32",
        ),
        (
            lambda: AttentionConvolution(numbers(4, 1, 3))(numbers(2, 9, 2)),  # two groups
            r"x: shape \(2, 9, 2\); \(batch, time, 1\), .*groups",
        ),
    ],
)
def test_what_is_no_convolution_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
