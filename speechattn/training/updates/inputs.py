"""What a training needs: labelled utterances, and some sections of a recipe."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from speechattn.audio.features import FrontEndConfig
from speechattn.corpora.prepared import PreparedUtterance
from speechattn.encoder.kinds import AnyEncoderConfig
from speechattn.training.config_sections import AugmentationConfig, TrainingConfig


class LabelledSet(Protocol):
    """Utterances with frames and labels, such as a prepared set.

    Attributes:
        entries: the utterances.
        phones: names of the classes.
    """

    entries: list[PreparedUtterance]
    phones: tuple[str, ...]

    def frames(self, entry: PreparedUtterance) -> np.ndarray:
        """Return the frames of an utterance, float32, shape (frames, dim)."""

    def coded_frames(self, entry: PreparedUtterance) -> np.ndarray:
        """Return them as a codec leaves them, of the same shape (``codec_probability``)."""

    def labels(self, entry: PreparedUtterance) -> np.ndarray:
        """Return the classes of an utterance, int64, shape (labels,)."""


class TrainingSections(Protocol):
    """The parts of a recipe that training depends on; the recipe of a study may have them too."""

    @property
    def seed(self) -> int:
        """Seed of everything random."""

    @property
    def front_end(self) -> FrontEndConfig:
        """Front end of the frames."""

    @property
    def encoder(self) -> AnyEncoderConfig:
        """Shape of the encoder."""

    @property
    def training(self) -> TrainingConfig:
        """Settings of the training."""

    @property
    def augmentation(self) -> AugmentationConfig:
        """Augmentation of the frames."""

    def to_dict(self) -> dict:
        """Return plain values, one key for each part."""
