"""Layers of the encoders that attention is compared with: nets on a window of frames, convolutions.

As in :mod:`speechattn.encoder.layers`, each is for whole batches (``forward``) and for a stream
(``advance``), with the same numbers.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from speechattn.encoder.layers import Neighbourhood, SequenceDropout


class FrameWindow(Neighbourhood):
    """A window of vectors side by side, times a matrix: the first layer of a net on frames.

    Args:
        width_in: of the vectors in.
        width: of the vectors out.
        left: vectors of the past in the window.
        right: vectors of the future in it.
        dropout: probability in training.
    """

    def __init__(self, width_in: int, width: int, left: int, right: int, dropout: float):
        super().__init__(left, right, width)
        # A convolution is that product, without a copy of every window.
        self.weigh = nn.Conv1d(width_in, width, left + 1 + right)
        self.norm = nn.LayerNorm(width)
        self.dropout = SequenceDropout(dropout)

    def _compute(self, x: Tensor) -> Tensor:
        weighed = self.weigh(x.transpose(1, 2)).transpose(1, 2)
        return self.dropout(F.relu(self.norm(weighed)))


class Hidden(nn.Module):
    """A matrix, normalisation and a ReLU, for every vector alone.

    Args:
        width: of the vectors in and out.
        dropout: probability in training.
    """

    def __init__(self, width: int, dropout: float):
        super().__init__()
        self.weigh = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        self.dropout = SequenceDropout(dropout)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """x: shape (batch, frames, width)."""
        return self.dropout(F.relu(self.norm(self.weigh(x))))

    def advance(self, x: Tensor, state: dict, last: bool) -> Tensor:
        """Nothing to remember."""
        return self(x)


class TimeConvolution(Neighbourhood):
    """Convolution over time and all channels, a ReLU, then a matrix across channels.

    Args:
        width: channels.
        left: vectors of the past that are reached, a multiple of the dilation.
        right: vectors of the future, likewise; 0 is causal.
        dilation: distance between the vectors that are seen.
    """

    def __init__(self, width: int, left: int, right: int, dilation: int):
        super().__init__(left, right, width)
        kernel = (left + right) // dilation + 1
        self.weigh = nn.Conv1d(width, width, kernel, dilation=dilation)
        self.mix = nn.Linear(width, width)

    def _compute(self, x: Tensor) -> Tensor:
        return self.mix(F.relu(self.weigh(x.transpose(1, 2)).transpose(1, 2)))
