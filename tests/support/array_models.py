"""Small models that can be computed on arrays, and their weights as arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor

from speechattn.attention.kernels.llvm import LANES
from speechattn.audio.features import FrontEnd, FrontEndConfig
from speechattn.decoder.lm.phone_model import PhoneModel
from speechattn.decoder.options import DecoderOptions
from speechattn.encoder.array_encoder import ArrayEncoder
from speechattn.encoder.array_weights import ready_arrays, shapes
from speechattn.encoder.config import EncoderConfig
from speechattn.encoder.encoder import PhoneClassifier
from speechattn.encoder.int8 import input_ranges
from speechattn.inference.checkpoint import Checkpoint
from speechattn.phones import arpabet

DIM, PHONES, GAIN = 12, 7, 4
CONFIG = EncoderConfig(
    width=2 * LANES, heads=2, feedforward=3 * LANES, blocks=2, window=(8, 4), any_window=(0, 12),
    positions="distance", stack=2, subsampling="convolution", activation="gelu",
)  # fmt: skip


@st.composite
def configs(draw, streaming: bool = False) -> EncoderConfig:
    """Shapes of encoders that arrays compute.

    Args:
        streaming: whether every window has a limit to the right.
    """
    stack, heads, blocks = (draw(st.integers(1, most)) for most in (2, 3, 2))
    side = st.integers(0, 6).map(lambda vectors: stack * vectors)
    pair = st.tuples(st.none() | side, side if streaming else st.none() | side)
    window = draw(pair | st.tuples(*[pair] * blocks))
    positions = draw(st.sampled_from(["none", "distance"]))
    return EncoderConfig(
        width=heads * LANES * draw(st.integers(1, 2)),
        heads=heads,
        feedforward=LANES * draw(st.integers(1, 5)),
        blocks=blocks,
        window=window,
        positions=positions,
        reach=draw(side) if positions == "distance" else None,
        stack=stack,
        subsampling=draw(st.sampled_from(["linear", "convolution"])),
        activation=draw(st.sampled_from(["relu", "gelu"])),
    )


def random_classifier(
    config: EncoderConfig, seed: int = 0, dim: int = DIM, phones: int = PHONES
) -> PhoneClassifier:
    """A model in which nothing that is trained is as it began."""
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = PhoneClassifier(dim, phones, config).eval().requires_grad_(False)
    for name, values in model.named_parameters():
        if values.ndim == 1 or name.endswith("table"):
            values.add_(0.3 * torch.randn(values.shape, generator=generator))
    model.mean.normal_(generator=generator)
    model.std.uniform_(0.5, 2, generator=generator)
    return model


def random_frames(count: int, seed: int = 0, dim: int = DIM) -> np.ndarray:
    return (2 * np.random.default_rng(seed).standard_normal((count, dim))).astype(np.float32)


def ranges_of(model: PhoneClassifier) -> dict[str, Tensor]:
    """Ranges over frames like those of the tests."""
    dim = len(model.mean)
    return input_ranges(model, [random_frames(200, seed, dim) for seed in (90, 91)])


def as_arrays(tensors: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    return {name: values.numpy() for name, values in tensors.items()}


def shapes_of(model: PhoneClassifier) -> dict[str, tuple[int, ...]]:
    return shapes(model.config, len(model.mean), model.num_phones)


def array_encoder(model: PhoneClassifier, ranges: Mapping[str, Tensor]) -> ArrayEncoder:
    """The same model on arrays."""
    weights = as_arrays(model.state_dict())
    made = ready_arrays(weights, {}, as_arrays(ranges), model.config, shapes_of(model))
    assert made is not None
    return ArrayEncoder(made, model.config)


def chords(seed: int = 0) -> np.ndarray:
    """Three seconds of sines and noise, other ones every quarter of a second."""
    random = np.random.default_rng(seed)
    time = np.arange(4000)[:, None] / 16_000
    pieces = [
        np.sin(2 * np.pi * random.uniform(100, 7000, 8) * time) @ levels
        for levels in random.exponential(0.05, (12, 8))
    ]
    noise = np.repeat(random.exponential(0.02, 12), 4000) * random.normal(size=48_000)
    return (np.concatenate(pieces) + noise).astype(np.float32)


def array_checkpoint(config: EncoderConfig = CONFIG, **fields) -> Checkpoint:
    """A whole model with ranges, with random weights that hear many phones in :func:`chords`."""
    phones, front_end = arpabet(), FrontEndConfig(num_mel_bins=20)
    speech = FrontEnd(front_end)(chords(99))
    model = random_classifier(config, 0, front_end.dim, len(phones))
    model.mean.copy_(torch.from_numpy(speech.mean(0)))
    model.std.copy_(torch.from_numpy(speech.std(0)))
    for name, values in model.named_parameters():
        if name.endswith(("project.weight", "join.weight", "classify.weight")):
            values.mul_(GAIN)  # much depends on what lies around a frame
    model.classify.weight.mul_(3)
    scores = model(torch.from_numpy(speech)[None])[0]
    model.classify.bias.sub_(scores.mean(0).view(-1, len(phones)).repeat(config.stack, 1).flatten())
    made = Checkpoint(
        "arrays", model, front_end, phones, PhoneModel.uniform(len(phones), min_frames=3),
        DecoderOptions(prior_scale=0.0), ranges=input_ranges(model, [speech]),
    )  # fmt: skip
    return replace(made, **fields)


def save_array_model(folder: Path, config: EncoderConfig = CONFIG, **fields) -> Path:
    array_checkpoint(config, **fields).save(folder)
    return folder
