"""The kinds of encoders: configurations of those that attention is compared with, and all by name.

``encoder.kind`` names one of :data:`KINDS`; without it, the kind is ``attention``. Each kind has
keys of its own, and all have ``width``, ``stack`` and ``dropout``. The layers are in
:mod:`speechattn.encoder.baselines`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import get_args

from speechattn.checks import is_int, tuples
from speechattn.encoder.config import EncoderConfig
from speechattn.encoder.shape import EncoderShape
from speechattn.errors import ConfigError

CELLS = ("lstm", "gru")


@dataclass(frozen=True)
class FramesConfig(EncoderShape):
    """A window of neighbouring frames, side by side, into a feed-forward net.

    Attributes:
        window: ``[left, right]`` in 10 ms frames. With ``stack`` s, multiples of s.
        layers: number of hidden layers.
        width: width of each of them.
        stack: number of 10 ms frames that enter as one vector and whose labels come out together.
        dropout: dropout probability in training.
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
        """The window of the first layer."""
        return [self.window]

    def context(self, side: int) -> int:
        """See :meth:`EncoderShape.context`."""
        return self.stack - 1 + self.window[side]


@dataclass(frozen=True)
class CnnConfig(EncoderShape):
    """Convolutions over time, each added to what comes in (as in Bai et al., 2018).

    Attributes:
        width: number of channels.
        kernels: kernel size of each layer, in vectors.
        dilations: distance between the vectors of a kernel, for each layer; null for 1 in all.
        right: how many vectors of a kernel lie in the future, for each layer; 0 for a causal
            convolution, null for half of the kernel in all.
        stack: number of 10 ms frames that enter as one vector and whose labels come out together.
        dropout: dropout probability in training.
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
        if not self.kernels or not _are_counts(self.kernels, 1):
            raise ConfigError(
                f"encoder.kernels: {_listed(self.kernels)}; a list of whole numbers from 1 on"
            )
        for name, least in (("dilations", 1), ("right", 0)):
            value = getattr(self, name)
            if value is None:
                continue
            if not _are_counts(value, least) or len(value) != len(self.kernels):
                raise ConfigError(
                    f"encoder.{name}: {_listed(value)}; a whole number from {least} on for each of "
                    f"the {len(self.kernels)} kernels, or null"
                )
        for right, kernel in zip(self.right or (), self.kernels):
            if right >= kernel:
                raise ConfigError(
                    f"encoder.right: {right} of a kernel of {kernel}; from 0 to {kernel - 1}"
                )

    @property
    def layers(self) -> list[tuple[int, int, int]]:
        """(vectors of the past, vectors of the future, dilation) of every layer."""
        dilations = self.dilations or (1,) * len(self.kernels)
        rights = self.right or [kernel // 2 for kernel in self.kernels]
        return [
            ((kernel - 1 - right) * dilation, right * dilation, dilation)
            for kernel, dilation, right in zip(self.kernels, dilations, rights)
        ]

    def context(self, side: int) -> int:
        """See :meth:`EncoderShape.context`."""
        return self.stack - 1 + self.stack * sum(layer[side] for layer in self.layers)


def _are_counts(values: object, least: int) -> bool:
    """Whether values are a tuple of whole numbers of at least ``least``."""
    return isinstance(values, tuple) and all(is_int(value, least) for value in values)


def _listed(values: object) -> str:
    """Return a value as it stands in a configuration file, for messages."""
    return repr(list(values) if isinstance(values, tuple) else values)


@dataclass(frozen=True)
class RnnConfig(EncoderShape):
    """Recurrent layers, each added to what comes in.

    Attributes:
        width: width of the vectors between layers; in a bidirectional layer, each direction gives
            half.
        cell: ``"lstm"`` (Hochreiter & Schmidhuber, 1997) or ``"gru"`` (Cho et al., 2014).
        layers: number of layers.
        bidirectional: whether each layer also reads from the end. Then nothing is known before the
            end of a recording.
        delay: number of 10 ms frames that are read before a label is given; not with bidirectional
            layers. With ``stack`` s, a multiple of s.
        stack: number of 10 ms frames that enter as one vector and whose labels come out together.
        dropout: dropout probability in training.
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
        """See :meth:`EncoderShape.context`."""
        return None if side == 0 or self.bidirectional else self.stack - 1 + self.delay

    @property
    def endless(self) -> str:
        """See :attr:`EncoderShape.endless`."""
        return "encoder.bidirectional: true reads recordings from their end as well"


AnyEncoderConfig = EncoderConfig | FramesConfig | CnnConfig | RnnConfig
KINDS: dict[str, type[EncoderShape]] = {kind.kind: kind for kind in get_args(AnyEncoderConfig)}
