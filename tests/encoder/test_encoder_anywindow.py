"""One model for any window: as good as made for it to the last number, drawn in training, refused beyond."""

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
from speechattn.encoder.baselines import CnnConfig
from speechattn.encoder.config import EncoderConfig
from speechattn.encoder.encoder import PhoneClassifier, check_window, set_window
from speechattn.errors import ConfigError
from speechattn.training.batches import draw_window

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
        assert 0.35 < np.mean(sides[:, 0] == sides[:, 1]) < 0.8
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
    set_window(one, window)
    assert torch.equal(one(frames, lengths), made(frames, lengths))
    assert not torch.allclose(one(frames, lengths), own)
    assert one.config.look_ahead == made.config.look_ahead
    stream = one.stream()
    pieces = [
        stream.push(piece, last) for piece, last in ((frames[0, :7], False), (frames[0, 7:], True))
    ]
    assert torch.allclose(torch.cat(pieces), made(frames[:1])[0], atol=1e-5)
    set_window(one, (8, 8))
    assert torch.equal(one(frames, lengths), own)


@pytest.mark.parametrize(
    ("config", "window", "parts"),
    [
        (CONFIG, (14, 2), ["window 14/2", "14 frames", "0 to 12 in steps of 2", "any_window"]),
        (CONFIG, (4, 3), ["window 4/3", "3 frames", "steps of 2"]),
        (replace(CONFIG, any_window=None), (4, 4), ["window 4/4", "[8, 8]", "any_window"]),
        (CnnConfig(), (4, 4), ["window 4/4", "'cnn'"]),
    ],
)
def test_a_window_that_training_did_not_allow_is_refused(config, window, parts):
    with pytest.raises(ConfigError) as error:
        check_window(config, window)
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
