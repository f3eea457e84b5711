"""Attention windows drawn for the batches of a model that is to work with any window."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from speechattn.encoder.config import EncoderConfig
from speechattn.encoder.kinds import AnyEncoderConfig
from speechattn.training.updates.inputs import TrainingSections

MIN_WINDOWS = 4  # in each batch of a model for any window; a multiple of the replicas
OWN_SHARE = 0.5  # share of training windows that are the encoder's own
OWN_SHARE_OF_SECOND_VIEWS = 0.25  # the first views all have it
NAMED_SHARE = 0.5  # of the others: those that the recipe names, if it names any
EQUAL_SIDES_SHARE = 0.5  # share of drawn windows with both sides alike


def batch_windows(config: TrainingSections, number: int) -> list[tuple]:
    """Draw windows for the parts of a batch; none if the encoder has its own.

    With two views they are for the second ones.

    Args:
        config: recipe.
        number: number of the batch.
    """
    encoder, settings = config.encoder, config.training
    if not isinstance(encoder, EncoderConfig) or not encoder.any_window:
        return []
    count = -(-MIN_WINDOWS // settings.replicas) * settings.replicas
    seed, named = config.seed, settings.windows
    own = OWN_SHARE_OF_SECOND_VIEWS if settings.consistency_weight else OWN_SHARE
    return [draw_window(encoder, seed, count * number + i, named, own) for i in range(count)]


def draw_window(
    config: AnyEncoderConfig,
    seed: int,
    number: int,
    named: Sequence[tuple] = (),
    own_share: float = OWN_SHARE,
) -> tuple:
    """Draw an attention window to train with.

    Some windows are the encoder's own, which most will use; half of the others are among those
    named. Of the rest, half have both sides alike. Sides are spread evenly in their logarithm.

    Args:
        config: encoder with ``any_window``.
        seed: seed of the training.
        number: number of the draw.
        named: windows for a use of their own, such as listening, see ``training.windows``.
        own_share: share of windows that are the encoder's own.

    Returns:
        Frames (10 ms) to the left and to the right, or one such pair for each block.
    """
    assert isinstance(config, EncoderConfig) and config.any_window is not None
    random = np.random.default_rng((seed, 3, number))  # 1 and 2: batches
    least, most = (side // config.stack for side in config.any_window)

    def side(least: int) -> int:
        drawn = math.exp(random.uniform(math.log(1 + least), math.log(2 + most))) - 1
        return min(most, int(drawn)) * config.stack

    kind = random.random()
    if kind < own_share:
        return config.window
    if named and kind < own_share + (1 - own_share) * NAMED_SHARE:
        return named[int(random.integers(len(named)))]
    left = side(max(1, least))
    return left, left if random.random() < EQUAL_SIDES_SHARE else side(least)
