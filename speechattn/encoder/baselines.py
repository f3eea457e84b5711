"""Encoders that truncated self-attention is compared with, and how a kind is chosen.

``encoder.kind`` names one of :data:`KINDS`; it is ``attention`` where it is left out. Every kind has
keys of its own, and all of them ``width``, ``stack`` and ``dropout``.

Recurrent layers for whole batches (``forward``) and for a stream (``advance``), with the same numbers.

Layers of the encoders that attention is compared with: nets on a window of frames, convolutions.

As in :mod:`speechattn.encoder.layers`, each is for whole batches (``forward``) and for a stream
(``advance``), with the same numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from speechattn.attention.kernels.runtime import fast_bfloat16
from speechattn.attention.masks import valid_frames
from speechattn.checks import is_int, tuples
from speechattn.encoder.config import EncoderConfig, EncoderShape
from speechattn.encoder.layers import Neighbourhood, SequenceDropout
from speechattn.errors import ConfigError

CELLS = ("lstm", "gru")


@dataclass(frozen=True)
class FramesConfig(EncoderShape):
    """A window of neighbouring frames, side by side, into a feed-forward net.

    Attributes:
        window: ``[left, right]`` in 10 ms frames. With ``stack`` s, multiples of s.
        layers: hidden layers.
        width: of each of them.
        stack: 10 ms frames that enter as one vector and whose labels leave together.
        dropout: probability in training.
    """

    window: tuple = (14, 14)
    layers: int = 3
    width: int = 512
    stack: int = 1
    dropout: float = 0.1
    kind: str = field(default="frames", init=False)

    def __post_init__(self) -> None:
        self._check_counts("layers", "width", "stack")
        self._check_dropout()
        object.__setattr__(self, "window", tuples(self.window))
        if not isinstance(self.window, tuple) or len(self.window) != 2:
            raise ConfigError(
                f"encoder.window: {self.window!r}; [left, right], each in 10 ms frames"
            )
        for frames in self.window:
            if not is_int(frames, 0) or frames % self.stack:
                raise ConfigError(f"encoder.window: {frames!r} frames; 0 or more{self._stacked}")

    @property
    def windows(self) -> list[tuple[int, int]]:
        """The one window there is."""
        return [self.window]

    def context(self, side: int) -> int:
        """10 ms frames of past (``side`` 0) or future (1) that an output depends on."""
        return self.stack - 1 + self.window[side]


@dataclass(frozen=True)
class CnnConfig(EncoderShape):
    """Convolutions over time, each added to what comes in (as in Bai et al., 2018).

    Attributes:
        width: channels.
        kernels: vectors each convolution sees, one number a layer.
        dilations: distance between those, in vectors, one number a layer; null for 1 in all.
        right: how many of a kernel's vectors lie in the future, one number a layer: 0 for a causal
            convolution; null for half of the kernel in all.
        stack: 10 ms frames that enter as one vector and whose labels leave together.
        dropout: probability in training.
    """

    width: int = 256
    kernels: tuple = (5, 5, 5, 5)
    dilations: tuple | None = (1, 2, 4, 8)
    right: tuple | None = None
    stack: int = 1
    dropout: float = 0.1
    kind: str = field(default="cnn", init=False)

    def __post_init__(self) -> None:
        self._check_counts("width", "stack")
        self._check_dropout()
        for name in ("kernels", "dilations", "right"):
            object.__setattr__(self, name, tuples(getattr(self, name)))
        if not self.kernels or not all(is_int(kernel, 1) for kernel in self.kernels):
            raise ConfigError(
                f"encoder.kernels: {list(self.kernels)}; a list of whole numbers from 1 on"
            )
        for name, least in (("dilations", 1), ("right", 0)):
            value = getattr(self, name)
            if value is None:
                continue
            if len(value) != len(self.kernels) or not all(is_int(v, least) for v in value):
                raise ConfigError(
                    f"encoder.{name}: {list(value)}; a whole number from {least} on for each of "
                    f"the {len(self.kernels)} kernels, or null"
                )
        for right, kernel in zip(self.right or (), self.kernels):
            if right >= kernel:
                raise ConfigError(
                    f"encoder.right: {right} of a kernel of {kernel}; from 0 to {kernel - 1}"
                )

    @property
    def layers(self) -> list[tuple[int, int, int]]:
        """Vectors of past and of future a convolution reaches, and its dilation, of every layer."""
        dilations = self.dilations or (1,) * len(self.kernels)
        rights = self.right or [kernel // 2 for kernel in self.kernels]
        return [
            ((kernel - 1 - right) * dilation, right * dilation, dilation)
            for kernel, dilation, right in zip(self.kernels, dilations, rights)
        ]

    def context(self, side: int) -> int:
        """10 ms frames of past (``side`` 0) or future (1) that an output depends on."""
        return self.stack - 1 + self.stack * sum(layer[side] for layer in self.layers)


@dataclass(frozen=True)
class RnnConfig(EncoderShape):
    """Recurrent layers, each added to what comes in.

    Attributes:
        width: of the vectors between layers; of a bidirectional layer, half comes from each
            direction.
        cell: ``"lstm"`` (Hochreiter & Schmidhuber, 1997) or ``"gru"`` (Cho et al., 2014).
        layers: how many.
        bidirectional: whether a second half of every layer reads from the end. Then nothing is
            known before the end of a recording.
        delay: 10 ms frames that are read before a label is given; not if bidirectional. With
            ``stack`` s, a multiple of s.
        stack: 10 ms frames that enter as one vector and whose labels leave together.
        dropout: probability in training.
    """

    width: int = 256
    cell: str = "lstm"
    layers: int = 3
    bidirectional: bool = False
    delay: int = 0
    stack: int = 1
    dropout: float = 0.1
    kind: str = field(default="rnn", init=False)

    def __post_init__(self) -> None:
        self._check_counts("width", "layers", "stack")
        self._check_dropout()
        if self.cell not in CELLS:
            raise ConfigError(f"encoder.cell: {self.cell!r}; one of {', '.join(CELLS)}")
        if type(self.bidirectional) is not bool:
            raise ConfigError(f"encoder.bidirectional: {self.bidirectional!r}; true or false")
        if not is_int(self.delay, 0) or self.delay % self.stack:
            raise ConfigError(f"encoder.delay: {self.delay!r} frames; 0 or more{self._stacked}")
        if self.bidirectional and self.delay:
            raise ConfigError(
                f"encoder.delay: {self.delay} with encoder.bidirectional true, which hears all "
                "there is before it answers; leave one of them out"
            )
        if self.bidirectional and self.width % 2:
            raise ConfigError(
                f"encoder.width: {self.width} with encoder.bidirectional true; an even number, "
                "half for each direction"
            )

    def context(self, side: int) -> int | None:
        """10 ms frames of past (``side`` 0) or future (1) that an output depends on; None for all."""
        return None if side == 0 or self.bidirectional else self.stack - 1 + self.delay

    @property
    def endless(self) -> str:
        """What makes it wait for the end."""
        return "encoder.bidirectional: true reads recordings from their end as well"


AnyEncoderConfig = EncoderConfig | FramesConfig | CnnConfig | RnnConfig
KINDS: dict[str, type[EncoderShape]] = {kind.kind: kind for kind in get_args(AnyEncoderConfig)}


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


class FeedForwardBlock(nn.Module):
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
