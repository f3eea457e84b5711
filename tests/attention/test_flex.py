"""FlexAttention's lists of tiles, and its result without compilation, on a CPU."""

from __future__ import annotations

import types

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.references.attention import brute_force, tensors
from torch.nn.attention.flex_attention import flex_attention

from speechattn.attention import flex
from speechattn.attention.flex import TILE, block_mask, is_offered, tiles
from speechattn.attention.functional import truncated_attention
from speechattn.attention.kernels import autograd

WINDOW = st.one_of(st.integers(0, 8), st.integers(0, 400))


def all_pairs(queries, keys, left, right, offset, lengths):
    """Whether query i sees key j, shape (batch, queries, keys)."""
    distance = torch.arange(keys) - torch.arange(queries)[:, None] - offset
    seen = ((distance >= -left) & (distance <= right))[None]
    if lengths is None:
        return seen
    there = torch.arange(keys) < lengths[:, None, None]
    return seen & (there | (distance == 0))


@given(
    queries=st.integers(1, 700),
    left=WINDOW,
    right=WINDOW,
    offset=st.integers(0, 300),
    after=st.integers(0, 300),
    lengths=st.none() | st.lists(st.integers(0, 700), min_size=1, max_size=3),
)
@example(queries=256, left=128, right=127, offset=0, after=0, lengths=None)
@example(queries=700, left=400, right=400, offset=0, after=0, lengths=[700, 0, 640])
@settings(max_examples=60)
def test_tiles_are_those_in_which_something_is_seen(queries, left, right, offset, after, lengths):
    if lengths is not None:
        lengths, offset, after = torch.tensor(lengths).clamp(max=queries), 0, 0
    keys = offset + queries + after
    window = queries, keys, left, right, offset, lengths
    partial, whole = tiles(*window)
    seen = all_pairs(*window)
    rows, columns = -(-queries // TILE), -(-keys // TILE)
    for batch in range(len(seen)):
        kind = torch.zeros(rows, columns, dtype=torch.long)
        for value, (counts, numbers) in enumerate((partial, whole), 1):
            assert numbers.shape == (len(seen), 1, rows, columns) and numbers.dtype == torch.int32
            for row in range(rows):
                kind[row, numbers[batch, 0, row, : counts[batch, 0, row]].long()] += value
        assert int(kind.max()) <= 2
        for row in range(rows):
            for column in range(columns):
                tile = seen[batch, row * TILE :, column * TILE :][:TILE, :TILE]
                assert bool(kind[row, column]) == bool(tile.any())
                if kind[row, column] == 2:
                    assert bool(tile.all()) and tile.shape[1] == TILE


@pytest.mark.parametrize("lengths", [None, [300, 0, 131]])
def test_the_mask_is_the_window(lengths):
    lengths = None if lengths is None else torch.tensor(lengths)
    mask = block_mask(300, 300, 40, 7, 0, lengths)
    batch = torch.arange(1 if lengths is None else 3)[:, None, None]
    query, key = torch.arange(300)[:, None], torch.arange(300)
    seen = mask.mask_mod(batch, 0, query, key)
    expected = all_pairs(300, 300, 40, 7, 0, lengths)
    assert torch.equal(seen.expand_as(expected), expected)
    assert mask.q_indices is not None
    assert block_mask(300, 300, 40, 7, gradients=False).q_indices is None


def as_on_a_gpu(monkeypatch):
    monkeypatch.setattr(flex, "is_offered", lambda q: True)
    monkeypatch.setattr(flex, "_flex_attention", lambda: flex_attention)  # not compiled
    monkeypatch.setattr(autograd, "is_offered", lambda *tensors: False)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("window", [(0, 0), (5, 3), (130, 0), (None, 40), (None, None)])
def test_what_a_gpu_would_compute(window, monkeypatch):
    as_on_a_gpu(monkeypatch)
    for queries, keys, offset in ((1, 1, 0), (129, 129, 0), (140, 300, 60)):
        q, k, v = tensors(1, queries, keys, d=16)
        out = truncated_attention(q, k, v, *window, offset=offset)
        expected = brute_force(q, k, v, *window, offset=offset)
        torch.testing.assert_close(out.double(), expected, rtol=0, atol=1e-5)
    q, k, v = tensors(3, 150, d=16)
    lengths = torch.tensor([150, 0, 137])
    q[2, 137:] = k[2, 137:] = v[2, 137:] = torch.nan
    out = truncated_attention(q, k, v, *window, lengths=lengths)
    expected = brute_force(*(x.nan_to_num() for x in (q, k, v)), *window, lengths=lengths)
    torch.testing.assert_close(out.double(), expected, rtol=0, atol=1e-5)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("lengths", [None, [140, 60]])
def test_a_bias_as_on_a_gpu(lengths, monkeypatch):
    as_on_a_gpu(monkeypatch)
    options = {"bias": torch.randn(2, 18, generator=torch.Generator().manual_seed(0))}
    if lengths is not None:
        options["lengths"] = torch.tensor(lengths)
    q, k, v = tensors(1 if lengths is None else 2, 140, d=16)
    out = truncated_attention(q, k, v, 12, 5, **options)
    expected = brute_force(q, k, v, 12, 5, **options)
    torch.testing.assert_close(out.double(), expected, rtol=0, atol=1e-5)


def test_who_goes_there(monkeypatch):
    assert not is_offered(torch.zeros(1, 8, 2, 64))  # a CPU never
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))

    def on_gpu(dtype=torch.bfloat16, d=64):
        return types.SimpleNamespace(device=torch.device("cuda"), dtype=dtype, shape=(1, 8, 2, d))

    assert is_offered(on_gpu()) and is_offered(on_gpu(torch.float32))
    assert not is_offered(on_gpu(torch.float64)) and not is_offered(on_gpu(d=8))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    assert not is_offered(on_gpu())
