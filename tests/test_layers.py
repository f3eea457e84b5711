"""The layers against loops over frames, and streamed against whole."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from speechattn.layers import (
    Convolution,
    FeedForward,
    Residual,
    SelfAttention,
    SequenceDropout,
    ready_frames,
    rotate,
    valid_frames,
)

WIDTH = 8
CHUNKS = st.lists(st.integers(0, 30), min_size=1, max_size=6)


def frames(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def layer(kind: str, left: int | None = 5, right: int | None = 3) -> torch.nn.Module:
    torch.manual_seed(0)
    made = {
        "attention": lambda: SelfAttention(WIDTH, 2, left, right),
        "attention without positions": lambda: SelfAttention(WIDTH, 2, left, right, rotary=False),
        "convolution": lambda: Convolution(WIDTH, 5),
        "convolution of one frame": lambda: Convolution(WIDTH, 1),
        "feed-forward": lambda: FeedForward(WIDTH, 12, 0.3),
        "residual": lambda: Residual(WIDTH, SelfAttention(WIDTH, 2, left, right), 0.3),
    }[kind]()
    return made.double().eval()


KINDS = [
    "attention",
    "attention without positions",
    "convolution",
    "convolution of one frame",
    "feed-forward",
    "residual",
]


def streamed(module: torch.nn.Module, x: torch.Tensor, chunks: list[int]) -> torch.Tensor:
    state: dict = {}
    pieces = x.split(chunks, 1)
    outputs = [module.advance(p, state, i == len(pieces) - 1) for i, p in enumerate(pieces)]
    return torch.cat(outputs, 1)


# --- whole and streamed ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@given(chunks=CHUNKS)
@settings(max_examples=15, deadline=None)
def test_a_stream_gives_the_outputs_of_the_whole(kind, chunks):
    module, x = layer(kind), frames(1, sum(chunks), WIDTH)
    if x.shape[1] == 0:
        assert streamed(module, x, chunks).shape == x.shape
        return
    torch.testing.assert_close(streamed(module, x, chunks), module(x, None), rtol=0, atol=1e-10)


@pytest.mark.parametrize("left, right", [(None, 2), (4, None), (None, None), (0, 0), (0, 6)])
@given(chunks=CHUNKS)
@settings(max_examples=15, deadline=None)
def test_a_stream_of_attention_with_other_windows(left, right, chunks):
    chunks = [*chunks, 1]
    module, x = layer("attention", left, right), frames(1, sum(chunks), WIDTH)
    torch.testing.assert_close(streamed(module, x, chunks), module(x, None), rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    "kind, right", [("attention", 3), ("convolution", 2), ("feed-forward", 0), ("residual", 3)]
)
def test_outputs_come_as_soon_as_their_future_is_there(kind, right):
    module, state, returned = layer(kind), {}, 0
    for received in range(1, 20):
        returned += module.advance(frames(1, 1, WIDTH), state, False).shape[1]
        assert returned == max(0, received - right)


@pytest.mark.parametrize("kind", KINDS)
def test_sequences_of_a_batch_are_as_if_alone(kind):
    module, lengths = layer(kind), [30, 1, 17]
    x = frames(3, 33, WIDTH)
    together = module(x, torch.tensor(lengths))
    for row, length in enumerate(lengths):
        alone = module(x[row : row + 1, :length], None)[0]
        torch.testing.assert_close(together[row, :length], alone, rtol=0, atol=1e-10)


# --- attention ------------------------------------------------------------------------------------


def test_self_attention_from_its_matrices():
    module, x = layer("attention", 4, 2), frames(1, 20, WIDTH)
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
@settings(max_examples=50, deadline=None)
def test_scores_depend_on_distance_alone(i, j, shift, seed):
    module = layer("attention")
    q, k = frames(2, 1, 1, 1, WIDTH // 2, seed=seed)

    def at(x, position):
        angles = position * module._rates
        return rotate(x, angles.cos(), angles.sin()).flatten()

    score = at(q, i) @ at(k, j)
    torch.testing.assert_close(at(q, i + shift) @ at(k, j + shift), score, rtol=0, atol=1e-8)
    torch.testing.assert_close(at(q, i).norm(), q.norm())


def test_positions_hours_from_the_start_are_exact():
    # float32 angles at frame 1,000,000 (2.8 hours) would be wrong by up to 0.06 radians.
    torch.manual_seed(0)
    module, x = SelfAttention(WIDTH, 2, 5, 3), frames(1, 30, WIDTH).float()
    late: dict = {"received": 1_000_000}
    out = module.advance(x, late, True)
    torch.testing.assert_close(out, module(x, None), rtol=0, atol=1e-5)


def test_only_with_positions_does_the_order_of_the_window_matter():
    x = frames(1, 10, WIDTH)
    mixed = torch.cat([x[:, :1], x[:, 1:].flip(1)], 1)
    without = layer("attention without positions", None, None)
    torch.testing.assert_close(without(mixed, None)[:, 0], without(x, None)[:, 0])
    rotary = layer("attention", None, None)
    assert (rotary(mixed, None)[:, 0] - rotary(x, None)[:, 0]).abs().max() > 1e-4


@pytest.mark.parametrize("waiting, right, ready", [(0, 0, 0), (5, 2, 3), (2, 2, 0), (1, 4, 0)])
def test_ready_frames(waiting, right, ready):
    assert ready_frames(waiting, right) == ready
    assert ready_frames(waiting, None) == 0


# --- convolution, feed-forward, dropout -----------------------------------------------------------


def test_convolution_from_its_matrices():
    module, x = layer("convolution"), frames(1, 9, WIDTH)
    kernel, bias = module.depthwise.weight[:, 0], module.depthwise.bias
    expected = []
    for t in range(9):
        total = bias.clone()
        for i in range(5):
            if 0 <= t + i - 2 < 9:
                total += kernel[:, i] * x[0, t + i - 2]
        expected.append(module.mix(total * torch.sigmoid(total)))
    torch.testing.assert_close(module(x, None)[0], torch.stack(expected), rtol=0, atol=1e-10)


def test_feed_forward_from_its_matrices():
    module, x = layer("feed-forward"), frames(1, 4, WIDTH)
    inner = (x[0] @ module.expand.weight.T + module.expand.bias).clamp_min(0)
    expected = inner @ module.contract.weight.T + module.contract.bias
    torch.testing.assert_close(module(x)[0], expected)


def test_residual_adds_to_what_came_in():
    module, x = layer("residual"), frames(1, 12, WIDTH)
    normed = (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True, correction=0) + 1e-5).sqrt()
    torch.testing.assert_close(module(x, None), x + module.layer(normed, None))


def test_dropout_uses_one_mask_for_all_frames_of_a_sequence():
    torch.manual_seed(0)
    out = SequenceDropout(0.25).train()(torch.ones(3, 40, 2000))
    assert (out == out[:, :1]).all()
    assert not (out[0] == out[1]).all()
    torch.testing.assert_close(out.unique(), torch.tensor([0, 1 / 0.75]))
    # The expected value stays: 6,000 draws, so 0.03 is four standard deviations.
    assert abs(out.mean() - 1) < 0.03


def test_dropout_is_off_in_evaluation_and_at_zero():
    x = frames(2, 5, WIDTH)
    assert SequenceDropout(0.9).eval()(x) is x
    assert SequenceDropout(0.0).train()(x) is x
    for kind in ("feed-forward", "residual"):
        module = layer(kind)
        assert torch.equal(module(x, None), module(x, None))
        assert not torch.equal(module.train()(x, None), module(x, None))


def test_valid_frames():
    expected = [[True, True, False], [False, False, False], [True, True, True]]
    assert valid_frames(torch.tensor([2, 0, 3]), 3).tolist() == expected
