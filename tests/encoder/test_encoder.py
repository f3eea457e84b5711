"""The encoder whole, in batches and in streams; and with any window."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.commands import message_of

import speechattn
from speechattn.cli.main import main
from speechattn.encoder.config import EncoderConfig
from speechattn.encoder.encoder import CLAMP, Encoder, PhoneClassifier
from speechattn.encoder.kinds import CnnConfig
from speechattn.errors import ConfigError
from speechattn.training.updates.window_draws import draw_window

DIM, PHONES = 6, 5
SMALL = {"width": 8, "heads": 2, "feedforward": 12, "dropout": 0.3}

# What an encoder may be made of: stacking, convolutions, windows for all blocks or for each.
SHAPES = [
    {"blocks": 1, "window": (3, 2)},
    {"blocks": 2, "window": (4, 3), "conv_kernel": 5},
    {"blocks": 3, "window": ((6, 0), (0, 5), (2, 2)), "positions": "none"},
    {"blocks": 2, "window": (4, 6), "stack": 2},
    {"blocks": 2, "window": ((8, 2), (0, 4)), "stack": 2, "conv_kernel": 3},
    {"blocks": 2, "window": (6, 3), "stack": 3, "conv_kernel": 5},
    {"blocks": 1, "window": (0, 0)},
    {"blocks": 2, "window": (0, 0), "stack": 3},
    {"blocks": 2, "window": (40, 35), "conv_kernel": 7, "stack": 1},
    {"blocks": 2, "window": (4, 0), "conv_kernel": 5, "conv_right": 0},
    {"blocks": 2, "window": ((6, 2), (4, 0)), "conv_kernel": 5, "conv_right": 1, "stack": 2},
    {"blocks": 1, "window": (2, 2), "conv_kernel": 3, "conv_right": 2},
    {"blocks": 1, "window": (4, 2), "stack": 2, "subsampling": "convolution"},
    {"blocks": 2, "window": (3, 6), "stack": 3, "subsampling": "convolution"},
    {"blocks": 1, "window": (3, 3), "subsampling": "convolution", "activation": "gelu"},
]
ENDLESS = [
    {"blocks": 1, "window": (None, None)},
    {"blocks": 2, "window": (None, 2), "stack": 2, "conv_kernel": 3},
    {"blocks": 2, "window": ((4, 4), (None, None))},
    {"blocks": 2, "window": ((2, None), (3, 1)), "conv_kernel": 5},
]


def classifier(shape: dict, seed: int = 0) -> PhoneClassifier:
    torch.manual_seed(seed)
    model = PhoneClassifier(DIM, PHONES, EncoderConfig(**{**SMALL, **shape}))
    model.mean.copy_(torch.randn(DIM))
    model.std.copy_(torch.rand(DIM) + 0.5)
    return model.double().eval()


MODELS = [classifier(shape) for shape in SHAPES + ENDLESS]
BOUNDED = MODELS[: len(SHAPES)]
ids = {"ids": lambda model: f"model{MODELS.index(model)}"}  # a module's own name is a page long


def random_frames(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def streamed(model: PhoneClassifier, frames: torch.Tensor, chunks: list[int]) -> torch.Tensor:
    stream = model.stream()
    pieces = frames.split(chunks)
    return torch.cat([stream.push(p, last=i == len(pieces) - 1) for i, p in enumerate(pieces)])


# --- whole, streamed, batched ---------------------------------------------------------------------


@given(
    model=st.sampled_from(MODELS),
    chunks=st.lists(st.integers(0, 60), min_size=1, max_size=6).filter(any),
    end_told_alone=st.booleans(),
    seed=st.integers(0, 99),
)
@settings(max_examples=70)
def test_a_stream_gives_the_scores_of_the_whole(model, chunks, end_told_alone, seed):
    frames = random_frames(sum(chunks), DIM, seed=seed)
    whole = model(frames[None])[0]
    assert whole.shape == (len(frames), PHONES)
    chunks = [*chunks, 0] if end_told_alone else chunks
    torch.testing.assert_close(streamed(model, frames, chunks), whole, rtol=0, atol=1e-9)


@pytest.mark.parametrize("chunk", [1, 7])
@pytest.mark.parametrize("model", BOUNDED, **ids)
def test_scores_come_as_soon_as_their_look_ahead_is_there(model, chunk):
    stream, received, returned = model.stream(), 0, 0
    stack, ahead = model.config.stack, model.config.look_ahead
    for _ in range(90 // chunk):
        received += chunk
        returned += len(stream.push(random_frames(chunk, DIM)))
        # Output t needs the stack of frame t + (ahead - (stack - 1)) to be full.
        assert returned == max(0, received // stack * stack - (ahead - (stack - 1)))
    rest = stream.push(random_frames(0, DIM), last=True)
    assert returned + len(rest) == received


@given(
    model=st.sampled_from(MODELS),
    lengths=st.lists(st.integers(0, 70), min_size=1, max_size=4),
    padding=st.integers(0, 5),
)
@settings(max_examples=40)
def test_sequences_of_a_batch_are_as_if_alone(model, lengths, padding):
    frames = random_frames(len(lengths), max(lengths) + max(padding, 1), DIM)
    together = model(frames, torch.tensor(lengths))
    assert together.shape == (*frames.shape[:2], PHONES)
    assert torch.isfinite(together).all()
    for row, length in enumerate(lengths):
        if length:
            alone = model(frames[row : row + 1, :length])[0]
            torch.testing.assert_close(together[row, :length], alone, rtol=0, atol=1e-9)


def test_padding_leaves_no_trace_in_scores_or_gradients():
    model = classifier({"blocks": 2, "window": (6, 6), "stack": 2, "conv_kernel": 3})
    frames, lengths = random_frames(2, 21, DIM), torch.tensor([21, 9])

    def run(frames):
        model.zero_grad()
        scores = model(frames, lengths)
        (scores[0].sum() + scores[1, :9].square().sum()).backward()
        return scores[1, :9].detach(), model.enter.weight.grad.clone()

    before = run(frames)
    frames[1, 9:] = 1e3
    for got, expected in zip(run(frames), before):
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("model", MODELS, **ids)
def test_no_frames_give_no_scores(model):
    assert model(torch.zeros(1, 0, DIM, dtype=torch.float64)).shape == (1, 0, PHONES)
    assert model.stream().push(torch.zeros(0, DIM, dtype=torch.float64), last=True).shape[0] == 0


def test_without_a_head_it_gives_vectors():
    encoder = Encoder(DIM, EncoderConfig(**SMALL, blocks=1, stack=2, window=(4, 2))).eval()
    frames = random_frames(1, 9, DIM).float()
    assert torch.equal(encoder(frames), encoder.vectors(frames))
    assert encoder(frames).shape == (1, 5, SMALL["width"])


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ((0, PHONES), "input_dim: 0; a whole number, 1 or more"),
        ((DIM, 0), "num_phones: 0; a whole number, 1 or more"),
        ((DIM, 2.5), "num_phones: 2.5"),
    ],
)
def test_sizes_that_cannot_be_are_named(sizes, said):
    with pytest.raises(ValueError, match=said):
        PhoneClassifier(*sizes, EncoderConfig(**SMALL))


def test_frames_of_another_kind_are_refused():
    model = PhoneClassifier(DIM, PHONES, EncoderConfig(**SMALL, window=(4, 2))).eval()
    frames = random_frames(9, DIM)
    for call in (lambda x: model(x[None]), lambda x: model.stream().push(x)):
        with pytest.raises(ValueError, match=r"frames: torch.float64, and .* torch.float32"):
            call(frames)
        with pytest.raises(TypeError, match="frames: ndarray; a torch tensor is needed"):
            call(frames.numpy())
        call(frames.float())


# --- reach ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", BOUNDED, **ids)
def test_the_reach_is_exact_to_the_frame(model):
    config = model.config
    left, right, stack = config.context(0), config.context(1), config.stack
    middle = (left // stack + 2) * stack
    total = (middle + right) // stack * stack + 5 * stack

    def reached(t):
        frames = random_frames(8, total, DIM).requires_grad_()  # a ReLU may be shut in one
        model(frames)[:, t].square().sum().backward()
        return frames.grad.abs().sum((0, 2)).nonzero().flatten().tolist()

    # The first output of a stack sees farthest ahead, the last one farthest back.
    first, last = reached(middle), reached(middle + stack - 1)
    # A stream waits for whole stacks, of which a subsampling convolution sees but one frame.
    unseen = stack - 1 if config.subsampling == "convolution" else 0
    assert max(first) == middle + config.look_ahead - unseen
    assert min(last) == middle + stack - 1 - left
    for t in range(middle, middle + stack):
        seen = reached(t)
        assert t - left <= min(seen) and max(seen) <= t + right
    assert config.receptive_field_ms == 10 * (left + 1 + right)


@given(model=st.sampled_from(BOUNDED), t=st.integers(0, 150), seed=st.integers(0, 99))
@settings(max_examples=25)
def test_frames_beyond_the_look_ahead_change_nothing(model, t, seed):
    frames = random_frames(1, 300, DIM, seed=seed)
    beyond = t + model.config.look_ahead + 1
    changed = frames.clone()
    changed[:, beyond:] = -changed[:, beyond:]
    with torch.no_grad():
        torch.testing.assert_close(
            model(changed)[:, : t + 1], model(frames)[:, : t + 1], rtol=0, atol=1e-10
        )
        # Cutting the recording there is no different.
        torch.testing.assert_close(
            model(frames[:, :beyond])[:, t - t % model.config.stack],
            model(frames)[:, t - t % model.config.stack],
            rtol=0,
            atol=1e-10,
        )


# --- the state of a stream ------------------------------------------------------------------------


def held_bytes(state) -> int:
    """Bytes of the storages behind the tensors of a state, views counted whole."""
    if isinstance(state, torch.Tensor):
        return state.untyped_storage().nbytes()
    if isinstance(state, dict):
        return sum(map(held_bytes, state.values()))
    return sum(map(held_bytes, state)) if isinstance(state, list) else 0


@pytest.mark.parametrize("model", BOUNDED, **ids)
def test_the_state_of_a_stream_does_not_grow(model):
    stream, held = model.stream(), []
    for _ in range(50):
        stream.push(random_frames(12, DIM))
        held.append(held_bytes([stream._states, stream._waiting]))
    assert held[-1] > 0
    # Full once the longest window is; the same ever after.
    assert set(held[25:]) == {held[-1]} and held[-1] <= max(held[:25])


def test_two_streams_of_one_model_do_not_disturb_each_other():
    model = MODELS[4]
    a, b = random_frames(40, DIM, seed=1), random_frames(40, DIM, seed=2)
    first, second = model.stream(), model.stream()
    got = [(first.push(x), second.push(y)) for x, y in zip(a.split(7), b.split(7))]
    end = (first.push(a[:0], last=True), second.push(b[:0], last=True))
    for frames, scores in zip((a, b), zip(*got, end)):
        torch.testing.assert_close(torch.cat(scores), model(frames[None])[0], rtol=0, atol=1e-9)


# --- normalisation, dropout, weights --------------------------------------------------------------


def test_normalise_against_numpy_and_clamped():
    model = MODELS[0]
    frames = 100 * random_frames(50, DIM)
    expected = (frames.numpy() - model.mean.numpy()) / model.std.numpy()
    normalised = model.normalise(frames).numpy()
    assert abs(expected).max() > CLAMP > abs(expected).min()
    assert normalised == pytest.approx(expected.clip(-CLAMP, CLAMP))


def test_frames_far_beyond_the_clamp_score_as_those_at_it():
    model, frames = MODELS[1], random_frames(1, 20, DIM)
    far, farther = frames.clone(), frames.clone()
    far[0, 8:12], farther[0, 8:12] = -1e3, -1e9
    torch.testing.assert_close(model(far), model(farther))
    assert not torch.allclose(model(far), model(frames))


def test_dropout_acts_in_training_only():
    model, frames = classifier(SHAPES[1]), random_frames(1, 20, DIM)
    assert torch.equal(model(frames), model(frames))
    model.train()
    assert not torch.equal(model(frames), model(frames))


def test_a_stream_keeps_no_graph():
    scores = MODELS[0].stream().push(random_frames(20, DIM))
    assert len(scores) and not scores.requires_grad


def test_statistics_are_saved_with_the_weights_and_count_as_no_weights():
    model = classifier({"blocks": 1})
    state = model.state_dict()
    assert {"mean", "std"} <= set(state)
    trained = sum(v.numel() for k, v in state.items() if k not in ("mean", "std"))
    assert model.num_weights == trained
    other = classifier({"blocks": 1}, seed=7)
    other.load_state_dict(state)
    frames = random_frames(1, 30, DIM)
    torch.testing.assert_close(other(frames), model(frames))


def test_every_weight_takes_part():
    model = classifier({"blocks": 2, "window": (4, 4), "conv_kernel": 3, "stack": 2})
    model(random_frames(1, 40, DIM)).square().sum().backward()
    for name, weight in model.named_parameters():
        assert weight.grad.abs().max() > 0, name


CONFIG = EncoderConfig(
    width=16, heads=2, feedforward=32, blocks=2, window=(8, 8), any_window=(0, 12), stack=2
)
KINDS = [
    {},
    {"conv_kernel": 3},
    {"positions": "distance"},
    {"positions": "distance", "reach": 4},
    {"positions": "learned", "trained_length": 200},
    {"positions": "none", "scores": "additive", "weights": "relu"},
]


@given(
    least=st.integers(0, 5),
    more=st.integers(0, 40),
    stack=st.integers(1, 3),
    seed=st.integers(0, 99),
)
@settings(max_examples=50)
def test_windows_are_drawn_within_limits_and_again_the_same(least, more, stack, seed):
    allowed = (least * stack, (least + more) * stack)
    config = replace(CONFIG, stack=stack, window=allowed, any_window=allowed)
    drawn = [draw_window(config, seed, step) for step in range(300)]
    assert drawn == [draw_window(config, seed, step) for step in range(300)]
    sides = np.array(drawn)
    assert (sides % stack == 0).all()
    assert sides.min() == allowed[0] or more > 20
    assert allowed[0] <= sides.min() and sides.max() <= allowed[1]
    if more > 10:
        others = sides[(sides != allowed).any(1)]
        assert 0.35 < len(others) / len(sides) < 0.65
        assert 0.35 < np.mean(others[:, 0] == others[:, 1]) < 0.8
        assert sides.max() > allowed[1] * 0.7 and len(set(drawn)) > 20


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("window", [(0, 0), (4, 0), (2, 12), ((0, 6), (12, 2))])
def test_a_window_gives_what_a_model_made_with_it_gives(kind, window):
    torch.manual_seed(1)
    config = replace(CONFIG, **kind)
    one = PhoneClassifier(6, 5, config).eval()
    frames, lengths = torch.randn(2, 60, 6), torch.tensor([60, 41])
    own = one(frames, lengths)
    made = PhoneClassifier(6, 5, replace(config, window=window)).eval()
    made.load_state_dict(one.state_dict())
    one.set_window(window)
    assert torch.equal(one(frames, lengths), made(frames, lengths))
    assert not torch.allclose(one(frames, lengths), own)
    assert one.config.look_ahead == made.config.look_ahead
    stream = one.stream()
    pieces = [
        stream.push(piece, last) for piece, last in ((frames[0, :7], False), (frames[0, 7:], True))
    ]
    assert torch.allclose(torch.cat(pieces), made(frames[:1])[0], atol=1e-5)
    one.set_window((8, 8))
    assert torch.equal(one(frames, lengths), own)


@pytest.mark.parametrize(
    ("config", "window", "parts"),
    [
        *(
            (CONFIG, window, [f"window: {window!r}; (left, right)", "(32, 4)"])
            for window in ((8, None), 8, (8,), ("8", "4"), (2.0, 2), "8/4", None)
        ),
        (CONFIG, (14, 2), ["window 14/2", "14 frames", "0 to 12 in steps of 2", "any_window"]),
        (CONFIG, (4, 3), ["window 4/3", "3 frames", "steps of 2"]),
        (replace(CONFIG, any_window=None), (4, 4), ["window 4/4", "[8, 8]", "any_window"]),
        (CnnConfig(), (4, 4), ["window 4/4", "'cnn'"]),
    ],
)
def test_a_window_that_training_did_not_allow_is_refused(config, window, parts):
    with pytest.raises(ConfigError) as error:
        config.check_window(window)
    assert all(part in message_of(error) for part in parts)


@pytest.mark.parametrize(
    ("values", "parts"),
    [
        ({"any_window": (0,)}, ["encoder.any_window: [0]", "[least, most]"]),
        ({"any_window": (0, 13)}, ["encoder.any_window", "13", "stack (2)"]),
        ({"any_window": (8, 4)}, ["encoder.any_window: [8, 4]"]),
        ({"any_window": (0, None)}, ["encoder.any_window", "None"]),
        ({"any_window": (0, 6)}, ["encoder.window: 8", "0 to 6"]),
        ({"window": (8, None)}, ["encoder.window: None", "0 to 12"]),
    ],
)
def test_impossible_limits_are_named(values, parts):
    with pytest.raises(ConfigError) as error:
        replace(CONFIG, **values)
    assert all(part in message_of(error) for part in parts)


def test_a_model_of_one_window_is_described_as_before_there_were_others():
    assert "any_window" not in replace(CONFIG, any_window=None).to_dict()
    values = json.loads(json.dumps(CONFIG.to_dict()))
    assert EncoderConfig(**values) == CONFIG


@pytest.fixture(scope="module")
def any_model(tiny_model_dir, tmp_path_factory):
    """The tiny model as if it had been trained for any window up to 12 frames."""
    checkpoint = speechattn.load_model(tiny_model_dir, "cpu").checkpoint
    checkpoint.classifier.config = replace(checkpoint.classifier.config, any_window=(0, 12))
    folder = tmp_path_factory.mktemp("any") / "model"
    checkpoint.save(folder)
    return folder


def test_the_commands_take_a_window(any_model, tiny_model_dir, tmp_path, capsys):
    noise = np.random.default_rng(0).normal(0, 0.1, 32_000)
    soundfile.write(tmp_path / "a.wav", noise, 16_000)

    def transcribe(out: str, *options: str, model=any_model) -> int:
        words = ["transcribe", str(tmp_path / "a.wav"), "--model", str(model), "--quiet"]
        return main([*words, "--posteriors", "npz", "--output-dir", str(tmp_path / out), *options])

    def posteriors(out: str) -> np.ndarray:
        return np.load(tmp_path / out / "a.npz")["posteriors"]

    assert transcribe("own") == transcribe("wide", "--window", "12/12") == 0
    assert not np.allclose(posteriors("own"), posteriors("wide"))
    options = {"window": (12, 12), "precision": "auto"}
    expected = speechattn.load_model(any_model, "cpu", **options).transcribe(tmp_path / "a.wav")
    assert np.allclose(posteriors("wide"), expected.posteriors, atol=1e-6)
    assert json.loads((tmp_path / "wide/run.json").read_text())["settings"]["window"] == [12, 12]
    (result,) = speechattn.transcribe_folder(tmp_path / "a.wav", model=any_model, **options)
    assert result.transcription.phones == expected.phones

    assert transcribe("wide", "--window", "12/12", "--resume") == 0
    assert transcribe("wide", "--window", "10/12", "--resume") == 2
    assert "window" in capsys.readouterr().err
    for words, model, part in (
        (["--window", "14/2"], any_model, "14 frames; this model was trained for 0 to 12"),
        (["--window", "4/4"], tiny_model_dir, "trained for its own window alone"),
        (["--window", "4"], any_model, "--window 4: LEFT/RIGHT"),
    ):
        assert transcribe("none", *words, model=model) == 2
        assert part in capsys.readouterr().err


def test_a_quarter_of_the_windows_are_among_those_named():
    config = replace(CONFIG, stack=1, window=(8, 8), any_window=(0, 8), blocks=2)
    named = ((8, 0), ((8, 0), (8, 2)))
    drawn = [draw_window(config, 0, number, named) for number in range(400)]
    shares = [np.mean([window == each for window in drawn]) for each in named]
    assert all(0.07 < share < 0.2 for share in shares)
    assert 0.4 < np.mean([window == (8, 8) for window in drawn]) < 0.6
