"""Attention in 8 bits: against NumPy with the same roundings, and the same bits in every way."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from speechattn.attention.kernels import byte_attention, byte_heads, byte_layers, threads
from speechattn.attention.kernels.byte_attention import BLOCK, ByteAttention
from speechattn.attention.kernels.byte_heads import HALF, MOST, PARTS, byte_row
from speechattn.attention.kernels.byte_layers import HEADS, Product, RowLayer
from speechattn.attention.kernels.byte_matrix import BytePanels
from speechattn.attention.kernels.byte_tiles import MOST_WEIGHT, VNNI
from speechattn.attention.kernels.llvm import LANES
from speechattn.attention.kernels.threads import Fixed
from speechattn.attention.kernels.window_rows import RowAttention

pytestmark = pytest.mark.skipif(not VNNI, reason="no products of bytes of 8 bits here")
DIM = 4 * LANES
SIDES = st.integers(0, 9) | st.sampled_from([31, 64, 200])
ROWS = st.integers(1, 40) | st.sampled_from([BLOCK * 3 + 1, 150])
ONE = 1 << 15


@pytest.fixture(params=["without AMX", "AMX"])
def way(request, monkeypatch):
    """Compute in one way; both give what the same tests want."""
    with_amx = request.param == "AMX"
    if with_amx and not byte_layers.uses_amx():
        pytest.skip("no AMX here")
    for module in (byte_attention, byte_layers):
        monkeypatch.setattr(module, "uses_amx", lambda: with_amx)


each_way = pytest.mark.usefixtures("way")
many = settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def numbers(*shape, seed=0, scale=1.0):
    return (scale * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


class Heads:
    """Queries, keys and values rounded as byte rows have them: whole numbers, and their steps."""

    def __init__(self, x, heads):
        rows, width = len(x), x.shape[1] // PARTS
        parts = x.reshape(rows, PARTS, heads, width // heads)
        most = np.maximum(np.abs(parts).max(3, keepdims=True), np.float32(1e-30))
        self.whole = np.rint(parts * (np.float32(MOST) / most))
        self.step = (most * np.float32(1 / MOST))[..., 0]
        self.width, self.heads = width, heads

    def byte_rows(self):
        rows = len(self.whole)
        out = np.zeros((rows, byte_row(self.width, self.heads)), np.uint8)
        whole = self.whole.astype(int)
        whole[:, 0] += HALF
        out[:, : PARTS * self.width] = whole.reshape(rows, -1).astype(np.uint8)
        steps = np.ascontiguousarray(self.step.astype(np.float32)).reshape(rows, -1)
        end = PARTS * self.width + 4 * steps.shape[1]
        out[:, PARTS * self.width : end] = steps.view(np.uint8)
        return out

    def attention(self, left, right, bias):
        """One big masked matrix in float64, whose weights are rounded as shares of the highest."""
        (q, k, v), (q_step, k_step, v_step) = (
            each.transpose(1, 2, 0, *range(3, each.ndim)) for each in (self.whole, self.step)
        )
        distance = np.arange(len(self.whole))[None] - np.arange(len(self.whole))[:, None]
        scores = q @ k.transpose(0, 2, 1) * q_step[:, :, None] * k_step[:, None]
        scores = scores / np.sqrt(q.shape[2])
        if bias is not None:
            scores += bias[:, (distance + left).clip(0, left + right)]
        seen = (distance >= -left) & (distance <= right)
        scores = np.where(seen, scores, -np.inf)
        power = np.exp(scores - scores.max(2, keepdims=True))
        weight = power * v_step[:, None]
        most = weight.max(2, keepdims=True)
        total = np.rint(ONE * power).sum(2, keepdims=True) / ONE
        found = np.rint(255 * weight / most) @ v * most / 255 / total
        return found.transpose(1, 0, 2).reshape(len(self.whole), -1)


def whole(*sizes):
    """Sequences that lie one after the other, the queries of each at its keys."""
    size = np.array(sizes, np.int64)
    first = size.cumsum() - size
    return np.stack([first, size, first, size], 1)


@each_way
@many
@given(rows=ROWS, heads=st.integers(1, 3), left=SIDES, right=SIDES, biased=st.booleans())
def test_a_whole_recording(rows, heads, left, right, biased):
    rounded = Heads(numbers(rows, PARTS * heads * DIM), heads)
    bias = numbers(heads, left + 1 + right, seed=1) if biased else None
    attention = ByteAttention(heads, heads * DIM, left, right, bias)
    byte_rows = rounded.byte_rows()
    found = attention(byte_rows, byte_rows, 0, whole(rows))
    assert found.dtype == np.float32 and found.shape == (rows, heads * DIM)
    # A weight in the middle between two whole numbers may go to either.
    wanted = rounded.attention(left, right, bias)
    np.testing.assert_allclose(found, wanted, atol=0.02)
    assert np.abs(found - wanted).mean() < 1e-4


@each_way
@pytest.mark.parametrize("scale", [0.01, 1.0, 30.0])
def test_it_is_near_attention_in_floats(scale):
    heads, rows, left, right = 2, 200, 40, 30
    x = numbers(rows, PARTS * heads * DIM, scale=scale)
    width = heads * DIM
    bias = numbers(heads, left + 1 + right, seed=1)
    byte_rows = Heads(x, heads).byte_rows()
    found = ByteAttention(heads, width, left, right, bias)(byte_rows, byte_rows, 0, whole(rows))
    q, k, v = x[:, :width], x[:, width : 2 * width], x[:, 2 * width :]
    wanted = RowAttention(heads, width, left, right, bias)(q, k, v, 0, whole(rows))
    # With large scores one key has all the weight, and errors of a score may change which one.
    if scale < 30:
        assert np.sqrt(np.square(found - wanted).mean()) < 0.03 * wanted.std()


@each_way
@many
@given(
    sizes=st.lists(st.integers(1, 50), min_size=1, max_size=4), left=SIDES, right=SIDES,
    data=st.data(),
)  # fmt: skip
def test_rows_beside_it_do_not_matter(sizes, left, right, data):
    byte_rows = Heads(numbers(sum(sizes), PARTS * 2 * DIM), 2).byte_rows()
    attention = ByteAttention(2, 2 * DIM, left, right, numbers(2, left + 1 + right, seed=1))
    together = attention(byte_rows, byte_rows, 0, whole(*sizes))
    number = data.draw(st.integers(0, len(sizes) - 1))
    begin, size = sum(sizes[:number]), sizes[number]
    alone = byte_rows[begin : begin + size]
    expected = attention(alone, alone, 0, whole(size))
    np.testing.assert_array_equal(together[begin : begin + size], expected)
    # Some of its queries, with only those keys that they see.
    first = data.draw(st.integers(0, size - 1))
    count = data.draw(st.integers(1, size - first))
    low, high = max(0, first - left), min(size, first + count + right)
    found = attention(
        alone[first : first + count], alone[low:high], first - low,
        np.array([[0, count, 0, high - low]], np.int64),
    )  # fmt: skip
    np.testing.assert_array_equal(found, expected[first : first + count])


@pytest.mark.skipif(not byte_layers.uses_amx(), reason="no AMX here")
@pytest.mark.parametrize("rows", [1, 15, 16, 31, 32, 33, 300])
def test_with_amx_or_without_the_bits_are_the_same(rows):
    byte_rows = Heads(numbers(rows, PARTS * 2 * DIM), 2).byte_rows()
    attention = ByteAttention(2, 2 * DIM, 50, 7)
    job = byte_rows, byte_rows, 0, whole(rows)
    np.testing.assert_array_equal(attention._computed(*job, True), attention._computed(*job, False))


@each_way
def test_heads_of_zeros_and_of_very_different_sizes():
    x = numbers(40, PARTS * 2 * DIM)
    x[:20] = 0
    x[20:, : 2 * DIM] *= 1e4
    x[30] *= 1e-6
    byte_rows = Heads(x, 2).byte_rows()
    found = ByteAttention(2, 2 * DIM, 9, 9)(byte_rows, byte_rows, 0, whole(40))
    assert np.isfinite(found).all() and not found[:11].any()


@each_way
def test_threads_share_the_blocks(monkeypatch):
    byte_rows = Heads(numbers(150, PARTS * DIM), 1).byte_rows()
    attention = ByteAttention(1, DIM, 20, 20)
    alone = attention(byte_rows, byte_rows, 0, whole(100, 50))
    monkeypatch.setattr(threads, "WORTHWHILE", 1)
    monkeypatch.setattr(threads, "num_threads", lambda: 3)
    np.testing.assert_array_equal(attention(byte_rows, byte_rows, 0, whole(100, 50)), alone)


def test_a_copy_attends_alike():
    byte_rows = Heads(numbers(30, PARTS * DIM), 1).byte_rows()
    attention = ByteAttention(1, DIM, 20, 20, numbers(1, 41))
    expected = attention(byte_rows, byte_rows, 0, whole(30))
    copied = copy.deepcopy(attention)
    del attention
    np.testing.assert_array_equal(copied(byte_rows, byte_rows, 0, whole(30)), expected)


@pytest.mark.parametrize(
    "dim, window, suits",
    [
        (DIM, (96, 96), True),
        (2 * DIM, (0, 0), True),
        (DIM // 2, (96, 96), False),
        (DIM, (None, 0), False),
        (DIM, (96, None), False),
        (DIM, (byte_attention.MOST_KEYS, 0), False),
    ],
)
def test_what_suits(dim, window, suits):
    assert byte_attention.suits(dim, window) == suits


@each_way
@pytest.mark.parametrize("rows", [1, 20, byte_layers.STRIP + 5])
def test_a_layer_gives_byte_rows(rows):
    heads, inputs = 3, 2 * LANES
    outputs = PARTS * heads * DIM
    random = np.random.default_rng(0)
    weights = random.integers(-MOST_WEIGHT, MOST_WEIGHT + 1, (outputs, inputs)).astype(np.int8)
    panels = BytePanels.of(weights, np.full(outputs, 0.01, np.float32))
    per_step = Fixed(np.full(inputs, 40, np.float32))
    x, bias = numbers(rows, inputs), numbers(outputs, seed=2)
    plain = RowLayer(None, per_step, Product(panels.layer(HALF, bias), HALF))
    in_bytes = RowLayer(None, per_step, Product(panels.layer(HALF, bias), HALF, HEADS, None, heads))
    used = PARTS * heads * (DIM + 4)  # what is behind does not matter
    found, wanted = in_bytes(x), Heads(plain(x), heads).byte_rows()
    np.testing.assert_array_equal(found[:, :used], wanted[:, :used])


def test_byte_rows_have_room_for_the_steps_and_begin_where_caches_do():
    assert byte_row(512, 8) == 3 * 512 + 3 * 4 * 8 + 32
    assert byte_heads.byte_row(64, 1) % 64 == 0
