"""Recurrent layers for whole batches (``forward``) and for a stream (``advance``), with the same numbers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from speechattn.attention.functional import valid_frames
from speechattn.encoder.packed_linear import fast_bfloat16


class Recurrent(nn.Module):
    """An LSTM or a GRU; a bidirectional one gives half of its vectors from each direction.

    Args:
        width: of the vectors in and out.
        cell: ``"lstm"`` or ``"gru"``.
        bidirectional: whether there is a direction from the end; a stream then waits for it.
    """

    def __init__(self, width: int, cell: str, bidirectional: bool):
        super().__init__()
        kind = {"lstm": nn.LSTM, "gru": nn.GRU}[cell]
        hidden = width // 2 if bidirectional else width
        self.bidirectional = bidirectional
        self.rnn = kind(width, hidden, batch_first=True, bidirectional=bidirectional)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """x: shape (batch, frames, width); beyond a length the output means nothing."""
        if x.shape[1] == 0:
            return x
        if x.device.type == "cpu" and torch.is_autocast_enabled("cpu") and not fast_bfloat16():
            with torch.autocast("cpu", enabled=False):  # oneDNN refuses an LSTM in 16 bits there
                return self(x.float(), lengths)
        if lengths is None or not self.bidirectional:  # what comes after changes nothing before it
            return self.rnn(x)[0]
        some = lengths.clamp(min=1).cpu()  # packing refuses 0
        packed = pack_padded_sequence(x, some, batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(self.rnn(packed)[0], True, total_length=x.shape[1])[0]

    def advance(self, x: Tensor, state: dict, last: bool) -> Tensor:
        """x: shape (1, new frames, width); returns the outputs that are now complete."""
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
    """Layers that look at nothing ahead, with their outputs moved so that they have heard more.

    The output for a vector is given ``delay`` vectors later; zeros follow the last of them.

    Args:
        layers: causal ones, in turn.
        delay: vectors.
    """

    def __init__(self, layers: Sequence[nn.Module], delay: int):
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.delay = delay

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """x: shape (batch, frames, width)."""
        if lengths is not None:
            x = x.masked_fill(~valid_frames(lengths, x.shape[1])[:, :, None], 0)
            lengths = lengths + self.delay
        x = F.pad(x, (0, 0, 0, self.delay))
        for layer in self.layers:
            x = layer(x, lengths)
        return x[:, self.delay :]

    def advance(self, x: Tensor, state: dict, last: bool) -> Tensor:
        """x: shape (1, new frames, width); returns the outputs that are now complete."""
        if last:
            x = F.pad(x, (0, 0, 0, self.delay))
        for number, layer in enumerate(self.layers):
            x = layer.advance(x, state.setdefault(number, {}), last)
        early = min(state.get("early", self.delay), x.shape[1])
        state["early"] = state.get("early", self.delay) - early
        return x[:, early:]
