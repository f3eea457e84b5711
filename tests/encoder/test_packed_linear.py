"""Packed linear layers: the same numbers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from speechattn.encoder.layers import FeedForward
from speechattn.encoder.packed_linear import PackedFeedForward, PackedLinear


@pytest.mark.parametrize("rows", [1, 16, 333])
@pytest.mark.parametrize("bias", [True, False])
def test_a_packed_layer_computes_what_the_layer_does(rows, bias):
    torch.manual_seed(0)
    layer = nn.Linear(48, 80, bias=bias)
    x = torch.randn(2, rows, 48)
    with torch.inference_mode():
        torch.testing.assert_close(PackedLinear(layer)(x), layer(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rows", [0, 1, 16, 333])
def test_a_packed_feed_forward_layer_computes_what_the_layer_does(rows):
    torch.manual_seed(0)
    layer = FeedForward(48, 80, 0.1).eval()
    packed, x = PackedFeedForward(layer), torch.randn(2, rows, 48)
    with torch.inference_mode():
        expected = layer(x)
        assert rows == 0 or (expected != layer.contract.bias).any()  # the ReLU lets something by
        for found in (
            packed(x),
            packed.forward_chunk(x, {}, True),
            packed.forward_varlen(x, [rows]),
        ):
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_rows_of_another_type_come_back_in_it(dtype):
    layer, x = nn.Linear(48, 80), torch.randn(3, 48).to(dtype)
    with torch.inference_mode():
        found = PackedLinear(layer)(x)
        assert found.dtype == dtype
        torch.testing.assert_close(found.float(), layer(x.float()), rtol=0.02, atol=0.02)
