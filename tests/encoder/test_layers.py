"""The layers against loops over frames, and streamed against whole."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from speechattn.attention.masks import WindowMask, ready_frames, valid_frames
from speechattn.attention.multihead import MultiHeadAttention
from speechattn.encoder.layers import (
    Convolution,
    FeedForward,
    Residual,
    SequenceDropout,
    Subsampling,
)

WIDTH = 8
CHUNKS = st.lists(st.integers(0, 30), min_size=1, max_size=6)


def frames(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def layer(kind: str) -> torch.nn.Module:
    torch.manual_seed(0)
    attention = MultiHeadAttention(WIDTH, 2, positions="rotary", mask=WindowMask(5, 3))
    made = {
        "attention": lambda: attention,
        "convolution": lambda: Convolution(WIDTH, 2, 2),
        "causal convolution": lambda: Convolution(WIDTH, 4, 0),
        "convolution of the future": lambda: Convolution(WIDTH, 1, 3),
        "convolution of one frame": lambda: Convolution(WIDTH, 0, 0),
        "subsampling": lambda: Subsampling(WIDTH // 2, WIDTH, 2),
        "feed-forward": lambda: FeedForward(WIDTH, 12, 0.3),
        "residual": lambda: Residual(WIDTH, attention, 0.3),
    }[kind]()
    return made.double().eval()


# How far ahead each of them looks.
RIGHT = {
    "attention": 3,
    "convolution": 2,
    "causal convolution": 0,
    "convolution of the future": 3,
    "convolution of one frame": 0,
    "subsampling": 1,
    "feed-forward": 0,
    "residual": 3,
}
KINDS = list(RIGHT)


def streamed(module: torch.nn.Module, x: torch.Tensor, chunks: list[int]) -> torch.Tensor:
    state: dict = {}
    pieces = x.split(chunks, 1)
    outputs = [module.forward_chunk(p, state, i == len(pieces) - 1) for i, p in enumerate(pieces)]
    return torch.cat(outputs, 1)


# --- whole and streamed ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@given(chunks=CHUNKS)
@settings(max_examples=15)
def test_a_stream_gives_the_outputs_of_the_whole(kind, chunks):
    module, x = layer(kind), frames(1, sum(chunks), WIDTH)
    if x.shape[1] == 0:
        assert streamed(module, x, chunks).shape == x.shape
        return
    torch.testing.assert_close(streamed(module, x, chunks), module(x, None), rtol=0, atol=1e-10)


@pytest.mark.parametrize("kind, right", RIGHT.items())
def test_outputs_come_as_soon_as_their_future_is_there(kind, right):
    module, state, returned = layer(kind), {}, 0
    for received in range(1, 20):
        returned += module.forward_chunk(frames(1, 1, WIDTH), state, False).shape[1]
        assert returned == max(0, received - right)


@pytest.mark.parametrize("kind", KINDS)
def test_sequences_of_a_batch_are_as_if_alone(kind):
    module, lengths = layer(kind), [30, 1, 17]
    x = frames(3, 33, WIDTH)
    together = module(x, torch.tensor(lengths))
    for row, length in enumerate(lengths):
        alone = module(x[row : row + 1, :length], None)[0]
        torch.testing.assert_close(together[row, :length], alone, rtol=0, atol=1e-10)


# --- convolution, feed-forward, dropout -----------------------------------------------------------


@pytest.mark.parametrize("waiting, right, ready", [(0, 0, 0), (5, 2, 3), (2, 2, 0), (1, 4, 0)])
def test_ready_frames(waiting, right, ready):
    assert ready_frames(waiting, right) == ready
    assert ready_frames(waiting, None) == 0


@pytest.mark.parametrize("left, right", [(2, 2), (4, 0), (0, 3), (1, 2)])
def test_convolution_from_its_matrices(left, right):
    torch.manual_seed(0)
    module, x = Convolution(WIDTH, left, right).double(), frames(1, 9, WIDTH)
    kernel, bias = module.depthwise.weight[:, 0], module.depthwise.bias
    expected = []
    for t in range(9):
        total = bias.clone()
        for i, distance in enumerate(range(-left, right + 1)):
            if 0 <= t + distance < 9:
                total += kernel[:, i] * x[0, t + distance]
        expected.append(module.mix(total * torch.sigmoid(total)))
    torch.testing.assert_close(module(x, None)[0], torch.stack(expected), rtol=0, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_under_autocast(kind):
    module, x = layer(kind).float(), frames(2, 40, WIDTH).float().requires_grad_()
    lengths = torch.tensor([40, 23])
    expected = module(x, lengths)
    (wanted,) = torch.autograd.grad(expected.square().sum(), x)
    with torch.autocast("cpu", torch.bfloat16):
        out = module(x, lengths)
    (gradient,) = torch.autograd.grad(out.float().square().sum(), x)
    assert gradient.dtype == torch.float32
    # bf16 has 8 bits: each of a few roundings is off by up to 0.4 %.
    torch.testing.assert_close(out.float(), expected, rtol=0.02, atol=0.02)
    torch.testing.assert_close(gradient, wanted, rtol=0.05, atol=0.05 * wanted.abs().max().item())


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


@pytest.mark.parametrize("stack", [1, 2, 3])
def test_subsampling_is_two_convolutions_over_time(stack):
    torch.manual_seed(1)
    module, count = Subsampling(5, 7, stack).double(), 6
    torch.nn.init.normal_(module.offset)
    x = frames(2, count, 5 * stack)
    padded = F.pad(x.reshape(2, count * stack, 5), (0, 0, stack, stack)).transpose(1, 2)
    first = module.first.weight.view(7, 3, 5).transpose(1, 2)
    second = module.second.weight.view(7, 2 * stack - 1, 7).transpose(1, 2)
    h = F.conv1d(padded, first, module.first.bias).relu()
    expected = F.conv1d(h, second, module.second.bias, stride=stack).relu()[:, :, :count]
    torch.testing.assert_close(module(x, None), expected.transpose(1, 2) + module.offset)
