"""Attention for rows of NumPy arrays against one big masked matrix in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.references.attention import brute_force

from speechattn.attention.functional import truncated_attention
from speechattn.attention.kernels import threads
from speechattn.attention.kernels.llvm import LANES
from speechattn.attention.kernels.window_rows import RowAttention

HEADS = st.sampled_from([1, 2, 3])
DIMS = st.sampled_from([LANES, 2 * LANES, 4 * LANES])
SIDES = st.integers(0, 9) | st.sampled_from([31, 64, 200])


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def parts(rows, width, seed=0):
    """Queries, keys and values side by side, as products give them."""
    together = numbers(rows, 3 * width, seed=seed)
    return together[:, :width], together[:, width : 2 * width], together[:, 2 * width :]


def expected(q, k, v, heads, left, right, offset=0, bias=None):
    if not len(q):
        return np.empty(q.shape)
    q, k, v = (torch.from_numpy(each.reshape(1, len(each), heads, -1)) for each in (q, k, v))
    bias = None if bias is None else torch.from_numpy(bias)
    found = brute_force(q, k, v, left, right, offset, bias=bias)
    return found.flatten(2)[0].numpy()


def whole(*sizes):
    """Sequences that lie one after the other, the queries of each at its keys."""
    size = np.array(sizes, np.int64)
    first = size.cumsum() - size
    return np.stack([first, size, first, size], 1)


@settings(max_examples=40)
@given(
    rows=st.integers(1, 60), heads=HEADS, dim=DIMS, left=SIDES, right=SIDES, biased=st.booleans()
)
def test_a_whole_recording(rows, heads, dim, left, right, biased):
    q, k, v = parts(rows, heads * dim)
    bias = numbers(heads, left + 1 + right, seed=1) if biased else None
    attention = RowAttention(heads, heads * dim, left, right, bias)
    found = attention(q, k, v, 0, whole(rows))
    assert found.dtype == np.float32 and found.shape == q.shape and found.flags.c_contiguous
    wanted = expected(q, k, v, heads, left, right, bias=bias)
    np.testing.assert_allclose(found, wanted, atol=2e-5)


@settings(max_examples=40)
@given(
    sizes=st.lists(st.integers(0, 20), min_size=1, max_size=5),
    left=SIDES,
    right=SIDES,
    biased=st.booleans(),
)
def test_recordings_one_after_the_other_do_not_see_each_other(sizes, left, right, biased):
    heads, width = 2, 2 * LANES
    q, k, v = parts(sum(sizes), width)
    bias = numbers(heads, left + 1 + right, seed=1) if biased else None
    attention = RowAttention(heads, width, left, right, bias)
    found = attention(q, k, v, 0, whole(*sizes))
    for first, count, *_ in whole(*sizes).tolist():
        mine = [each[first : first + count] for each in (q, k, v)]
        one = found[first : first + count]
        np.testing.assert_allclose(one, expected(*mine, heads, left, right, bias=bias), atol=2e-5)
        np.testing.assert_array_equal(one, attention(*mine, 0, whole(count)))


@settings(max_examples=40)
@given(
    rows=st.integers(1, 90),
    left=SIDES,
    right=st.integers(0, 9),
    cuts=st.lists(st.integers(0, 90), max_size=5),
    biased=st.booleans(),
)
def test_rows_are_the_same_in_a_stream(rows, left, right, cuts, biased):
    heads, width = 2, 2 * LANES
    q, k, v = parts(rows, width)
    bias = numbers(heads, left + 1 + right, seed=1) if biased else None
    attention = RowAttention(heads, width, left, right, bias)
    together, ends = attention(q, k, v, 0, whole(rows)), [0, *sorted(cuts), rows]
    for begin, end in zip(ends, ends[1:]):
        end = min(end, rows)
        begin = min(begin, end)
        first, last = max(0, begin - left), min(rows, end + right)
        sequences = np.array([[0, end - begin, 0, last - first]], np.int64)
        mine = q[begin:end], k[first:last], v[first:last]
        found = attention(*mine, begin - first, sequences)
        np.testing.assert_array_equal(found, together[begin:end])
        wanted = expected(*mine, heads, left, right, begin - first, bias)
        np.testing.assert_allclose(found, wanted, atol=2e-5)


@given(rows=st.integers(1, 60), left=SIDES, right=SIDES)
def test_it_is_the_attention_of_tensors(rows, left, right):
    heads, width = 2, 4 * LANES
    q, k, v = parts(rows, width)
    bias = numbers(heads, left + 1 + right, seed=1)
    tensors = (torch.from_numpy(each.reshape(1, rows, heads, -1).copy()) for each in (q, k, v))
    with torch.inference_mode():
        wanted = truncated_attention(*tensors, left, right, bias=torch.from_numpy(bias))
    found = RowAttention(heads, width, left, right, bias)(q, k, v, 0, whole(rows))
    np.testing.assert_allclose(found, wanted.flatten(2)[0].numpy(), atol=1e-5)


@given(rows=st.integers(1, 60), wide=st.integers(60, 300), more=st.integers(1, 300))
def test_a_wider_window_than_there_are_keys_changes_nothing(rows, wide, more):
    heads, width = 2, 2 * LANES
    q, k, v = parts(rows, width)
    some, all_of_them = (
        RowAttention(heads, width, side, side)(q, k, v, 0, whole(rows))
        for side in (wide, wide + more)
    )
    np.testing.assert_array_equal(some, all_of_them)


def test_a_window_of_the_row_alone_gives_its_value():
    q, k, v = parts(7, 2 * LANES)
    found = RowAttention(2, 2 * LANES, 0, 0)(q, k, v, 0, whole(7))
    np.testing.assert_allclose(found, v, rtol=1e-6)


def test_large_scores_do_not_overflow():
    q, k, v = (100 * each for each in parts(40, 2 * LANES))
    found = RowAttention(2, 2 * LANES, 8, 8)(q, k, v, 0, whole(40))
    wanted = expected(q, k, v, 2, 8, 8)
    np.testing.assert_allclose(found, wanted, atol=1e-3 * np.abs(wanted).max())


def test_nothing_at_all():
    q, k, v = parts(0, 2 * LANES)
    attention = RowAttention(2, 2 * LANES, 3, 3)
    assert attention(q, k, v, 0, whole(0)).shape == (0, 2 * LANES)
    assert attention(q, k, v, 0, whole(0, 0)).shape == (0, 2 * LANES)


@pytest.mark.parametrize("biased", [False, True])
def test_any_number_of_cores_gives_the_same_bits(monkeypatch, biased):
    q, k, v = parts(1000, 2 * LANES)
    bias = numbers(2, 13, seed=1) if biased else None
    attention = RowAttention(2, 2 * LANES, 8, 4, bias)
    alone = attention(q, k, v, 0, whole(300, 0, 1, 699))
    monkeypatch.setattr(threads, "WORTHWHILE", 1)
    for cores in (2, 3, 8):
        monkeypatch.setattr(threads, "num_threads", lambda cores=cores: cores)
        np.testing.assert_array_equal(attention(q, k, v, 0, whole(300, 0, 1, 699)), alone)
