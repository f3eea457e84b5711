"""An encoder that begins as Whisper's: its file, its frames, its layers, a recipe with it."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import librosa
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from speechattn.audio.features import FrontEnd, FrontEndConfig
from speechattn.encoder.config import EncoderConfig
from speechattn.errors import ConfigError, ModelError
from speechattn.segments import SAMPLE_RATE
from speechattn.training.sources.whisper import (
    CENTRE,
    NEEDED,
    encoder_from_whisper,
    frame_matrix,
    slaney_filters,
    whisper_classifier,
    whisper_frames,
)
from speechattn.training.sources.whisper_file import find_weights, read_weights

WIDTH, INNER, BLOCKS = 16, 24, 2
CONFIG = EncoderConfig(
    **NEEDED,
    stack=2,
    width=WIDTH,
    heads=2,
    feedforward=INNER,
    blocks=BLOCKS,
    window=(8, 8),
    dropout=0.0,
)


def made_up_weights(seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)

    def draw(*shape: int) -> np.ndarray:
        return random.standard_normal(shape).astype(np.float16) / 4

    weights = {
        "conv1/weight": draw(WIDTH, 80, 3),
        "conv1/bias": draw(WIDTH),
        "conv2/weight": draw(WIDTH, WIDTH, 3),
        "conv2/bias": draw(WIDTH),
        "layer_norm/gamma": draw(WIDTH),
        "layer_norm/beta": draw(WIDTH),
        "position_encodings/encodings": draw(1500, WIDTH),
    }
    parts = {
        "self_attention": [(3 * WIDTH, WIDTH), (WIDTH, WIDTH)],
        "ffn": [(INNER, WIDTH), (WIDTH, INNER)],
    }
    for block in range(BLOCKS):
        for part, shapes in parts.items():
            name = f"layer_{block}/{part}"
            weights |= {f"{name}/layer_norm/{key}": draw(WIDTH) for key in ("gamma", "beta")}
            for number, shape in enumerate(shapes):
                weights[f"{name}/linear_{number}/weight"] = draw(*shape)
                weights[f"{name}/linear_{number}/bias"] = draw(shape[0])
    return {f"encoder/{name}": values for name, values in weights.items()}


def write_file(path: Path, weights: dict[str, np.ndarray], version: int = 6) -> Path:
    def name(text: str) -> bytes:
        return struct.pack("<H", len(text) + 1) + text.encode() + b"\0"

    data = struct.pack("<I", version) + name("WhisperSpec") + struct.pack("<II", 3, len(weights))
    for key, values in weights.items():
        data += name(key) + struct.pack("<B", values.ndim)
        data += b"".join(struct.pack("<I", size) for size in values.shape)
        data += struct.pack("<BI", 4, values.nbytes) + values.tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def speech(count: int = 3) -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    return [torch.randn(90 + 10 * n, 80, generator=draw) * 3 + 8 for n in range(count)]


def test_a_file_gives_its_weights_again(tmp_path):
    weights = made_up_weights()
    found = read_weights([write_file(tmp_path / "model.bin", weights)])
    assert found.keys() == weights.keys()
    assert all(np.array_equal(found[name], values) for name, values in weights.items())


@pytest.mark.parametrize("end", [3, 30, 500])
def test_a_file_that_is_cut_short_is_refused(tmp_path, end):
    file = write_file(tmp_path / "model.bin", made_up_weights())
    file.write_bytes(file.read_bytes()[:end])
    with pytest.raises(ModelError, match=r"model.bin: no whole file of CTranslate2"):
        read_weights([file])


def test_another_version_is_refused(tmp_path):
    with pytest.raises(ModelError, match="WhisperSpec of version 5"):
        read_weights([write_file(tmp_path / "model.bin", {}, version=5)])


def test_folders_and_packages_are_found(tmp_path, monkeypatch):
    file = write_file(tmp_path / "some_whisper" / "model" / "model.bin", {})
    monkeypatch.syspath_prepend(tmp_path)
    assert find_weights("some_whisper") == [file]
    assert find_weights(str(file.parent)) == [file]
    plus = write_file(tmp_path / "c++" / "model.bin", {})
    assert find_weights(str(plus.parent)) == [plus]
    with pytest.raises(
        ConfigError, match=r"whisper: nothing: .*pip install 'speechattn\[whisper\]'"
    ):
        find_weights("nothing")


def test_a_model_in_parts_is_read_as_one(tmp_path, monkeypatch):
    weights = made_up_weights()
    data = write_file(tmp_path / "model.bin", weights).read_bytes()
    parts = [tmp_path / f"some_part{n}" / "data" / f"model.bin.part{n}" for n in (1, 2)]
    for part, piece in zip(parts, (data[:700], data[700:])):
        part.parent.mkdir(parents=True)
        part.write_bytes(piece)
    monkeypatch.syspath_prepend(tmp_path)
    assert find_weights("some_part1 + some_part2") == parts
    found = read_weights(parts)
    assert found.keys() == weights.keys()
    assert all(np.array_equal(found[name], values) for name, values in weights.items())
    with pytest.raises(ConfigError, match=r"'some_part2' .* holds model\.bin\.part1;"):
        find_weights("some_part2+some_part1")


def test_filters_are_those_of_librosa():
    expected = librosa.filters.mel(sr=SAMPLE_RATE, n_fft=400, n_mels=80)
    torch.testing.assert_close(slaney_filters(), torch.from_numpy(expected), rtol=1e-4, atol=1e-7)


def test_whispers_frames_are_nearly_linear_in_ours():
    front_end, random = FrontEndConfig(), np.random.default_rng(7)
    wave = np.cumsum(random.standard_normal(3 * SAMPLE_RATE)) * 1e-4
    wave += 0.1 * np.sin(np.cumsum(np.linspace(0.05, 1.0, len(wave))))  # a rising tone
    samples = torch.from_numpy(wave - wave.mean()).float()
    matrix, offset = frame_matrix(front_end)
    ours, theirs = FrontEnd(front_end)(samples)[2:-2], whisper_frames(samples[CENTRE:])[2:]
    theirs = theirs[: len(ours)]
    apart = (ours @ matrix.T + offset - theirs).square().sum()
    assert apart < 0.1 * (theirs - theirs.mean(0)).square().sum()


def test_the_first_layers_are_whispers_convolutions():
    weights = made_up_weights()
    model = encoder_from_whisper(weights, CONFIG, 5, FrontEndConfig(), speech())
    matrix, offset = frame_matrix(FrontEndConfig())
    frames = speech(1)[0]
    theirs = (frames @ matrix.T + offset).T[None]
    values = {name: torch.from_numpy(w.astype(np.float32)) for name, w in weights.items()}

    def convolved(x: torch.Tensor, name: str, stride: int) -> torch.Tensor:
        weight, bias = (values[f"encoder/{name}/{part}"] for part in ("weight", "bias"))
        return F.gelu(F.conv1d(x, weight, bias, stride, padding=1))

    expected = convolved(convolved(theirs, "conv1", 1), "conv2", 2)[0].T
    entry = model.layers[0]
    with torch.no_grad():
        found = entry(model._enter(model.normalise(frames[None])), None)[0] - entry.offset
    # At the ends, ours are padded with mean frames, Whisper's with zeros.
    torch.testing.assert_close(found[1:-1], expected[1:-1], rtol=1e-3, atol=1e-3)


def test_positions_become_numbers_of_distances():
    weights = made_up_weights()
    # Neighbouring positions are much alike, as Whisper's are.
    angles = np.arange(1500)[:, None] * 0.6 ** np.arange(WIDTH // 2)
    places = np.concatenate([np.sin(angles), np.cos(angles)], 1).astype(np.float16)
    weights["encoder/position_encodings/encodings"] = 3 * places
    attention = "encoder/layer_0/self_attention"
    weights[f"{attention}/layer_norm/gamma"] = np.ones(WIDTH, np.float16)
    project = weights[f"{attention}/linear_0/weight"]
    project[WIDTH : 2 * WIDTH] = project[:WIDTH]  # keys are what queries look for
    model = encoder_from_whisper(weights, CONFIG, 5, FrontEndConfig(), speech())
    first = model.layers[1].layer.bias.table
    assert (first[:, 4] > first[:, [0, 8]].mean(1) + 0.1).all()
    # Positions that are all alike add nothing to scores.
    alike = weights | {"encoder/position_encodings/encodings": np.ones((1500, WIDTH), np.float16)}
    model = encoder_from_whisper(alike, CONFIG, 5, FrontEndConfig(), speech())
    for layer in model.layers[1::2]:
        torch.testing.assert_close(layer.layer.bias.table, torch.zeros(2, 9), rtol=0, atol=1e-3)


def test_shapes_that_differ_are_named():
    with pytest.raises(ModelError, match="give the recipe its width, heads, feedforward"):
        encoder_from_whisper(
            made_up_weights(), replace(CONFIG, feedforward=32), 5, FrontEndConfig(), speech()
        )
    with pytest.raises(ModelError, match="encoder/layer_2/self_attention/layer_norm/gamma"):
        encoder_from_whisper(
            made_up_weights(), replace(CONFIG, blocks=3), 5, FrontEndConfig(), speech()
        )


@pytest.mark.parametrize("stack", [2, 4, 6])
def test_a_larger_stack_begins_with_the_mean_of_its_vectors(stack):
    weights = made_up_weights()
    config = replace(CONFIG, stack=stack, window=(12, 12))
    found = encoder_from_whisper(weights, config, 5, FrontEndConfig(), speech()).layers[0]
    kernel = torch.from_numpy(weights["encoder/conv2/weight"].astype(np.float32))
    x = torch.randn(1, WIDTH, 60, generator=torch.Generator().manual_seed(1))
    wanted = F.conv1d(x, kernel, stride=2, padding=1).unflatten(2, (-1, stack // 2)).mean(3)
    wide = found.second.weight.detach().unflatten(1, (2 * stack - 1, WIDTH)).transpose(1, 2)
    made = F.conv1d(F.pad(x, (stack - 1, stack - 1)), wide, stride=stack)
    torch.testing.assert_close(made, wanted, rtol=1e-4, atol=1e-5)


def test_an_encoder_that_cannot_have_its_weights_is_refused(tmp_path):
    write_file(tmp_path / "model.bin", {})
    with pytest.raises(
        ConfigError, match="the encoder of the recipe needs stack: 2, or a multiple"
    ):
        whisper_classifier(
            str(tmp_path), replace(CONFIG, stack=3, window=(9, 9)), FrontEndConfig(), 5, None
        )
