"""Build the layers of an encoder of any kind from its configuration.

For the methods of a layer see :mod:`speechattn.encoder.layers`.
"""

from __future__ import annotations

from torch import nn

from speechattn.attention.masks import WindowMask
from speechattn.attention.multihead import MultiHeadAttention
from speechattn.encoder.baselines import (
    Delayed,
    FeedForwardBlock,
    FrameWindow,
    Recurrent,
    TimeConvolution,
)
from speechattn.encoder.config import EncoderConfig
from speechattn.encoder.kinds import AnyEncoderConfig, CnnConfig, FramesConfig, RnnConfig
from speechattn.encoder.layers import Convolution, FeedForward, Residual, Subsampling


def encoder_layers(config: AnyEncoderConfig, input_dim: int) -> tuple[nn.Module, list[nn.Module]]:
    """Build the input layer and the layers after it.

    Args:
        config: configuration of any kind.
        input_dim: numbers of a frame.

    Returns:
        A module from (batch, vectors, input_dim * stack) to the input of the first layer, and the
        layers, the last of which gives (batch, vectors, config.width).
    """
    if isinstance(config, FramesConfig):
        return nn.Identity(), _frames_layers(config, input_dim * config.stack)
    if isinstance(config, EncoderConfig) and config.subsampling == "convolution":
        first = Subsampling(input_dim, config.width, config.stack, config.activation)
        return nn.Identity(), [first, *_attention_layers(config)]
    enter = nn.Linear(input_dim * config.stack, config.width)
    if isinstance(config, CnnConfig):
        return enter, _cnn_layers(config)
    if isinstance(config, RnnConfig):
        return enter, _rnn_layers(config)
    return enter, _attention_layers(config)


def encoder_windows(config: EncoderConfig) -> list[WindowMask]:
    """Return the mask of the attention layer of every block, in encoder vectors."""
    return [WindowMask(*(_vectors(side, config.stack) for side in pair)) for pair in config.windows]


def _vectors(frames: int | None, stack: int) -> int | None:
    return None if frames is None else frames // stack


def _attention_layers(config: EncoderConfig) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for window, reach in zip(encoder_windows(config), config.reaches):
        branches: list[nn.Module] = [_attention(config, window, reach)]
        if config.conv_kernel:
            branches.append(Convolution(config.width, *config.conv_sides))
        branches.append(
            FeedForward(config.width, config.feedforward, config.dropout, config.activation)
        )
        layers += [Residual(config.width, branch, config.dropout) for branch in branches]
    return layers


def _attention(config: EncoderConfig, window: WindowMask, reach: int | None) -> MultiHeadAttention:
    """Build the attention layer of a block; ``reach`` is in 10 ms frames."""
    return MultiHeadAttention(
        config.width,
        config.heads,
        scores=config.scores,
        weights=config.weights,
        positions=config.positions,
        mask=window,
        trained_length=_vectors(config.trained_length, config.stack),
        reach=_vectors(reach, config.stack),
        known_finite=True,
    )


def _frames_layers(config: FramesConfig, width_in: int) -> list[nn.Module]:
    left, right = (frames // config.stack for frames in config.window)
    first = FrameWindow(width_in, config.width, left, right, config.dropout)
    return [
        first,
        *(FeedForwardBlock(config.width, config.dropout) for _ in range(config.layers - 1)),
    ]


def _cnn_layers(config: CnnConfig) -> list[nn.Module]:
    convolutions = [TimeConvolution(config.width, *layer) for layer in config.layers]
    return [Residual(config.width, layer, config.dropout) for layer in convolutions]


def _rnn_layers(config: RnnConfig) -> list[nn.Module]:
    recurrent = [
        Recurrent(config.width, config.cell, config.bidirectional) for _ in range(config.layers)
    ]
    layers: list[nn.Module] = [Residual(config.width, layer, config.dropout) for layer in recurrent]
    return [Delayed(layers, config.delay // config.stack)] if config.delay else layers
