"""Truncated attention straight from the equation, in float64, and what compares others with it."""

from __future__ import annotations

import math

import torch

from speechattn.attention.functional import truncated_attention


def tensors(batch, queries, keys=None, heads=2, d=4, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    keys = queries if keys is None else keys
    return tuple(
        torch.randn(batch, n, heads, d, generator=generator, dtype=torch.float64).to(dtype)
        for n in (queries, keys, keys)
    )


def brute_force(q, k, v, left, right, offset=0, lengths=None, bias=None):
    """Softmax over the keys of the window, one big masked matrix a head, in float64."""
    q, k, v = (x.double() for x in (q, k, v))
    batch, queries, _, d = q.shape
    distance = torch.arange(k.shape[1])[None] - torch.arange(queries)[:, None] - offset
    seen = torch.ones_like(distance, dtype=torch.bool)
    if left is not None:
        seen &= distance >= -left
    if right is not None:
        seen &= distance <= right
    seen = seen.expand(batch, *seen.shape)
    if lengths is not None:
        there = torch.arange(queries) < lengths[:, None]
        seen = seen & there[:, None, :] & there[:, :, None]
    scores = torch.einsum("bihd,bjhd->bhij", q, k) / math.sqrt(d)
    if bias is not None:
        scores = scores + bias.double()[:, (distance + left).clamp(0, left + right)]
    scores = scores.masked_fill(~seen[:, None], -1e300)
    weights = scores.softmax(-1) * seen.any(-1)[:, None, :, None]
    return torch.einsum("bhij,bjhd->bihd", weights, v)


def gradients(function, q, k, v, left, right, bias=None, **options):
    """Gradients of a weighted sum of the output: of q, k, v and, if there is one, of the bias."""
    leaves = [x.clone().requires_grad_() for x in (q, k, v, bias) if x is not None]
    if bias is not None:
        options["bias"] = leaves[3]
    out = function(*leaves[:3], left, right, **options)
    weights = torch.randn(q.shape, generator=torch.Generator().manual_seed(1)).to(q.dtype)
    return torch.autograd.grad(out, leaves, weights.to(out.dtype))


def check_gradients(
    q, k, v, left, right, atol=1e-10, rtol=0.0, function=truncated_attention, terms=1, **options
):
    """Gradients are those of the equation; ``rtol`` is relative to the largest of each tensor.

    That of a bias is a sum over all queries, ``terms`` of them, whose rounding errors add up as
    random steps do: it may be off by ``atol`` times the root of their number.
    """
    got = gradients(function, q, k, v, left, right, **options)
    wanted = gradients(brute_force, q, k, v, left, right, **options)
    for number, (mine, theirs) in enumerate(zip(got, wanted, strict=True)):
        limit = atol * (terms**0.5 if number == 3 else 1) + rtol * theirs.abs().max().item()
        rounding = 1e-6 if mine.dtype == torch.float32 else 0.0
        torch.testing.assert_close(mine.double(), theirs.double(), rtol=rounding, atol=limit)
