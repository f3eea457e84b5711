"""Layers of the encoders that truncated self-attention is compared with: frames, CNN, RNN.

Their configurations are in :mod:`speechattn.encoder.kinds`. As in :mod:`speechattn.encoder.layers`,
``forward`` is for batches and ``forward_chunk`` for streams, with the same numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from speechattn.attention.masks import StreamState, valid_frames
from speechattn.encoder.layers import Neighbourhood, SequenceDropout, StreamingLayer
from speechattn.encoder.onednn import fast_bfloat16


class Recurrent(nn.Module):
    """An LSTM or a GRU. If bidirectional, each direction gives half of the vectors.

    Args:
        width: width of the vectors.
        cell: ``"lstm"`` or ``"gru"``.
        bidirectional: whether there is a direction from the end. A stream then waits for the end.
    """

    def __init__(self, width: int, cell: str, bidirectional: bool) -> None:
        super().__init__()
        kind = {"lstm": nn.LSTM, "gru": nn.GRU}[cell]
        hidden = width // 2 if bidirectional else width
        self.bidirectional = bidirectional
        self.rnn = kind(width, hidden, batch_first=True, bidirectional=bidirectional)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Process frames, shape (batch, frames, width); output beyond a length is arbitrary."""
        if x.shape[1] == 0:
            return x
        if x.device.type == "cpu" and torch.is_autocast_enabled("cpu") and not fast_bfloat16():
            with torch.autocast("cpu", enabled=False):  # oneDNN has no LSTM in 16 bits there
                return self(x.float(), lengths)
        if lengths is None or not self.bidirectional:  # padding comes after all frames
            return self.rnn(x)[0]
        at_least_one = lengths.clamp(min=1).cpu()  # packing refuses 0
        packed = pack_padded_sequence(x, at_least_one, batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(self.rnn(packed)[0], True, total_length=x.shape[1])[0]

    def forward_chunk(self, x: Tensor, state: StreamState, last: bool) -> Tensor:
        """See :meth:`StreamingLayer.forward_chunk`."""
        if self.bidirectional:
            state.setdefault("waiting", []).append(x)
            if not last:
                return x[:, :0]
            return self(torch.cat(state.pop("waiting"), 1))
        if x.shape[1] == 0:
            return x
        out, state["hidden"] = self.rnn(x, state.get("hidden"))
        return out


class Delayed(nn.Module):
    """Causal layers whose output for a vector comes ``delay`` vectors later, with more context.

    Zeros follow the last vector.

    Args:
        layers: causal layers in turn.
        delay: number of vectors.
    """

    def __init__(self, layers: Sequence[nn.Module], delay: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.delay = delay

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Process frames, shape (batch, frames, width)."""
        if lengths is not None:
            x = x.masked_fill(~valid_frames(lengths, x.shape[1])[:, :, None], 0)
            lengths = lengths + self.delay
        x = F.pad(x, (0, 0, 0, self.delay))
        for layer in self.layers:
            x = layer(x, lengths)
        return x[:, self.delay :]

    def forward_chunk(self, x: Tensor, state: StreamState, last: bool) -> Tensor:
        """See :meth:`StreamingLayer.forward_chunk`."""
        if last:
            x = F.pad(x, (0, 0, 0, self.delay))
        for number, layer in enumerate(self.layers):
            streaming = cast(StreamingLayer, layer)
            x = streaming.forward_chunk(x, state.setdefault(f"layer {number}", {}), last)
        early = min(state.get("early", self.delay), x.shape[1])
        state["early"] = state.get("early", self.delay) - early
        return x[:, early:]


class FrameWindow(Neighbourhood):
    """A linear layer on a window of vectors: the first layer of the feed-forward net.

    Args:
        width_in: width of the input vectors.
        width: width of the output vectors.
        left: number of vectors of the past in the window.
        right: number of vectors of the future in it.
        dropout: dropout probability in training.
    """

    def __init__(self, width_in: int, width: int, left: int, right: int, dropout: float) -> None:
        super().__init__(left, right, width)
        # A convolution computes this without a copy of every window.
        self.weigh = nn.Conv1d(width_in, width, left + 1 + right)
        self.norm = nn.LayerNorm(width)
        self.dropout = SequenceDropout(dropout)

    def _compute(self, x: Tensor) -> Tensor:
        y = self.weigh(x.transpose(1, 2)).transpose(1, 2)
        return self.dropout(F.relu(self.norm(y)))


class FeedForwardBlock(nn.Module):
    """A linear layer, normalisation and a ReLU, for every vector alone.

    Args:
        width: width of the vectors.
        dropout: dropout probability in training.
    """

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.weigh = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        self.dropout = SequenceDropout(dropout)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Process frames, shape (batch, frames, width)."""
        return self.dropout(F.relu(self.norm(self.weigh(x))))

    def forward_chunk(self, x: Tensor, state: StreamState, last: bool) -> Tensor:
        """See :meth:`StreamingLayer.forward_chunk`; there is no state."""
        return self(x)


class TimeConvolution(Neighbourhood):
    """Convolution over time and all channels, a ReLU, then a linear layer across channels.

    Args:
        width: number of channels.
        left: how far the kernel reaches into the past, in vectors, a multiple of the dilation.
        right: how far it reaches into the future, likewise; 0 is causal.
        dilation: distance between the vectors of the kernel.
    """

    def __init__(self, width: int, left: int, right: int, dilation: int) -> None:
        super().__init__(left, right, width)
        kernel = (left + right) // dilation + 1
        self.weigh = nn.Conv1d(width, width, kernel, dilation=dilation)
        self.mix = nn.Linear(width, width)

    def _compute(self, x: Tensor) -> Tensor:
        return self.mix(F.relu(self.weigh(x.transpose(1, 2)).transpose(1, 2)))
