"""Attention windows drawn for the batches of a model that is to work with any window."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from speechattn.encoder.baselines import AnyEncoderConfig
from speechattn.encoder.config import EncoderConfig

OWN_WINDOW_SHARE = 0.5  # share of training windows that are the encoder's own
NAMED_SHARE = 0.25  # of those that the recipe names, if it names any
EQUAL_SIDES_SHARE = 0.5  # share of drawn windows with both sides alike


def draw_window(
    config: AnyEncoderConfig, seed: int, number: int, named: Sequence[tuple] = ()
) -> tuple:
    """Draw an attention window to train with.

    Half of the windows are the encoder's own, which most will use; a quarter are among those named.
    Of the others, half have both sides alike. Sides are spread evenly in their logarithm.

    Args:
        config: encoder with ``any_window``.
        seed: seed of the training.
        number: number of the draw.
        named: windows for a use of their own, such as listening, see ``training.windows``.

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
    if kind < OWN_WINDOW_SHARE:
        return config.window
    if named and kind < OWN_WINDOW_SHARE + NAMED_SHARE:
        return named[int(random.integers(len(named)))]
    left = side(max(1, least))
    return left, left if random.random() < EQUAL_SIDES_SHARE else side(least)
