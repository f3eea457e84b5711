"""The layers of the encoder but for attention, for batches (``forward``) and streams (``advance``).

``together`` computes whole sequences laid end to end, shape (1, all vectors, width), as
:mod:`speechattn.encoder.varlen` needs it: each as ``advance`` alone does, to the last bit.

A layer that looks ``right`` frames ahead gives its output ``right`` frames late in a stream; what it
must remember lies in a state dictionary of tensors or None, whose size does not grow with time as long as
the window has limits. Whole and streamed give the same numbers; streams are for evaluation (no
dropout).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speechattn.attention.kernels import rows
from speechattn.attention.masks import valid_frames


class Neighbourhood(nn.Module):
    """Base of layers that compute each output from a few vectors around it, zeros beyond the ends.

    A layer defines ``_compute``: from (batch, ``left`` + frames + ``right``, width), frames >= 1, to
    (batch, frames, ``width_out``).

    Args:
        left: vectors of the past that are seen.
        right: vectors of the future.
        width_out: of the vectors out.
    """

    def __init__(self, left: int, right: int, width_out: int):
        super().__init__()
        self.left, self.right, self.width_out = left, right, width_out

    def forward(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """x: shape (batch, frames, width); frames beyond a length count as zeros."""
        if lengths is not None:
            x = x.masked_fill(~valid_frames(lengths, x.shape[1])[:, :, None], 0)
        return self._complete(F.pad(x, (0, 0, self.left, self.right)))

    def advance(self, x: Tensor, state: dict, last: bool) -> Tensor:
        """x: shape (1, new frames, width); returns the outputs that are now complete."""
        before = state.get("x")
        if before is None:
            before = x.new_zeros(1, self.left, x.shape[2])
        x = torch.cat([before, F.pad(x, (0, 0, 0, self.right if last else 0))], 1)
        ready = max(0, x.shape[1] - self.left - self.right)
        state["x"] = x[:, ready:]
        return self._complete(x)

    def _complete(self, x: Tensor) -> Tensor:
        if x.shape[1] <= self.left + self.right:
            return x.new_zeros(x.shape[0], 0, self.width_out)
        return self._compute(x)


class Convolution(Neighbourhood):
    """Depthwise convolution over time, then a matrix across channels (after Gulati et al., 2020).

    Args:
        width: channels.
        left: frames of the past in the kernel, of ``left + 1 + right`` frames.
        right: frames of the future in it; 0 is causal.
    """

    def __init__(self, width: int, left: int, right: int):
        super().__init__(left, right, width)
        self.depthwise = nn.Conv1d(width, width, left + 1 + right, groups=width)
        self.mix = nn.Linear(width, width)

    def _compute(self, x: Tensor) -> Tensor:
        batch, rows, width = x.shape
        if not self._is_offered(x):
            return self.mix(F.silu(self.depthwise(x.transpose(1, 2)).transpose(1, 2)))
        count = rows - self.left - self.right
        number = np.arange(batch, dtype=np.int64)[:, None]
        sequences = number * (rows, 0, count, 0) + (0, rows, 0, count)
        return self.mix(self._convolved(x.flatten(0, 1), 0, sequences).view(batch, count, width))

    def _is_offered(self, x: Tensor) -> bool:
        return rows.is_offered(x, self.depthwise.weight, self.depthwise.bias)

    def _convolved(self, x: Tensor, before: int, sequences: np.ndarray) -> Tensor:
        weight, bias = self.depthwise.weight[:, 0].T, self.depthwise.bias
        return rows.convolved(x, weight, bias, before, sequences)

    def together(self, x: Tensor, sizes: Sequence[int]) -> Tensor:
        """See the module; ``sizes``: vectors of each sequence."""
        if not self._is_offered(x):
            parts = [F.pad(part, (0, 0, self.left, self.right)) for part in x.split(list(sizes), 1)]
            return torch.cat([self._compute(part) for part in parts], 1)
        sequences = rows.end_to_end(sizes)
        return self.mix(self._convolved(x[0], self.left, sequences)[None])


class SequenceDropout(nn.Module):
    """Dropout with one mask for all frames of a sequence (Gal & Ghahramani, 2016).

    A mask for every frame takes a third of a training step on a CPU; this one takes nothing.

    Attributes:
        generator: that draws the masks; None for torch's own.
    """

    def __init__(self, probability: float):
        super().__init__()
        self.probability = probability
        self.generator: torch.Generator | None = None

    def forward(self, x: Tensor) -> Tensor:
        """x: shape (batch, frames, width)."""
        if not self.training or self.probability == 0:
            return x
        keep = 1 - self.probability
        shape = x.shape[0], 1, x.shape[2]
        mask = torch.rand(shape, device=x.device, generator=self.generator) < keep
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

    def together(self, x: Tensor, sizes: Sequence[int]) -> Tensor:
        """See the module."""
        return self.contract(F.relu(self.expand(x)))


class Residual(nn.Module):
    """``x + layer(norm(x))``, dropout on the branch; in a stream x waits for the layer."""

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
        waiting = state.get("waiting")
        if waiting is not None and waiting.shape[1]:
            x = torch.cat([waiting, x], 1)
        ready = branch.shape[1]
        if ready == x.shape[1]:
            state["waiting"] = None
            return x + branch
        state["waiting"] = x[:, ready:]
        return x[:, :ready] + branch

    def together(self, x: Tensor, sizes: Sequence[int]) -> Tensor:
        """See the module; ``sizes``: vectors of each sequence."""
        return x + self.layer.together(self.norm(x), sizes)
