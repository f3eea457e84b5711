"""Attention on blocks against the equation, pair by pair in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from speechattn.attention import blockwise
from speechattn.attention.blockwise import by_blocks
from speechattn.attention.masks import FullMask, WindowMask
from speechattn.attention.sparse_masks import GraphMask, ImageMask

KEYS, HEADS, D = 12, 2, 3
MASKS = [
    FullMask(),
    WindowMask(3, 1),
    GraphMask([(0, 1), (0, 5), (7, 7), (11, 0)], KEYS),
    ImageMask(3, 4),
]


def tensors(batch=1, queries=KEYS):
    draw = np.random.default_rng(0)
    shapes = (batch, queries, HEADS, D), (batch, KEYS, HEADS, D), (batch, KEYS, HEADS, 5)
    return [torch.from_numpy(draw.standard_normal(shape)) for shape in shapes]


def equation(q, k, v, allowed, weights, score_vector=None, bias=None):
    """One sequence in NumPy; ``allowed``: (queries, keys); ``bias``: (heads, queries, keys)."""
    q, k, v = (x.numpy() for x in (q, k, v))
    out = np.zeros((len(q), HEADS, v.shape[-1]))
    for i, h in np.ndindex(len(q), HEADS):
        keys = [j for j in range(len(k)) if allowed[i, j]]
        if not keys:
            continue
        if score_vector is None:
            scores = k[keys, h] @ q[i, h] / np.sqrt(D)
        else:
            scores = np.tanh(k[keys, h] + q[i, h]) @ score_vector[h].numpy()
        if bias is not None:
            scores = scores + bias[h, i, keys]
        if weights == "softmax":
            weight = np.exp(scores - scores.max())
            weight /= weight.sum()
        else:
            weight = np.maximum(scores, 0) / len(keys)
        out[i, h] = weight @ v[keys, h]
    return torch.from_numpy(out)


@pytest.mark.parametrize("mask", MASKS, ids=repr)
@pytest.mark.parametrize("weights", ["softmax", "relu"])
@pytest.mark.parametrize("additive", [False, True])
@pytest.mark.parametrize("elements", [1 << 24, 50])
def test_every_mask_and_kind(mask, weights, additive, elements, monkeypatch):
    monkeypatch.setattr(blockwise, "MAX_ELEMENTS", elements)  # in one piece, in many
    q, k, v = tensors(batch=2)
    score_vector = torch.randn(HEADS, D, dtype=torch.float64) if additive else None
    found = by_blocks(q, k, v, mask, weights, score_vector)
    allowed = mask.matrix(KEYS).numpy()
    for one, *parts in zip(found, q, k, v):
        expected = equation(*parts, allowed, weights, score_vector)
        torch.testing.assert_close(one, expected, rtol=0, atol=1e-12)


def test_a_bias_by_distance_with_an_offset():
    q, k, v = tensors(queries=5)
    table = torch.randn(HEADS, 2 * KEYS, dtype=torch.float64)
    found = by_blocks(
        q, k, v, WindowMask(4, 2), bias=lambda distance: table[:, distance[..., 0] + KEYS], offset=6
    )
    distance = np.arange(KEYS) - np.arange(6, 11)[:, None]
    allowed = (distance >= -4) & (distance <= 2)
    bias = table.numpy()[:, distance + KEYS]
    expected = equation(q[0], k[0], v[0], allowed, "softmax", bias=bias)
    torch.testing.assert_close(found[0], expected, rtol=0, atol=1e-12)


def test_lengths():
    q, k, v = tensors(batch=3)
    lengths = torch.tensor([KEYS, 5, 0])
    found = by_blocks(q, k, v, WindowMask(3, 1), lengths=lengths)
    for one, length, *parts in zip(found, lengths.tolist(), q, k, v):
        valid = np.arange(KEYS) < length
        allowed = WindowMask(3, 1).matrix(KEYS).numpy() & valid & valid[:, None]
        expected = equation(*parts, allowed, "softmax")
        torch.testing.assert_close(one, expected, rtol=0, atol=1e-12)
