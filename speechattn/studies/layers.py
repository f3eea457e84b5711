"""The attention layers that the tasks build their models of."""

from __future__ import annotations

from torch import Tensor, nn

from speechattn.attention.multihead import MultiHeadAttention
from speechattn.encoder.layers import FeedForward, Residual

INNER = 2  # width inside a feed-forward layer, in widths of the model


def with_feed_forward(width: int, layers: list[nn.Module]) -> nn.ModuleList:
    """Each of the layers, then two matrices for every position alone; all added to what comes in.

    Args:
        width: of the vectors in and out.
        layers: from (batch, positions, width), and a second argument, to the same shape.

    Returns:
        Modules that take ``x`` and that second argument each.
    """
    made = []
    for layer in layers:
        made += [layer, FeedForward(width, INNER * width, 0.0)]
    return nn.ModuleList(Residual(width, layer, 0.0) for layer in made)


def attention_layers(width: int, heads: int, count: int, **kind: object) -> nn.ModuleList:
    """Layers of self-attention, each with its feed-forward layer.

    Args:
        width: of the vectors.
        heads: of each attention layer.
        count: of attention layers.
        kind: positions, visibility and the rest of
            :class:`speechattn.attention.multihead.MultiHeadAttention`.
    """
    return with_feed_forward(
        width, [MultiHeadAttention(width, heads, **kind) for _ in range(count)]
    )


def through(layers: nn.ModuleList, x: Tensor, second: object = None) -> Tensor:
    """What comes out of the last layer; ``second`` goes into each of them."""
    for layer in layers:
        x = layer(x, second)
    return x


def weights_of(model: nn.Module) -> int:
    """Numbers that training changes."""
    return sum(parameter.numel() for parameter in model.parameters())
