"""Weights in a window: against dense attention, and against what the layer gives."""

from __future__ import annotations

import pytest
import torch

from speechattn.attention.functional import attend
from speechattn.attention.masks import WindowMask
from speechattn.attention.multihead import MultiHeadAttention
from speechattn.attention.weights import window_weights

WINDOWS = [(3, 2), (0, 0), (None, 1), (30, 30)]


def dense(weights: torch.Tensor, left: int) -> torch.Tensor:
    """Weights of shape (heads, positions, window) as a matrix of queries and keys."""
    heads, positions, columns = weights.shape
    matrix = torch.zeros(heads, positions, positions)
    for column in range(columns):
        for query in range(positions):
            key = query + column - left
            if 0 <= key < positions:
                matrix[:, query, key] = weights[:, query, column]
            else:
                assert not weights[:, query, column].any()
    return matrix


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("scores", ["dot", "additive"])
@pytest.mark.parametrize("kind", ["softmax", "relu"])
def test_weights_times_values_is_attention(window, scores, kind):
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 1, 17, 2, 8)
    vector = torch.randn(2, 8) if scores == "additive" else None
    bias = torch.randn(2, 35)

    def add(distance):
        return bias[:, distance[..., 0] + 17]

    mask = WindowMask(*window)
    options = {"weights": kind, "score_vector": vector, "bias": add}
    weights, left = window_weights(q[0], k[0], mask, **options)
    matrix = dense(weights, left)
    assert not matrix[:, ~mask.matrix(17)].any()
    product = torch.einsum("hqk,khd->qhd", matrix, v[0])
    expected = attend(q, k, v, mask, scores=scores, **options)[0]
    torch.testing.assert_close(product, expected, rtol=1e-4, atol=1e-5)


def test_the_weights_of_a_layer_are_those_it_uses():
    torch.manual_seed(0)
    layer = MultiHeadAttention(16, 2, positions="rotary", mask=WindowMask(4, 1)).eval()
    x = torch.randn(1, 12, 16)
    weights, left = layer.window_weights(x)
    v = layer.project(x).unflatten(-1, (6, 8))[0, :, 4:]
    out = torch.einsum("hqk,khd->qhd", dense(weights.detach(), left), v)
    torch.testing.assert_close(layer.join(out.flatten(1)), layer(x)[0], rtol=1e-4, atol=1e-5)


def test_windows_that_no_picture_can_show_are_refused():
    q = torch.zeros(3000, 1, 2)
    with pytest.raises(ValueError, match="narrower window"):
        window_weights(q, q, WindowMask(None, 0))
