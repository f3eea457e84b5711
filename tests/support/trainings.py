"""A small training: its settings, sets of frames that are easily told apart, and a trainer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from speechattn.audio.features import FrontEndConfig
from speechattn.encoder.config import EncoderConfig
from speechattn.training.config import RecipeConfig
from speechattn.training.config_sections import AugmentationConfig, TrainingConfig
from speechattn.training.trainer import Trainer

BINS = 8
PHONES = 4
NO_AUGMENTATION = AugmentationConfig(
    speed=0.0,
    vocal_tract=0.0,
    gain_db=0.0,
    channel_db=0.0,
    noise_probability=0.0,
    band_limit_probability=0.0,
    time_masks=0,
    frequency_masks=0,
)
ALL_AUGMENTATION = AugmentationConfig(noise_probability=0.5, band_limit_probability=0.3)


def recipe(augmentation: AugmentationConfig = ALL_AUGMENTATION, **training) -> RecipeConfig:
    settings = {
        "steps": 9,
        "batch_frames": 400,
        "crop_frames": 80,
        "max_silence_frames": 20,
        "learning_rate": 5e-3,
        "warmup_steps": 3,
        "evaluate_every": 3,
        "checkpoint_every": 3,
        "average_decay": 0.9,
    }
    return RecipeConfig(
        train=("c/t",),
        dev=("c/d",),
        test=("c/e",),
        seed=3,
        front_end=FrontEndConfig(num_mel_bins=BINS),
        encoder=EncoderConfig(
            width=16, heads=2, feedforward=32, blocks=1, window=(4, 4), conv_kernel=3, stack=2
        ),
        training=TrainingConfig(**{**settings, **training}),
        augmentation=augmentation,
    )


def separable(count: int, seed: int, shift: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    """Utterances whose frames are their phone's own vector and some noise."""
    vectors = 9 + 3 * np.random.default_rng(99).standard_normal((PHONES, BINS))
    random = np.random.default_rng(seed)
    utterances = []
    for _ in range(count):
        labels = np.repeat(random.integers(0, PHONES, 12), random.integers(4, 15, 12))
        frames = vectors[labels] + 0.7 * random.standard_normal((len(labels), BINS))
        utterances.append((frames, (labels + shift) % PHONES))
    return utterances


def trainer(
    sets, checkpoint: Path, config: RecipeConfig | None = None, phones=PHONES, **others
) -> Trainer:
    return Trainer(
        config or recipe(),
        *sets,
        num_phones=phones,
        silence=0,
        checkpoint=checkpoint,
        device=torch.device("cpu"),
        **others,
    )


def assert_same_weights(a: dict, b: dict) -> None:
    assert a.keys() == b.keys()
    for name, value in a.items():
        assert torch.equal(value, b[name]), name
