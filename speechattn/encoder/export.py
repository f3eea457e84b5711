"""The classifier from PyTorch's standard operations alone, for torch.export and ONNX.

The compiled kernels of a model, and the choices that its layers make by length, are for this
package only. Here a window is cut from the keys by index, in blocks of queries as in
:mod:`speechattn.attention.blockwise`, so that one graph serves every length. Rotary positions are
counted from the first key of a block: scores depend on distance alone.
"""

from __future__ import annotations

import copy
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speechattn.attention.blockwise import score_pairs, weigh_scores
from speechattn.attention.masks import WindowMask, block_rows
from speechattn.attention.multihead import MultiHeadAttention
from speechattn.attention.positions import rotate, rotation, sinusoids
from speechattn.encoder.config import EncoderConfig
from speechattn.encoder.encoder import PhoneClassifier
from speechattn.encoder.layers import Convolution, Residual, Subsampling
from speechattn.errors import ConfigError


class ExportableClassifier(nn.Module):
    """A classifier of the encoder of attention, for whole recordings of any length.

    Args:
        classifier: on the CPU, in float32; it is copied.

    Raises:
        ConfigError: if its encoder is of another kind.
    """

    def __init__(self, classifier: PhoneClassifier) -> None:
        super().__init__()
        if not isinstance(classifier.config, EncoderConfig):
            kind = classifier.config.kind
            raise ConfigError(f"encoder.kind: {kind!r} is not exported; only attention is")
        classifier = copy.deepcopy(classifier).cpu().float().eval()
        self.stack, self.phones = classifier.config.stack, classifier.num_phones
        self.classifier = classifier
        self.layers = nn.ModuleList(_exportable(layer) for layer in classifier.layers)
        del classifier.layers

    def forward(self, frames: Tensor) -> Tensor:
        """Return natural logarithms of posteriors.

        Args:
            frames: from the front end, shape (batch, frames, dimension), one or more frames.

        Returns:
            Shape (batch, frames, phones).
        """
        model, count = self.classifier, frames.shape[1]
        x = model.normalise(frames)
        vectors = (count + self.stack - 1) // self.stack
        x = _first(F.pad(x, (0, 0, 0, self.stack - 1)), vectors * self.stack)
        x = model.enter(x.unflatten(1, (-1, self.stack)).flatten(2))
        for layer in self.layers:
            x = layer(x)
        scores = model.classify(model.norm(x))
        scores = scores.unflatten(-1, (self.stack, self.phones)).flatten(1, 2)
        return _first(scores, count).log_softmax(-1)


def _first(x: Tensor, count: int) -> Tensor:
    """Return the first positions of x, by index: a slice would tie the graph to its length."""
    return x.index_select(1, torch.arange(count, device=x.device))


def _exportable(layer: nn.Module) -> nn.Module:
    if isinstance(layer, Subsampling):
        return _Subsampling(layer)
    assert isinstance(layer, Residual)
    inner: nn.Module = layer.layer
    if isinstance(inner, MultiHeadAttention):
        inner = _Attention(inner)
    elif isinstance(inner, Convolution):
        inner = _Convolution(inner)
    return _Residual(layer.norm, inner)


class _Residual(nn.Module):
    def __init__(self, norm: nn.Module, layer: nn.Module) -> None:
        super().__init__()
        self.norm, self.layer = norm, layer

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layer(self.norm(x))


class _Subsampling(nn.Module):
    def __init__(self, layer: Subsampling) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x, None)


class _Convolution(nn.Module):
    def __init__(self, layer: Convolution) -> None:
        super().__init__()
        self.left, self.right = layer.left, layer.right
        self.depthwise, self.mix = layer.depthwise, layer.mix

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(x, (0, 0, self.left, self.right)).transpose(1, 2)
        return self.mix(F.silu(self.depthwise(x).transpose(1, 2)))


class _Attention(nn.Module):
    """Attention of every kind in a window, or without limits on one or both sides."""

    def __init__(self, layer: MultiHeadAttention) -> None:
        super().__init__()
        mask = cast(WindowMask, layer.mask)
        self.left, self.right = mask.left, mask.right
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        layer, count = self.layer, x.shape[1]
        if layer.positions == "sinusoidal":
            positions = torch.arange(count, device=x.device)[:, None]
            x = x + sinusoids(positions, x.shape[2]).to(x.dtype)
        elif layer.positions == "learned":
            x = x + layer.learned.table[:count]
        vectors = layer.project(x).unflatten(-1, (3 * layer.heads, layer.head_width))
        q, k, v = vectors.split(layer.heads, 2)
        if self.left is None or self.right is None:
            out = self._without_limit(q, k, v)
        else:
            out = self._in_blocks(q, k, v, self.left, self.right)
        return layer.join(out.flatten(2))

    def _without_limit(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Let all queries see all keys, and mask what lies beyond a limit on one side."""
        position = torch.arange(q.shape[1], device=q.device)
        distance = position - position[:, None]
        allowed = torch.ones_like(distance, dtype=torch.bool)
        if self.left is not None:
            allowed = allowed & (distance >= -self.left)
        if self.right is not None:
            allowed = allowed & (distance <= self.right)
        q, k, v = q[:, None], k[:, None], v[:, None]
        if self.layer.positions == "rotary":
            cos, sin = (t.to(q.dtype) for t in rotation(position[:, None], q.shape[-1]))
            q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        return self._combine(q, k, v, distance, allowed[None, None, None])[:, 0]

    def _in_blocks(self, q: Tensor, k: Tensor, v: Tensor, left: int, right: int) -> Tensor:
        """Compute blocks of queries, each with the keys that one of them may see."""
        count = q.shape[1]
        rows = block_rows(left, right)
        span = rows + left + right
        blocks = (count + rows - 1) // rows + 1  # one for nothing: torch.export fixes a number 1
        q = _first(F.pad(q, (0, 0, 0, 0, 0, 2 * rows - 1)), blocks * rows)
        q = q.unflatten(1, (-1, rows))
        device = q.device
        start = torch.arange(blocks, device=device)[:, None] * rows
        key = start + torch.arange(span, device=device)  # in the padded sequence
        k, v = (F.pad(x, (0, 0, 0, 0, left, right + 2 * rows))[:, key] for x in (k, v))
        row, column = torch.arange(rows, device=device), torch.arange(span, device=device)
        distance = column - left - row[:, None]
        inside = (key >= left) & (key < count + left)
        allowed = ((distance >= -left) & (distance <= right))[None] & inside[:, None]
        if self.layer.positions == "rotary":
            cos, sin = (t.to(q.dtype) for t in rotation(column[:, None], q.shape[-1]))
            q, k = rotate(q, cos[left : left + rows], sin[left : left + rows]), rotate(k, cos, sin)
        out = self._combine(q, k, v, distance, allowed[None, None])
        return _first(out.flatten(1, 2), count)

    def _combine(
        self, q: Tensor, k: Tensor, v: Tensor, distance: Tensor, allowed: Tensor
    ) -> Tensor:
        """Return the weighted sums of the values, shape (batch, blocks, rows, heads, d)."""
        score = score_pairs(q, k, self.layer.energy)
        if self.layer.bias is not None:
            score = score + self.layer.bias(distance[..., None])[:, None]
        weight = weigh_scores(score, allowed, self.layer.weights)
        return torch.einsum("bhcrk,bckhd->bcrhd", weight, v)
