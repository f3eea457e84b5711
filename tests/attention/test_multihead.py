"""The attention layer of the encoder: rotary positions against complex numbers, and streams."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from speechattn.attention.masks import WindowMask
from speechattn.attention.multihead import MultiHeadAttention
from speechattn.attention.positions import _signed_rates, rotate, rotation

WIDTH = 8
CHUNKS = st.lists(st.integers(0, 30), min_size=1, max_size=6)


def frames(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def layer(left: int | None = 5, right: int | None = 3, **options) -> MultiHeadAttention:
    torch.manual_seed(0)
    options = {"positions": "rotary", **options}
    made = MultiHeadAttention(WIDTH, 2, mask=WindowMask(left, right), **options)
    return made.double().eval()


def streamed(module: torch.nn.Module, x: torch.Tensor, chunks: list[int]) -> torch.Tensor:
    state: dict = {}
    pieces = x.split(chunks, 1)
    outputs = [module.forward_chunk(p, state, i == len(pieces) - 1) for i, p in enumerate(pieces)]
    return torch.cat(outputs, 1)


@pytest.mark.parametrize("left, right", [(None, 2), (4, None), (None, None), (0, 0), (0, 6)])
@given(chunks=CHUNKS)
@settings(max_examples=15)
def test_a_stream_of_attention_with_other_windows(left, right, chunks):
    chunks = [*chunks, 1]
    module, x = layer(left, right), frames(1, sum(chunks), WIDTH)
    torch.testing.assert_close(streamed(module, x, chunks), module(x, None), rtol=0, atol=1e-10)


def test_self_attention_from_its_matrices():
    module, x = layer(4, 2), frames(1, 20, WIDTH)
    half = WIDTH // 2 // 2  # pairs in each of the two heads

    def turned(vector, position):
        """Each pair as a complex number, turned by its own rate."""
        angles = position * 10_000 ** (-torch.arange(half, dtype=torch.float64) / half)
        pairs = torch.complex(vector[:half], vector[half:])
        pairs = pairs * torch.polar(torch.ones_like(angles), angles)
        return torch.cat([pairs.real, pairs.imag])

    projected = F.linear(x[0], module.project.weight, module.project.bias)
    q, k, v = projected.view(20, 3, 2, WIDTH // 2).unbind(1)
    expected = torch.zeros(20, WIDTH, dtype=torch.float64)
    for head in range(2):
        for i in range(20):
            window = range(max(0, i - 4), min(20, i + 3))
            query = turned(q[i, head], i)
            scores = torch.stack([query @ turned(k[j, head], j) for j in window])
            weights = (scores / math.sqrt(WIDTH // 2)).softmax(0)
            place = slice(head * WIDTH // 2, (head + 1) * WIDTH // 2)
            expected[i, place] = weights @ v[window.start : window.stop, head]
    expected = module.join(expected)
    torch.testing.assert_close(module(x, None)[0], expected, rtol=0, atol=1e-10)


@given(
    i=st.integers(0, 400_000),
    j=st.integers(0, 400_000),
    shift=st.integers(0, 400_000),
    seed=st.integers(0, 99),
)
@settings(max_examples=50)
def test_scores_depend_on_distance_alone(i, j, shift, seed):
    q, k = frames(2, 1, 1, 1, WIDTH // 2, seed=seed)

    def at(x, position):
        return rotate(x, *rotation(torch.tensor([[position]]), WIDTH // 2)).flatten()

    score = at(q, i) @ at(k, j)
    torch.testing.assert_close(at(q, i + shift) @ at(k, j + shift), score, rtol=0, atol=1e-8)
    torch.testing.assert_close(at(q, i).norm(), q.norm())


def test_positions_hours_from_the_start_are_exact():
    # float32 angles at frame 1,000,000 (2.8 hours) would be wrong by up to 0.06 radians.
    module, x = layer().float(), frames(1, 30, WIDTH).float()
    late: dict = {"received": 1_000_000}
    out = module.forward_chunk(x, late, True)
    torch.testing.assert_close(out, module(x, None), rtol=0, atol=1e-5)


def test_only_with_positions_does_the_order_of_the_window_matter():
    x = frames(1, 10, WIDTH)
    mixed = torch.cat([x[:, :1], x[:, 1:].flip(1)], 1)
    without = layer(None, None, positions="none")
    torch.testing.assert_close(without(mixed, None)[:, 0], without(x, None)[:, 0])
    rotary = layer(None, None)
    assert (rotary(mixed, None)[:, 0] - rotary(x, None)[:, 0]).abs().max() > 1e-4


def test_training_after_a_stream_in_one_process():
    """What is kept between calls must not come from inference mode."""
    _signed_rates.cache_clear()
    module, x = layer(), frames(1, 9, WIDTH)
    with torch.inference_mode():
        module.forward_chunk(x, {}, True)
    module(x).square().sum().backward()
    assert module.project.weight.grad.abs().sum() > 0


def test_a_layer_that_is_told_so_trusts_its_input():
    x, lengths = frames(2, 6, WIDTH), torch.tensor([6, 4])
    trusting, checking = layer(known_finite=True), layer()
    torch.testing.assert_close(trusting(x, lengths), checking(x, lengths), rtol=0, atol=0)
    x[0, 0] = math.nan
    assert trusting(x, lengths)[0].isnan().any()
    with pytest.raises(ValueError, match=r"x: nan at \(0, 0, 0\)"):
        checking(x, lengths)


def test_the_old_name_of_a_mask_still_works():
    x = frames(1, 9, WIDTH)
    with pytest.warns(DeprecationWarning, match="visibility= is now mask="):
        torch.manual_seed(0)
        old = MultiHeadAttention(WIDTH, 2, visibility=[5, 3], positions="rotary").double()
    assert torch.equal(old(x), layer()(x))
    with pytest.warns(DeprecationWarning):
        found = old(x, visibility=[1, 1])
    assert torch.equal(found, old(x, mask=[1, 1]))
