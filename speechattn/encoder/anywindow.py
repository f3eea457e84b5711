"""One model for any window: trained with windows drawn at random, told at work which to use.

Truncation takes nothing but keys away, and no weight depends on the window. A model that has seen many
in training works with each of them, as a network trained at many widths works at each (Yu et al., 2019,
"Slimmable neural networks").
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from speechattn.attention.multihead import MultiHeadAttention
from speechattn.encoder.baselines import AnyEncoderConfig
from speechattn.encoder.build import encoder_windows
from speechattn.encoder.config import EncoderConfig
from speechattn.encoder.encoder import Encoder
from speechattn.errors import ConfigError
from speechattn.timing import SHIFT_MS

Pair = tuple[int, int]  # left and right, 10 ms frames

ALIKE = 0.5  # share of draws with both sides alike


def draw_window(config: EncoderConfig, seed: int, number: int) -> Pair:
    """A window to train with, in 10 ms frames; a small one as often as one twice as large.

    Half of the draws have both sides alike, the others draw each.

    Args:
        config: with ``any_window``.
        seed: of the training.
        number: of the draw.
    """
    random = np.random.default_rng((seed, 3, number))  # 1 and 2: see batches
    least, most = (side // config.stack for side in config.any_window)

    def side() -> int:
        drawn = math.exp(random.uniform(math.log(1 + least), math.log(2 + most))) - 1
        return min(most, int(drawn)) * config.stack

    left = side()
    return left, left if random.random() < ALIKE else side()


def set_window(encoder: Encoder, window: tuple) -> None:
    """Have the blocks of an encoder look through this window, until it is set again.

    Args:
        encoder: of attention, with ``any_window``, and whatever is on it.
        window: left and right, 10 ms frames, or such a pair for every block.

    Raises:
        ConfigError: if it was not trained for this window.
    """
    encoder.config = dataclasses.replace(encoder.config, window=window)
    layers = [layer for layer in encoder.layers.modules() if isinstance(layer, MultiHeadAttention)]
    for layer, seen in zip(layers, encoder_windows(encoder.config), strict=True):
        layer.visibility = seen


def check_window(config: AnyEncoderConfig, window: Pair) -> None:
    """Raises ConfigError, with the way out, if a model was not trained for a window.

    Args:
        config: of its encoder.
        window: left and right, 10 ms frames.
    """
    asked = "window {}/{}".format(*window)
    if not isinstance(config, EncoderConfig):
        raise ConfigError(f"{asked}: this model's encoder is of kind {config.kind!r}, without one")
    if config.any_window is None:
        own = sorted({str(list(pair)) for pair in config.windows})
        raise ConfigError(
            f"{asked}: this model was trained for its own window alone ({', '.join(own)}); leave "
            "the window out, or train a model with encoder.any_window"
        )
    least, most = config.any_window
    for side in window:
        if not least <= side <= most or side % config.stack:
            steps = f" in steps of {config.stack}" if config.stack > 1 else ""
            raise ConfigError(
                f"{asked}: {side} frames; this model was trained for {least} to {most}{steps} "
                f"(frames of {SHIFT_MS:g} ms); choose one of these, or train a model with another "
                "encoder.any_window"
            )
