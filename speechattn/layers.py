"""The layers of the encoder, each for whole batches (``forward``) and for a stream (``advance``).

A layer that looks ``right`` frames ahead gives its output ``right`` frames late in a stream; what it
must remember lies in a state dictionary of tensors, whose size does not grow with time as long as
the window has limits. Whole and streamed give the same numbers; streams are for evaluation (no
dropout).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speechattn.attention import truncated_attention, valid_frames

ROTARY_BASE = 10_000.0  # of the slowest rotation; Su et al., 2021


class SelfAttention(nn.Module):
    """Truncated multi-head self-attention; heads are concatenated and joined by a matrix.

    Args:
        width: of the vectors in and out; ``heads`` must divide it into even parts.
        heads: number of heads.
        left: encoder frames of the past that a frame sees, None for all.
        right: encoder frames of the future that a frame sees, None for all.
        rotary: rotate queries and keys by their position, which makes scores depend on distance
            (RoFormer, Su et al., 2021); without it a frame cannot tell the order of its window.
    """

    def __init__(
        self, width: int, heads: int, left: int | None, right: int | None, *, rotary: bool = True
    ):
        super().__init__()
        self.heads, self.left, self.right, self.rotary = heads, left, right, rotary
        self.project = nn.Linear(width, 3 * width)  # Wq, Wk and Wv in one
        self.join = nn.Linear(width, width)
        d = width // heads
        # No buffer: a model in half precision must still count hours of frames exactly.
        self._rates = ROTARY_BASE ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)

    def forward(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """x: shape (batch, frames, width)."""
        q, k, v = self._heads(x, 0)
        out = truncated_attention(q, k, v, self.left, self.right, lengths=lengths)
        return self.join(out.flatten(2))

    def advance(self, x: Tensor, state: dict, last: bool) -> Tensor:
        """x: shape (1, new frames, width); returns the outputs that are now complete."""
        position = state.get("received", 0)
        q, k, v = self._heads(x, position)
        if "k" in state:
            q, k, v = (torch.cat([state[n], new], 1) for n, new in zip("qkv", (q, k, v)))
        ready = q.shape[1] if last else ready_frames(q.shape[1], self.right)
        offset = k.shape[1] - q.shape[1]  # keys before the first query
        out = truncated_attention(q[:, :ready], k, v, self.left, self.right, offset=offset)
        keep = offset + ready if self.left is None else min(offset + ready, self.left)
        forget = offset + ready - keep
        state.update(
            q=q[:, ready:], k=k[:, forget:], v=v[:, forget:], received=position + x.shape[1]
        )
        return self.join(out.flatten(2))

    def _heads(self, x: Tensor, position: int) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = self.project(x).unflatten(-1, (3, self.heads, -1)).unbind(2)
        if self.rotary:
            angles = torch.arange(position, position + x.shape[1])[:, None, None] * self._rates
            cos, sin = angles.cos().to(x.device, x.dtype), angles.sin().to(x.device, x.dtype)
            q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        return q, k, v


def ready_frames(waiting: int, right: int | None) -> int:
    """Of ``waiting`` frames, how many have all of their ``right`` frames of future."""
    return 0 if right is None else max(0, waiting - right)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate the pairs (i, i + d/2) of the last dimension; x: shape (batch, frames, heads, d)."""
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)


class Convolution(nn.Module):
    """Depthwise convolution over time, then a matrix across channels (after Gulati et al., 2020).

    Args:
        width: channels.
        kernel: frames, odd; ``kernel // 2`` of them lie in the future.
    """

    def __init__(self, width: int, kernel: int):
        super().__init__()
        self.right = kernel // 2
        self.depthwise = nn.Conv1d(width, width, kernel, groups=width)
        self.mix = nn.Linear(width, width)

    def forward(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """x: shape (batch, frames, width); frames beyond a length count as zeros."""
        if lengths is not None:
            x = x.masked_fill(~valid_frames(lengths, x.shape[1])[:, :, None], 0)
        return self._convolve(F.pad(x, (0, 0, self.right, self.right)))

    def advance(self, x: Tensor, state: dict, last: bool) -> Tensor:
        """x: shape (1, new frames, width); returns the outputs that are now complete."""
        before = state.get("x")
        if before is None:
            before = x.new_zeros(1, self.right, x.shape[2])
        x = torch.cat([before, F.pad(x, (0, 0, 0, self.right if last else 0))], 1)
        ready = max(0, x.shape[1] - 2 * self.right)
        state["x"] = x[:, ready:]
        return self._convolve(x)

    def _convolve(self, x: Tensor) -> Tensor:
        if x.shape[1] <= 2 * self.right:
            return x[:, :0]
        return self.mix(F.silu(self.depthwise(x.transpose(1, 2)).transpose(1, 2)))


class SequenceDropout(nn.Module):
    """Dropout with one mask for all frames of a sequence (Gal & Ghahramani, 2016).

    A mask for every frame takes a third of a training step on a CPU; this one takes nothing.
    """

    def __init__(self, probability: float):
        super().__init__()
        self.probability = probability

    def forward(self, x: Tensor) -> Tensor:
        """x: shape (batch, frames, width)."""
        if not self.training or self.probability == 0:
            return x
        keep = 1 - self.probability
        mask = torch.rand(x.shape[0], 1, x.shape[2], device=x.device) < keep
        return x * (mask.to(x.dtype) / keep)


class FeedForward(nn.Module):
    """Two matrices with a ReLU between them, for every frame alone."""

    right = 0

    def __init__(self, width: int, inner: int, dropout: float):
        super().__init__()
        self.expand = nn.Linear(width, inner)
        self.dropout = SequenceDropout(dropout)
        self.contract = nn.Linear(inner, width)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """x: shape (batch, frames, width)."""
        return self.contract(self.dropout(F.relu(self.expand(x))))

    def advance(self, x: Tensor, state: dict, last: bool) -> Tensor:
        """Nothing to remember."""
        return self.contract(F.relu(self.expand(x)))


class Residual(nn.Module):
    """``x + layer(norm(x))``, dropout on the branch; in a stream x waits until the layer is ready."""

    def __init__(self, width: int, layer: nn.Module, dropout: float):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.layer = layer
        self.dropout = SequenceDropout(dropout)

    def forward(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """x: shape (batch, frames, width)."""
        return x + self.dropout(self.layer(self.norm(x), lengths))

    def advance(self, x: Tensor, state: dict, last: bool) -> Tensor:
        """x: shape (1, new frames, width); returns the outputs that are now complete."""
        branch = self.layer.advance(self.norm(x), state.setdefault("layer", {}), last)
        if "waiting" in state:
            x = torch.cat([state["waiting"], x], 1)
        ready = branch.shape[1]
        state["waiting"] = x[:, ready:]
        return x[:, :ready] + branch
