"""Pooling of vectors over time."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from speechattn.heads.attention_decoder import AttentionPooling, MeanPooling

pytestmark = pytest.mark.studies


def attention(width: int = 8, heads: int = 2, seed: int = 0) -> AttentionPooling:
    torch.manual_seed(seed)
    pooling = AttentionPooling(width, heads)
    torch.nn.init.normal_(pooling.query)
    return pooling


def test_every_head_weighs_its_part_by_its_query():
    pooling, x = attention(), torch.randn(3, 5, 8)
    query, expected = pooling.query.detach().numpy(), np.zeros((3, 8))
    for b in range(3):
        for h in range(2):
            part = x[b, :, 4 * h : 4 * h + 4].numpy()
            scores = np.exp(part @ query[h] / math.sqrt(4))
            expected[b, 4 * h : 4 * h + 4] = (scores / scores.sum()) @ part
    np.testing.assert_allclose(pooling(x).detach(), expected, atol=1e-5)


def test_queries_of_zero_give_the_mean():
    x = torch.randn(2, 7, 8)
    torch.testing.assert_close(AttentionPooling(8, 4)(x), MeanPooling()(x))


@pytest.mark.parametrize("pooling", [attention(), MeanPooling()], ids=["attention", "mean"])
@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=4), seed=st.integers(0, 10**6))
def test_padding_leaves_no_trace_whatever_it_holds(pooling, lengths, seed):
    generator = torch.Generator().manual_seed(seed)
    parts = [torch.randn(n, 8, generator=generator) for n in lengths]
    x = torch.full((len(lengths), max(lengths) + 2, 8), torch.nan)
    for row, part in zip(x, parts):
        row[: len(part)] = part
    together = pooling(x, torch.tensor(lengths))
    for row, part in zip(together, parts):
        torch.testing.assert_close(row, pooling(part[None])[0])


@pytest.mark.parametrize("pooling", [attention(), MeanPooling()], ids=["attention", "mean"])
def test_a_sequence_without_vectors_is_refused(pooling):
    with pytest.raises(ValueError, match="without vectors"):
        pooling(torch.zeros(1, 0, 8))
    with pytest.raises(ValueError, match="without vectors"):
        pooling(torch.zeros(2, 3, 8), torch.tensor([3, 0]))


def test_heads_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="heads: 3"):
        AttentionPooling(8, 3)
