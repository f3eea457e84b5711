"""Frames that sound a little like speech, and what augmentation makes of them."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from speechattn.audio.features import FrontEndConfig
from speechattn.training.augmentation import (
    Augmenter,
)
from speechattn.training.config_sections import AugmentationConfig

BINS = 80
FRONT_END = FrontEndConfig(num_mel_bins=BINS)
OFF = {
    "speed": 0.0,
    "vocal_tract": 0.0,
    "gain_db": 0.0,
    "channel_db": 0.0,
    "noise_probability": 0.0,
    "band_limit_probability": 0.0,
    "time_masks": 0,
    "frequency_masks": 0,
}
PARTS = {
    "vocal_tract": {"vocal_tract": 0.2},
    "gain": {"gain_db": 6.0},
    "channel": {"channel_db": 3.0},
    "noise": {"noise_probability": 1.0},
    "room": {"room_probability": 1.0},
    "band_limit": {"band_limit_probability": 1.0},
    "time_masks": {"time_masks": 3, "time_mask_frames": 9},
    "frequency_masks": {"frequency_masks": 2, "frequency_mask_bins": 9},
}
EVERYTHING = {key: value for part in PARTS.values() for key, value in part.items()}
NEPERS_PER_DB = math.log(10) / 10


def augmenter(
    seed: int = 0, front_end: FrontEndConfig = FRONT_END, noises=(), **parts
) -> Augmenter:
    generator = torch.Generator().manual_seed(seed)
    return Augmenter(AugmentationConfig(**{**OFF, **parts}), front_end, generator, noises)


def speechlike(batch: int = 6, frames: int = 50, seed: int = 1) -> Tensor:
    """Log-mel frames of about the level and the spread of speech."""
    generator = torch.Generator().manual_seed(seed)
    return 9 + 3 * torch.randn(batch, frames, BINS, generator=generator)


def full(x: Tensor) -> Tensor:
    return torch.full((len(x),), x.shape[1])


def masked(augment: Augmenter, x: Tensor, lengths: Tensor) -> Tensor:
    """A batch augmented and masked, as training does it."""
    return augment.mask(augment(x, lengths), lengths)


def mel(hertz):
    return 1127 * np.log1p(np.asarray(hertz) / 700)


# Centres of the filters in mel, as Kaldi places them: the inner ones of evenly spaced points.
CENTRES = np.linspace(mel(20.0), mel(8000.0), BINS + 2)[1:-1]
CENTRES_HZ = 700 * np.expm1(CENTRES / 1127)


def added(out: Tensor, x: Tensor) -> Tensor:
    """Energy that the output has beyond the input."""
    return out.double().exp() - x.double().exp()


RECORDED = [9 + np.sin(np.arange(37 * BINS)).reshape(37, BINS).astype(np.float16)]
