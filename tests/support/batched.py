"""Utterances whose frames say where they are from, in batches."""

from __future__ import annotations

import numpy as np

from speechattn.audio.features import FrontEndConfig
from speechattn.training.batches import TrainingBatches
from speechattn.training.config import RecipeConfig
from speechattn.training.config_sections import AugmentationConfig, TrainingConfig

SIL = 0
DIM = 3
# The augmenter leaves cepstra as they are: what the frames say can be read exactly.
CEPSTRA = FrontEndConfig(kind="mfcc", num_mel_bins=DIM, num_ceps=DIM)
LOG_MEL = FrontEndConfig(num_mel_bins=DIM)


def recipe(*, speed: float = 0.0, seed: int = 0, **training) -> RecipeConfig:
    training = {"batch_frames": 600, "crop_frames": 200, "max_silence_frames": 0, **training}
    return RecipeConfig(
        train=("c/t",),
        dev=("c/d",),
        test=("c/e",),
        seed=seed,
        front_end=CEPSTRA,
        training=TrainingConfig(**training),
        augmentation=AugmentationConfig(speed=speed),
    )


def telling(lengths, seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    """Utterances whose frames are (own number, frame number, 1), with random runs of labels."""
    random = np.random.default_rng(seed)
    made = []
    for number, length in enumerate(lengths):
        labels = np.repeat(random.integers(0, 5, length), random.integers(1, 30, length))[:length]
        frames = np.stack([np.full(length, number), np.arange(length), np.ones(length)], 1)
        made.append((frames.astype(np.float32), labels))
    return made


def epochs(batches: TrainingBatches, utterances: int, count: int) -> list[list[list[int]]]:
    """Numbers of the utterances in every batch of the first epochs, by counting them."""
    found, step = [], 0
    for _ in range(count):
        epoch: list[list[int]] = []
        while sum(map(len, epoch)) < utterances:
            epoch.append(batches.batch(step).frames[:, 0, 0].int().tolist())
            step += 1
        found.append(epoch)
    return found


LENGTHS = [37, 150, 420, 81, 199, 200, 201, 12, 1, 333, 64, 64, 64, 2, 98, 130, 177, 55]
