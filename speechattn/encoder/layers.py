"""Layers of the encoder other than attention, for batches, streams and concatenated sequences.

``forward`` is for batches, ``forward_chunk`` for streams, ``forward_varlen`` for whole sequences
that are concatenated, shape (1, all vectors, width), as :mod:`speechattn.encoder.varlen` needs it.
The last two give the same numbers for a sequence, to the last bit.

A layer that looks ``right`` vectors ahead gives its output ``right`` vectors late in a stream. Its
state lies in a dictionary, whose size does not grow with time as long as the window has limits.
Streams are for evaluation: they have no dropout.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speechattn.attention import kernels
from speechattn.attention.masks import StreamState, valid_frames

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": F.relu, "gelu": F.gelu}


class StreamingLayer(Protocol):
    """Methods of a layer beside ``forward``; attention and the layers of this module have them."""

    def forward_chunk(self, x: Tensor, state: StreamState, last: bool) -> Tensor:
        """Process the next vectors of a stream.

        Args:
            x: shape (1, new vectors, width).
            state: state of the stream between two calls, empty at the beginning.
            last: whether these vectors are the last.

        Returns:
            The outputs that are now complete, shape (1, complete, width).
        """
        ...

    def forward_varlen(self, x: Tensor, lengths: Sequence[int]) -> Tensor:
        """Process whole concatenated sequences, each as :meth:`forward_chunk` does alone.

        Args:
            x: shape (1, all vectors, width).
            lengths: vectors of each sequence.
        """
        ...


class Neighbourhood(nn.Module):
    """Base of layers that compute each output from a few vectors around it; the ends are padded.

    Subclasses define ``_compute``: from (batch, ``left`` + frames + ``right``, width), frames >= 1,
    to (batch, frames, ``width_out``).

    Args:
        left: number of vectors of the past that an output depends on.
        right: number of vectors of the future.
        width_out: width of the output vectors.
    """

    def __init__(self, left: int, right: int, width_out: int) -> None:
        super().__init__()
        self.left, self.right, self.width_out = left, right, width_out

    def forward(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """Compute a batch, shape (batch, frames, width); frames beyond a length count as zeros."""
        if lengths is not None:
            x = x.masked_fill(~valid_frames(lengths, x.shape[1])[:, :, None], 0)
        return self._complete(F.pad(x, (0, 0, self.left, self.right)))

    def forward_chunk(self, x: Tensor, state: StreamState, last: bool) -> Tensor:
        """See :meth:`StreamingLayer.forward_chunk`."""
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

    def _compute(self, x: Tensor) -> Tensor:
        raise NotImplementedError


class Convolution(Neighbourhood):
    """Depthwise convolution over time, then a matrix across channels (after Gulati et al., 2020).

    Args:
        width: number of channels.
        left: vectors of the past in the kernel, which has ``left + 1 + right`` vectors.
        right: vectors of the future in it; 0 is causal.
    """

    def __init__(self, width: int, left: int, right: int) -> None:
        super().__init__(left, right, width)
        self.depthwise = nn.Conv1d(width, width, left + 1 + right, groups=width)
        self.mix = nn.Linear(width, width)

    def _compute(self, x: Tensor) -> Tensor:
        batch, frames, width = x.shape
        if not self._is_offered(x):
            return self.mix(F.silu(self.depthwise(x.transpose(1, 2)).transpose(1, 2)))
        count = frames - self.left - self.right
        number = np.arange(batch, dtype=np.int64)[:, None]
        sequences = number * (frames, 0, count, 0) + (0, frames, 0, count)
        return self.mix(self._convolved(x.flatten(0, 1), 0, sequences).view(batch, count, width))

    def _is_offered(self, x: Tensor) -> bool:
        return kernels.rows.is_offered(x, self.depthwise.weight, cast(Tensor, self.depthwise.bias))

    def _convolved(self, x: Tensor, before: int, sequences: np.ndarray) -> Tensor:
        weight, bias = self.depthwise.weight[:, 0].T, cast(Tensor, self.depthwise.bias)
        return kernels.rows.convolve_silu(x, weight, bias, before, sequences)

    def forward_varlen(self, x: Tensor, lengths: Sequence[int]) -> Tensor:
        """See :meth:`StreamingLayer.forward_varlen`."""
        if not self._is_offered(x):
            parts = x.split(list(lengths), 1)
            padded = [F.pad(part, (0, 0, self.left, self.right)) for part in parts]
            return torch.cat([self._compute(part) for part in padded], 1)
        sequences = kernels.rows.sequence_table(lengths)
        return self.mix(self._convolved(x[0], self.left, sequences)[None])


class Subsampling(Neighbourhood):
    """Two convolutions over time that turn ``stack`` frames into a vector (after Radford et al.,
    2022): one over three neighbouring frames, one over all that lie less than ``stack`` from the
    first frame of a vector. A trained vector is added to every result.

    Args:
        frame_width: numbers of a frame.
        width: numbers of a vector.
        stack: frames of a vector.
        activation: after each convolution, one of ``ACTIVATIONS``.
    """

    def __init__(self, frame_width: int, width: int, stack: int, activation: str = "relu") -> None:
        super().__init__(1, 1, width)
        self.activate = ACTIVATIONS[activation]
        self.stack, self.taps = stack, 2 * stack - 1
        self.first = nn.Linear(3 * frame_width, width)
        self.second = nn.Linear(self.taps * width, width)
        self.offset = nn.Parameter(torch.zeros(width))

    def _compute(self, x: Tensor) -> Tensor:
        batch, vectors, _ = x.shape
        count, stack = vectors - 2, self.stack
        frames = x.reshape(batch, vectors * stack, -1)
        rows = count * stack + stack - 1  # of the first convolution
        near = torch.cat([frames[:, tap : tap + rows] for tap in range(3)], 2)
        h = self.activate(self.first(near))
        taps = [h[:, tap : tap + count * stack : stack] for tap in range(self.taps)]
        return self.activate(self.second(torch.cat(taps, 2))) + self.offset

    def forward_varlen(self, x: Tensor, lengths: Sequence[int]) -> Tensor:
        """See :meth:`StreamingLayer.forward_varlen`."""
        padded = [F.pad(part, (0, 0, 1, 1)) for part in x.split(list(lengths), 1)]
        ends = np.cumsum([part.shape[1] for part in padded])
        y = self._compute(torch.cat(padded, 1))  # also across the ends, which is left out
        starts = [0, *ends[:-1].tolist()]
        return torch.cat([y[:, s : s + count] for s, count in zip(starts, lengths)], 1)


class SequenceDropout(nn.Module):
    """Dropout with one mask for all frames of a sequence (Gal & Ghahramani, 2016).

    A mask for every frame would take a third of a training step on a CPU; this takes nothing.

    Attributes:
        generator: random generator of the masks; None for PyTorch's own.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability
        self.generator: torch.Generator | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Drop numbers of x, shape (batch, frames, width)."""
        if not self.training or self.probability == 0:
            return x
        keep = 1 - self.probability
        shape = x.shape[0], 1, x.shape[2]
        mask = torch.rand(shape, device=x.device, generator=self.generator) < keep
        return x * (mask.to(x.dtype) / keep)


class FeedForward(nn.Module):
    """Two linear layers with an activation between them, for every frame alone.

    Args:
        width: of the vectors.
        inner: of the vectors between the two layers.
        dropout: of these, in training.
        activation: one of ``ACTIVATIONS``.
    """

    right = 0

    def __init__(self, width: int, inner: int, dropout: float, activation: str = "relu") -> None:
        super().__init__()
        self.activate = ACTIVATIONS[activation]
        self.expand = nn.Linear(width, inner)
        self.dropout = SequenceDropout(dropout)
        self.contract = nn.Linear(inner, width)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Process frames, shape (batch, frames, width)."""
        return self.contract(self.dropout(self.activate(self.expand(x))))

    def forward_chunk(self, x: Tensor, state: StreamState, last: bool) -> Tensor:
        """See :meth:`StreamingLayer.forward_chunk`; there is no state."""
        return self.contract(self.activate(self.expand(x)))

    def forward_varlen(self, x: Tensor, lengths: Sequence[int]) -> Tensor:
        """See :meth:`StreamingLayer.forward_varlen`."""
        return self.contract(self.activate(self.expand(x)))


class Residual(nn.Module):
    """``x + dropout(layer(norm(x)))``; in a stream, x waits for the layer."""

    def __init__(self, width: int, layer: nn.Module, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.layer = layer
        self.dropout = SequenceDropout(dropout)

    def forward(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """Process frames, shape (batch, frames, width)."""
        return x + self.dropout(self.layer(self.norm(x), lengths))

    def forward_chunk(self, x: Tensor, state: StreamState, last: bool) -> Tensor:
        """See :meth:`StreamingLayer.forward_chunk`."""
        layer = cast(StreamingLayer, self.layer)
        branch = layer.forward_chunk(self.norm(x), state.setdefault("layer", {}), last)
        waiting = state.get("waiting")
        if waiting is not None and waiting.shape[1]:
            x = torch.cat([waiting, x], 1)
        ready = branch.shape[1]
        if ready == x.shape[1]:
            state["waiting"] = None
            return x + branch
        state["waiting"] = x[:, ready:]
        return x[:, :ready] + branch

    def forward_varlen(self, x: Tensor, lengths: Sequence[int]) -> Tensor:
        """See :meth:`StreamingLayer.forward_varlen`."""
        return x + cast(StreamingLayer, self.layer).forward_varlen(self.norm(x), lengths)
