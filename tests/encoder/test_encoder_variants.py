"""Every kind of attention in the encoder, against the equations in loops over frames."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from speechattn.attention.functional import SCORES, WEIGHTS
from speechattn.attention.positions import POSITIONS
from speechattn.encoder.config import EncoderConfig
from speechattn.encoder.encoder import InputTooLong, PhoneClassifier
from speechattn.errors import SpeechattnError

DIM, PHONES, LIMIT = 6, 5, 120
KINDS = [
    {"scores": s, "weights": w, "positions": p}
    for s, w, p in itertools.product(SCORES, WEIGHTS, POSITIONS)
    if (s, p) != ("additive", "rotary")
]
SHAPES = [
    {"window": (4, 2)},
    {"window": ((8, 2), (4, 0)), "stack": 2, "conv_kernel": 3, "conv_right": 0},
]
every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "-".join(kind.values()))


def classifier(seed: int = 0, **options) -> PhoneClassifier:
    torch.manual_seed(seed)
    if options.get("positions") == "learned":
        options.setdefault("trained_length", LIMIT)
    small = {"width": 8, "heads": 2, "feedforward": 12, "blocks": 2, "dropout": 0.0}
    model = PhoneClassifier(DIM, PHONES, EncoderConfig(**{**small, **options}))
    for layer in model.layers:
        if getattr(layer.layer, "bias", None) is not None:
            torch.nn.init.normal_(layer.layer.bias.table)
        if hasattr(layer.layer, "learned"):
            torch.nn.init.normal_(layer.layer.learned.table)
    return model.eval()


def random_frames(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# --- the equations, frame by frame ----------------------------------------------------------------


def turned(vector: list[float], position: int) -> list[float]:
    half, out = len(vector) // 2, list(vector)
    for i in range(half):
        angle = position / 10_000 ** (i / half)
        number = complex(vector[i], vector[i + half]) * complex(math.cos(angle), math.sin(angle))
        out[i], out[i + half] = number.real, number.imag
    return out


def attention_by_hand(layer, x: torch.Tensor, kind: dict, window: tuple) -> torch.Tensor:
    """x: shape (frames, 8), two heads of four numbers; float64."""
    frames, positions = len(x), kind["positions"]
    if positions == "sinusoidal":
        waves = [
            [(math.cos if c % 2 else math.sin)(t / 10_000 ** (c // 2 * 2 / 8)) for c in range(8)]
            for t in range(frames)
        ]
        x = x + torch.tensor(waves, dtype=torch.float64)
    if positions == "learned":
        x = x + layer.learned.table[:frames]
    q, k, v = (x @ layer.project.weight.T + layer.project.bias).split(8, -1)
    out = torch.zeros(frames, 8, dtype=torch.float64)
    for head, t in itertools.product(range(2), range(frames)):
        part = slice(4 * head, 4 * head + 4)
        seen = [j for j in range(frames) if t - window[0] <= j <= t + window[1]]
        scores = []
        for j in seen:
            query, key = q[t, part].tolist(), k[j, part].tolist()
            if positions == "rotary":
                query, key = turned(query, t), turned(key, j)
            if kind["scores"] == "dot":
                score = sum(a * b for a, b in zip(query, key)) / 2
            else:
                energy = layer.energy[head].tolist()
                score = sum(e * math.tanh(a + b) for e, a, b in zip(energy, query, key))
            if positions == "distance":
                score += layer.bias.table[head, j - t + max(window)].item()
            scores.append(score)
        if kind["weights"] == "softmax":
            total = sum(map(math.exp, scores))
            shares = [math.exp(score) / total for score in scores]
        else:
            shares = [max(score, 0.0) / len(seen) for score in scores]
        for j, share in zip(seen, shares):
            out[t, part] += share * v[j, part]
    return out @ layer.join.weight.T + layer.join.bias


def normed(x: torch.Tensor, norm) -> torch.Tensor:
    x = x - x.mean(-1, keepdim=True)
    x = x / (x.square().mean(-1, keepdim=True) + norm.eps).sqrt()
    return x * norm.weight + norm.bias


@every_kind
@torch.no_grad()
def test_the_encoder_is_its_equations(kind):
    windows = ((4, 2), (3, 0))
    model = classifier(**kind, window=windows)
    frames = random_frames(14, DIM)
    found = model(frames[None])[0]
    model.double()
    x = frames.double() @ model.enter.weight.T + model.enter.bias
    for attention, inner, window in zip(model.layers[::2], model.layers[1::2], windows):
        x = x + attention_by_hand(attention.layer, normed(x, attention.norm), kind, window)
        wide = normed(x, inner.norm) @ inner.layer.expand.weight.T + inner.layer.expand.bias
        x = x + wide.clamp(min=0) @ inner.layer.contract.weight.T + inner.layer.contract.bias
    expected = normed(x, model.norm) @ model.classify.weight.T + model.classify.bias
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=2e-5)


# --- training, streams, batches -------------------------------------------------------------------


@every_kind
@pytest.mark.parametrize("autocast", [False, True], ids=["fp32", "bf16"])
def test_a_step_of_training_lowers_the_loss(kind, autocast):
    model = classifier(**kind, **SHAPES[1]).train()
    frames, lengths = random_frames(2, 40, DIM), torch.tensor([40, 23])
    labels = torch.arange(80).view(2, 40) % PHONES
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02)

    def loss():
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            scores = model(frames, lengths)
        return F.cross_entropy(scores.float().flatten(0, 1), labels.flatten())

    before = loss()
    before.backward()
    for name, weight in model.named_parameters():
        assert weight.grad is not None and torch.isfinite(weight.grad).all(), name
        assert weight.grad.dtype == torch.float32, name
    optimizer.step()
    model.eval()
    autocast = False
    assert loss() < before.detach() - 1e-3


@every_kind
def test_autocast_is_near_full_precision(kind):
    model = classifier(**kind, **SHAPES[1])
    frames, lengths, results = random_frames(2, 60, DIM), torch.tensor([60, 31]), []
    target = random_frames(2, 60, PHONES, seed=1)
    for enabled in (False, True):
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            scores = model(frames, lengths)
        (scores.float() * target).sum().backward()
        gradients = torch.cat([p.grad.flatten() for p in model.parameters()])
        results.append((scores.detach().float(), gradients))
    (scores, gradients), (rough, rough_gradients) = results
    assert (rough - scores).norm() < 0.02 * scores.norm()
    # ReLU is either on or off: rounding changes which, and the gradient jumps.
    assert (rough_gradients - gradients).norm() < 0.1 * gradients.norm()


@every_kind
@pytest.mark.parametrize("shape", SHAPES, ids=["plain", "stacked"])
@given(
    chunks=st.lists(st.integers(0, 40), min_size=1, max_size=3).filter(any),
    seed=st.integers(0, 99),
)
@settings(max_examples=6)
@torch.no_grad()
def test_a_stream_gives_the_scores_of_the_whole(kind, shape, chunks, seed):
    model = classifier(**kind, **shape)
    frames = random_frames(sum(chunks), DIM, seed=seed)
    stream, received, returned = model.stream(), 0, []
    stack, ahead = model.config.stack, model.config.look_ahead
    for piece in frames.split(chunks):
        returned.append(stream.push(piece))
        received += len(piece)
        due = max(0, received // stack * stack - (ahead - (stack - 1)))
        assert sum(map(len, returned)) == due
    returned.append(stream.push(frames[:0], last=True))
    torch.testing.assert_close(torch.cat(returned), model(frames[None])[0], rtol=0, atol=1e-5)


@every_kind
@torch.no_grad()
def test_padding_does_not_matter(kind):
    model, lengths = classifier(**kind, **SHAPES[1]), [50, 0, 17]
    frames = random_frames(3, 53, DIM)
    together = model(frames, torch.tensor(lengths))
    assert torch.isfinite(together).all()
    for row, length in enumerate(lengths):
        frames[row, length:] = math.nan
        if length:
            alone = model(frames[row : row + 1, :length])[0]
            torch.testing.assert_close(together[row, :length], alone, rtol=0, atol=1e-5)
    assert torch.equal(model(frames, torch.tensor(lengths)), together)


@every_kind
def test_a_sequence_of_nothing_has_no_part_in_the_gradients(kind):
    model, lengths = classifier(**kind, window=(4, 2)), torch.tensor([30, 0])
    frames, gradients = random_frames(2, 30, DIM).requires_grad_(), []
    for batch in (frames, frames[:1]):
        model.zero_grad()
        model(batch, lengths[: len(batch)])[0].square().sum().backward()
        gradients.append([p.grad.clone() for p in model.parameters()])
    assert torch.isfinite(frames.grad).all() and frames.grad[1].eq(0).all()
    for together, alone in zip(*gradients):
        torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


# --- look-ahead -----------------------------------------------------------------------------------


@st.composite
def encoders(draw) -> dict:
    stack, blocks = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    side = st.integers(0, 3).map(lambda stacks: stacks * stack)
    kernel = draw(st.sampled_from([0, 1, 3, 5]))
    return {
        "stack": stack,
        "blocks": blocks,
        "window": tuple(draw(st.tuples(side, side)) for _ in range(blocks)),
        "conv_kernel": kernel,
        "conv_right": draw(st.none() | st.integers(0, kernel - 1)) if kernel else None,
        "positions": draw(st.sampled_from(POSITIONS)),
    }


@given(shape=encoders(), after=st.integers(0, 9), seed=st.integers(0, 99))
@settings(max_examples=40)
@torch.no_grad()
def test_the_look_ahead_is_exact(shape, after, seed):
    model = classifier(seed, **shape).double()
    stack, ahead = model.config.stack, model.config.look_ahead
    t = after * stack  # the first frame of a stack sees farthest ahead
    frames = random_frames(1, t + ahead + stack + 1, DIM, seed=seed).double()
    scores = model(frames)[0, t]

    def changed(place: int) -> float:
        other = frames.clone()
        other[0, place] = -other[0, place]
        return (model(other)[0, t] - scores).abs().max().item()

    assert changed(t + ahead) > 1e-13
    for beyond in range(t + ahead + 1, frames.shape[1]):
        assert changed(beyond) == 0


@pytest.mark.parametrize("kind", KINDS[:2] + KINDS[-1:], ids=lambda kind: "-".join(kind.values()))
def test_an_encoder_without_look_ahead_answers_at_once(kind):
    model = classifier(**kind, window=(6, 0), conv_kernel=5, conv_right=0)
    assert model.config.look_ahead == 0
    stream, frames = model.stream(), random_frames(20, DIM)
    assert [len(stream.push(frame)) for frame in frames.split(1)] == [1] * 20


# --- what cannot be ------------------------------------------------------------------------------


@pytest.mark.parametrize("stack", [1, 2])
@torch.no_grad()
def test_learned_positions_say_how_far_they_reach(stack):
    model = classifier(positions="learned", window=(4, 2), stack=stack)
    frames = random_frames(1, LIMIT + 1, DIM)
    whole = model(frames[:, :LIMIT])[0]
    message = r"frames: 121 of them; .* reach 120 frames \(1.2 s\)"
    with pytest.raises(InputTooLong, match=message):
        model(frames)
    stream = model.stream()
    first = stream.push(frames[0, :100])
    with pytest.raises(InputTooLong, match=message):
        stream.push(frames[0, 100:])
    rest = stream.push(frames[0, 100:LIMIT], last=True)  # what was refused was not taken
    torch.testing.assert_close(torch.cat([first, rest]), whole, rtol=0, atol=1e-5)
    assert issubclass(InputTooLong, SpeechattnError) and issubclass(InputTooLong, ValueError)


@every_kind
@torch.no_grad()
def test_a_number_that_is_none_is_found_at_the_door(kind):
    model, frames = classifier(**kind, window=(4, 2)), random_frames(2, 30, DIM)
    broken = frames.clone()
    broken[1, 7, 3] = math.nan
    with pytest.raises(ValueError, match="frames: nan at number 3 of frame 7 of sequence 1;"):
        model(broken)
    with pytest.raises(ValueError, match="frames: nan at number 3 of frame 7;"):
        model(broken[1:])
    broken[1, 7, 3] = -math.inf
    stream = model.stream()
    first = stream.push(frames[1, :5])
    with pytest.raises(ValueError, match="frames: -inf at number 3 of frame 7;"):
        stream.push(broken[1, 5:])
    rest = stream.push(frames[1, 5:], last=True)
    torch.testing.assert_close(torch.cat([first, rest]), model(frames[1:])[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        (torch.tensor([30, 31]), r"lengths: \[30, 31\]; from 0 to 30"),
        (torch.tensor([30, -1]), r"lengths: \[30, -1\]"),
        (torch.tensor([30]), r"lengths: shape \(1,\)"),
        (torch.tensor([30.0, 2.0]), "lengths: .*torch.float32"),
    ],
)
@pytest.mark.parametrize("stack", [1, 2])
def test_lengths_that_cannot_be(lengths, message, stack):
    model = classifier(window=(4, 2), stack=stack)
    with pytest.raises(ValueError, match=message):
        model(random_frames(2, 30, DIM), lengths)
