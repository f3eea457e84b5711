"""Encoders of every kind: their formulas, batches, streams, reach, training, checkpoints."""

from __future__ import annotations

import contextlib
import copy
import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from support.models import save_tiny_model

from speechattn.encoder import baselines
from speechattn.encoder.encoder import PhoneClassifier
from speechattn.encoder.kinds import AnyEncoderConfig, CnnConfig, FramesConfig, RnnConfig
from speechattn.errors import ConfigError
from speechattn.inference.checkpoint import Checkpoint
from speechattn.inference.recognizer import load_model
from speechattn.training.batches import PADDING, Batch
from speechattn.training.config_sections import TrainingConfig
from speechattn.training.optim import Optimizers
from speechattn.training.replicas import Replicas

DIM, PHONES = 6, 5
LIMITED = [
    FramesConfig(window=(3, 2), layers=1, width=12),
    FramesConfig(window=(0, 0), layers=2, width=12),
    FramesConfig(window=(6, 4), layers=3, width=12, stack=2),
    CnnConfig(kernels=(3, 5), dilations=(1, 3), width=12),
    CnnConfig(kernels=(3, 3), dilations=(2, 4), right=(0, 0), width=12),
    CnnConfig(kernels=(4, 1, 3), dilations=None, right=(3, 0, 1), width=12, stack=3),
]
CAUSAL = [
    RnnConfig(width=12, layers=2),
    RnnConfig(width=12, layers=1, cell="gru", delay=3),
    RnnConfig(width=12, layers=2, delay=4, stack=2),
]
WAITING = [
    RnnConfig(width=12, layers=2, bidirectional=True),
    RnnConfig(width=12, layers=1, cell="gru", bidirectional=True, stack=3),
]


def classifier(config: AnyEncoderConfig, seed: int = 0) -> PhoneClassifier:
    torch.manual_seed(seed)
    model = PhoneClassifier(DIM, PHONES, config)
    model.mean.copy_(torch.randn(DIM))
    model.std.copy_(torch.rand(DIM) + 0.5)
    return model.double().eval()


MODELS = [classifier(config) for config in (*LIMITED, *CAUSAL, *WAITING)]


def name_of(value) -> str:
    config = getattr(value, "config", value)
    return f"{config.kind}{[*LIMITED, *CAUSAL, *WAITING].index(config)}"


limited = pytest.mark.parametrize("model", MODELS[: len(LIMITED)], ids=name_of)
streaming = pytest.mark.parametrize("model", MODELS[: len(LIMITED + CAUSAL)], ids=name_of)
every = pytest.mark.parametrize("model", MODELS, ids=name_of)


def random_frames(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


# --- the formulas ---------------------------------------------------------------------------------


def affine(weights, x: np.ndarray, weight: str, bias: str) -> np.ndarray:
    return x @ weights[weight].T + weights[bias]


def normed(weights, x: np.ndarray, name: str) -> np.ndarray:
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    return x * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def convolved(weights, x: np.ndarray, name: str, left: int, dilation: int) -> np.ndarray:
    kernel, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]  # (out, in, taps)
    out = np.tile(bias, (len(x), 1))
    for t, tap in itertools.product(range(len(x)), range(kernel.shape[2])):
        seen = t - left + tap * dilation
        if 0 <= seen < len(x):
            out[t] += kernel[:, :, tap] @ x[seen]
    return out


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def recurrence(weights, x: np.ndarray, name: str, cell: str, suffix: str = "") -> np.ndarray:
    """The equations of the cells, one vector after the other."""
    into, over = (weights[f"{name}.weight_{w}_l0{suffix}"] for w in ("ih", "hh"))
    into_bias, over_bias = (weights[f"{name}.bias_{w}_l0{suffix}"] for w in ("ih", "hh"))
    hidden = memory = np.zeros(over.shape[1])
    out = []
    for vector in x:
        from_input, from_hidden = into @ vector + into_bias, over @ hidden + over_bias
        if cell == "lstm":
            i, f, g, o = np.split(from_input + from_hidden, 4)
            memory = sigmoid(f) * memory + sigmoid(i) * np.tanh(g)
            hidden = sigmoid(o) * np.tanh(memory)
        else:
            (r, z, n), (hr, hz, hn) = np.split(from_input, 3), np.split(from_hidden, 3)
            new = np.tanh(n + sigmoid(r + hr) * hn)
            hidden = (1 - sigmoid(z + hz)) * new + sigmoid(z + hz) * hidden
        out.append(hidden)
    return np.array(out)


def branch_by_hand(weights, x: np.ndarray, config, number: int) -> np.ndarray:
    if config.kind == "cnn":
        left, _, dilation = config.layers[number]
        name = f"layers.{number}.layer"
        inner = np.maximum(convolved(weights, x, f"{name}.weigh", left, dilation), 0)
        return affine(weights, inner, f"{name}.mix.weight", f"{name}.mix.bias")
    name = f"layers.{'0.layers.' if config.delay else ''}{number}.layer.rnn"
    forwards = recurrence(weights, x, name, config.cell)
    if not config.bidirectional:
        return forwards
    backwards = recurrence(weights, x[::-1], name, config.cell, "_reverse")[::-1]
    return np.concatenate([forwards, backwards], 1)


def scores_by_hand(model: PhoneClassifier, frames: np.ndarray) -> np.ndarray:
    weights = {name: value.numpy() for name, value in model.state_dict().items()}
    config, count = model.config, len(frames)
    x = np.clip((frames - weights["mean"]) / weights["std"], -6, 6)
    x = np.concatenate([x, np.zeros((-count % config.stack, DIM))]).reshape(-1, DIM * config.stack)
    if config.kind == "frames":
        x = convolved(weights, x, "layers.0.weigh", config.window[0] // config.stack, 1)
        x = np.maximum(normed(weights, x, "layers.0.norm"), 0)
        for number in range(1, config.layers):
            name = f"layers.{number}"
            x = affine(weights, x, f"{name}.weigh.weight", f"{name}.weigh.bias")
            x = np.maximum(normed(weights, x, f"{name}.norm"), 0)
    else:
        x = affine(weights, x, "enter.weight", "enter.bias")
        delay = getattr(config, "delay", 0) // config.stack
        x = np.concatenate([x, np.zeros((delay, config.width))])
        inner = "layers.0.layers" if delay else "layers"
        layers = config.layers if config.kind == "rnn" else len(config.layers)
        for number in range(layers):
            x = x + branch_by_hand(
                weights, normed(weights, x, f"{inner}.{number}.norm"), config, number
            )
        x = x[delay:]
    x = affine(weights, normed(weights, x, "norm"), "classify.weight", "classify.bias")
    return x.reshape(-1, PHONES)[:count]


@every
@pytest.mark.parametrize("count", [1, 17])
def test_an_encoder_is_its_formula(model, count):
    frames = random_frames(count, DIM)
    expected = torch.from_numpy(scores_by_hand(model, frames.numpy()))
    with torch.no_grad():
        torch.testing.assert_close(model(frames[None])[0], expected, rtol=0, atol=1e-9)


# --- batches and streams --------------------------------------------------------------------------


@given(
    model=st.sampled_from(MODELS),
    lengths=st.lists(st.integers(0, 50), min_size=1, max_size=4),
    padding=st.integers(0, 5),
)
@settings(max_examples=60)
def test_sequences_of_a_batch_are_as_if_alone(model, lengths, padding):
    frames = random_frames(len(lengths), max(lengths) + max(padding, 1), DIM)
    for row, length in enumerate(lengths):
        frames[row, length:] = 1e4  # whatever it is
    with torch.no_grad():
        together = model(frames, torch.tensor(lengths))
        assert together.shape == (*frames.shape[:2], PHONES) and torch.isfinite(together).all()
        for row, length in enumerate(lengths):
            alone = model(frames[row : row + 1, :length])[0]
            torch.testing.assert_close(together[row, :length], alone, rtol=0, atol=1e-9)


@given(
    model=st.sampled_from(MODELS),
    chunks=st.lists(st.integers(0, 40), min_size=1, max_size=6),
    end_told_alone=st.booleans(),
    seed=st.integers(0, 99),
)
@settings(max_examples=120)
def test_a_stream_gives_the_scores_of_the_whole(model, chunks, end_told_alone, seed):
    frames = random_frames(sum(chunks), DIM, seed=seed)
    pieces = [*frames.split(chunks), frames[:0]] if end_told_alone else frames.split(chunks)
    stream = model.stream()
    found = [stream.push(p, last=i == len(pieces) - 1) for i, p in enumerate(pieces)]
    with torch.no_grad():
        whole = model(frames[None])[0]
    torch.testing.assert_close(torch.cat(found), whole, rtol=0, atol=1e-9)


@streaming
@pytest.mark.parametrize("chunk", [1, 7])
def test_scores_come_as_soon_as_their_look_ahead_is_there(model, chunk):
    stream, received, returned = model.stream(), 0, 0
    stack, ahead = model.config.stack, model.config.look_ahead
    for _ in range(70 // chunk):
        received += chunk
        returned += len(stream.push(random_frames(chunk, DIM)))
        assert returned == max(0, received // stack * stack - (ahead - (stack - 1)))
    assert returned + len(stream.push(random_frames(0, DIM), last=True)) == received


def held_numbers(state) -> int:
    if isinstance(state, torch.Tensor):
        return state.untyped_storage().nbytes()
    values = state.values() if isinstance(state, dict) else state
    return sum(map(held_numbers, values)) if isinstance(state, (dict, list, tuple)) else 0


@streaming
def test_the_state_of_a_stream_does_not_grow(model):
    stream, held = model.stream(), []
    for _ in range(30):
        stream.push(random_frames(12, DIM))
        held.append(held_numbers([stream._states, stream._waiting]))
    assert set(held[15:]) == {held[-1]}


# --- reach ----------------------------------------------------------------------------------------


def changed_frames(model: PhoneClassifier, count: int, at: int) -> set[int]:
    """Which scores change when a frame does."""
    before = random_frames(1, count, DIM)
    after = before.clone()
    after[0, at] += 3
    with torch.no_grad():
        return set((model(after) != model(before))[0].any(-1).nonzero().flatten().tolist())


@limited
def test_the_reach_is_exact_to_the_frame(model):
    config = model.config
    left, right, stack = config.context(0), config.context(1), config.stack
    t = (left // stack + 2) * stack
    count = t + left + right + 4 * stack
    # Just inside and just outside; the first frame of a stack sees farthest ahead, the last back.
    assert t in changed_frames(model, count, t + right)
    assert t not in changed_frames(model, count, t + right + 1)
    last = t + stack - 1
    assert last in changed_frames(model, count, last - left)
    assert last not in changed_frames(model, count, last - left - 1)


@pytest.mark.parametrize("model", MODELS[len(LIMITED) :], ids=name_of)
def test_a_recurrent_encoder_hears_all_that_came_before(model):
    config, count, t = model.config, 36, 18
    assert {t, count - 1} <= changed_frames(model, count, 0)
    if config.bidirectional:
        assert {0, t} <= changed_frames(model, count, count - 1)
    else:
        assert t in changed_frames(model, count, t + config.look_ahead)
        assert t not in changed_frames(model, count, t + config.look_ahead + 1)


# --- training -------------------------------------------------------------------------------------


@every
def test_every_weight_takes_part(model):
    model.zero_grad()
    model(random_frames(2, 30, DIM), torch.tensor([30, 14])).square().sum().backward()
    for name, weight in model.named_parameters():
        assert weight.grad.abs().max() > 0, name
    model.zero_grad()


def neighbour_task(seed: int, shift: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Frames whose label is what is heard ``shift`` frames later: one frame alone cannot tell."""
    heard = torch.randint(0, PHONES, (8, 30), generator=torch.Generator().manual_seed(seed))
    frames = torch.zeros(8, 30, DIM)
    frames[:, :, :PHONES] = 2 * F.one_hot(heard, PHONES).float()
    labels = heard.roll(-shift, 1)
    labels[:, 0 if shift < 0 else -1] = PADDING
    return frames, labels


@pytest.mark.parametrize("optimizer, precision", [("adamw", "fp32"), ("muon", "bf16")])
@pytest.mark.parametrize(
    "config, shift",
    [
        (LIMITED[0], -1),
        (LIMITED[3], 1),
        (CAUSAL[0], -1),
        (RnnConfig(width=12, layers=1, cell="gru", delay=1), 1),
        (WAITING[0], 1),
    ],
)
def test_a_short_training_learns_from_neighbours(config, shift, optimizer, precision):
    torch.manual_seed(0)
    model = PhoneClassifier(DIM, PHONES, config)
    settings = TrainingConfig(optimizer=optimizer, precision=precision, replicas=2)
    replicas, optimizers = Replicas(model, settings), Optimizers(model, settings)
    for step in range(80):
        frames, labels = neighbour_task(step, shift)
        replicas.backward(Batch(frames, labels, torch.full((8,), 30)), step)
        optimizers.step(0.02)
    frames, labels = neighbour_task(1000, shift)
    with torch.no_grad():
        found = model.eval()(frames).argmax(-1)
    assert (found == labels)[labels != PADDING].float().mean() > 0.95  # chance is 0.2


@pytest.mark.parametrize("fast", [False, True])
def test_an_lstm_is_in_16_bits_only_where_the_processor_has_them(monkeypatch, fast):
    monkeypatch.setattr(baselines, "fast_bfloat16", lambda: fast)
    layer, seen = baselines.Recurrent(8, "lstm", bidirectional=True), []
    layer.rnn.register_forward_pre_hook(lambda *_: seen.append(torch.is_autocast_enabled("cpu")))
    with torch.autocast("cpu", torch.bfloat16), contextlib.suppress(RuntimeError):
        out = layer(torch.zeros(2, 5, 8, dtype=torch.bfloat16), torch.tensor([5, 3]))
        assert fast or out.dtype == torch.float32
    assert seen == [fast]


@pytest.mark.parametrize("config", [LIMITED[2], LIMITED[5], CAUSAL[2], WAITING[1]], ids=name_of)
def test_threads_of_a_training_give_the_gradients_of_one(config):
    torch.manual_seed(0)
    model = PhoneClassifier(DIM, PHONES, config).double()
    for layer in model.modules():
        if hasattr(layer, "probability"):
            layer.probability = 0.0
    frames, labels, lengths = random_frames(4, 30, DIM), torch.ones(4, 30).long(), [30, 21, 17, 9]
    for row, length in enumerate(lengths):
        labels[row, length:] = PADDING
    batch, gradients = Batch(frames, labels, torch.tensor(lengths)), []
    for count in (1, 2):
        Replicas(model, TrainingConfig(replicas=count)).backward(batch, 0)
        gradients.append([p.grad.clone() for p in model.parameters()])
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-12)
    assert any(g.abs().max() > 0 for g in gradients[0])


# --- checkpoints and use --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny") / "model"
    save_tiny_model(folder)
    return Checkpoint.load(folder)


def saved(tiny, folder, config) -> Checkpoint:
    model = copy.copy(tiny)
    torch.manual_seed(0)
    model.classifier = PhoneClassifier(tiny.front_end.dim, len(tiny.phones), config).eval()
    model.classifier.mean.fill_(8.0)
    model.classifier.std.fill_(4.0)
    model.save(folder)
    return model


@pytest.mark.parametrize("config", [LIMITED[2], LIMITED[4], CAUSAL[2], WAITING[1]], ids=name_of)
def test_checkpoint_transcription_and_stream(config, tiny, tmp_path):
    model = saved(tiny, tmp_path / "m", config)
    loaded = Checkpoint.load(tmp_path / "m")
    assert loaded.classifier.config == config
    for name, value in model.classifier.state_dict().items():
        assert torch.equal(loaded.classifier.state_dict()[name], value), name

    recognizer = load_model(tmp_path / "m", "cpu")
    samples = 0.1 * np.random.default_rng(0).standard_normal(16_000).astype(np.float32)
    whole = recognizer.transcribe(samples, sample_rate=16_000, posteriors=True)
    described = recognizer.describe()
    assert described["encoder"]["kind"] == config.kind
    assert described["receptive_field_ms"] == config.receptive_field_ms
    assert described["multiply_adds_a_frame"] > 0
    assert ("window_ms" in described) == (config.kind == "frames")
    if config in WAITING:
        with pytest.raises(ConfigError) as error:
            recognizer.stream()
        assert "encoder.bidirectional" in str(error.value) and "transcribe" in str(error.value)
        assert described["look_ahead_ms"] is None
        return
    stream = recognizer.stream()
    results = [stream.push(part) for part in np.array_split(samples, 9)] + [stream.finish()]
    found = np.concatenate([result.posteriors for result in results])
    np.testing.assert_allclose(found, whole.posteriors, rtol=0, atol=1e-5)
    assert [s.label for r in results for s in r.segments] == [s.label for s in whole.phones]
