"""Where the attention of an encoder looks: the weights of all its layers and heads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from speechattn.attention.masks import WindowMask
from speechattn.attention.multihead import MultiHeadAttention
from speechattn.encoder.encoder import Encoder
from speechattn.errors import UsageError


@dataclass(frozen=True, eq=False)
class LayerWeights:
    """Attention weights of a layer.

    Attributes:
        left: vectors of the past in its window.
        weights: shape (heads, vectors, left + 1 + right), float32. Column ``c`` is for the key
            ``c - left`` vectors after the query, and 0 where there is none.
    """

    left: int
    weights: np.ndarray


@torch.inference_mode()
def attention_weights(
    encoder: Encoder, frames: Tensor, first: int = 0, end: int | None = None
) -> list[LayerWeights]:
    """Compute the attention weights of a stretch of a recording.

    The stretch is encoded with all the frames around it that its weights depend on, so they are
    those of the whole recording. (A recording must begin with its first frame: the frames of a
    vector are counted from there.)

    Args:
        encoder: of attention with windows.
        frames: of the recording, shape (frames, input_dim).
        first: first frame of the stretch.
        end: frame after its last; None for the end of the recording.

    Returns:
        The weights of each attention layer. Their vectors are those that stand for the frames
        ``first`` to ``end``, ``config.stack`` frames each.

    Raises:
        UsageError: if the encoder has no attention in windows, the stretch is empty, or its
            windows are too wide to be shown.
    """
    layers = [layer for layer in encoder.modules() if isinstance(layer, MultiHeadAttention)]
    if not layers or not all(isinstance(layer.mask, WindowMask) for layer in layers):
        kind = encoder.config.kind or type(encoder.config).__name__
        raise UsageError(
            f"attention: an encoder of kind {kind!r} has no attention in windows; leave it out"
        )
    end = len(frames) if end is None else min(end, len(frames))
    if not 0 <= first < end:
        raise UsageError(f"attention: no frames from {first} to {end} of {len(frames)}")
    stack = encoder.config.stack
    left, right = (encoder.config.context(side) for side in (0, 1))
    begin = 0 if left is None else max(0, first - left) // stack * stack
    stop = len(frames) if right is None else min(len(frames), end + right + stack)
    inputs: list[Tensor] = []

    def keep(_: torch.nn.Module, arguments: tuple[Any, ...]) -> None:
        inputs.append(arguments[0])

    hooks = [layer.register_forward_pre_hook(keep) for layer in layers]
    try:
        encoder.vectors(frames[None, begin:stop])
    finally:
        for hook in hooks:
            hook.remove()
    part = slice((first - begin) // stack, -(-(end - begin) // stack))
    found = []
    for layer, x in zip(layers, inputs, strict=True):
        try:
            weights, reach = layer.window_weights(x, begin // stack)
        except ValueError as error:
            raise UsageError(f"attention: {error}") from None
        found.append(LayerWeights(reach, weights[:, part].float().cpu().numpy()))
    return found
