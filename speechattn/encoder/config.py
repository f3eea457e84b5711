"""The configuration of the encoder of self-attention; others are in
:mod:`speechattn.encoder.kinds`.
"""

from __future__ import annotations

from dataclasses import dataclass

from speechattn.attention.names import POSITIONS, SCORES, WEIGHTS
from speechattn.checks import is_int, tuples
from speechattn.encoder.shape import EncoderShape, window_sides
from speechattn.errors import ConfigError
from speechattn.segments import SHIFT_MS

SUBSAMPLING = ("linear", "convolution")  # how frames become the vectors of the first block
ACTIVATIONS = ("relu", "gelu")
CHOICES = {
    "scores": SCORES,
    "weights": WEIGHTS,
    "positions": POSITIONS,
    "subsampling": SUBSAMPLING,
    "activation": ACTIVATIONS,
}
# What files have none of, and what it was in them.
BEFORE = {"any_window": None, "subsampling": "linear", "activation": "relu"}


@dataclass(frozen=True)
class EncoderConfig(EncoderShape):
    """The shape of an encoder of truncated self-attention, the kind ``attention``.

    Attributes:
        width: width of the vectors between layers.
        heads: number of attention heads. It must divide the width, into even parts for rotary
            positions.
        feedforward: inner width of the feed-forward layers.
        blocks: number of blocks of attention and feed-forward layers.
        window: ``[left, right]`` in 10 ms frames for every block, or one pair for each block; null
            for no limit. With ``stack`` s, multiples of s.
        any_window: ``[least, most]`` in 10 ms frames. Training draws windows between them, a few
            for every update, and the model then works with any of them; ``window`` is the default.
            Null for a model of one window. With ``stack`` s, multiples of s.
        conv_kernel: size of a depthwise convolution between attention and feed-forward, in encoder
            frames, odd; 0 for none.
        conv_right: how many frames of the kernel lie in the future; 0 for a causal convolution,
            null for half.
        scores: ``"dot"`` or ``"additive"``, see :mod:`speechattn.attention.functional`.
        weights: ``"softmax"`` or ``"relu"``, see :mod:`speechattn.attention.functional`.
        positions: ``"none"``, ``"sinusoidal"``, ``"learned"``, ``"rotary"`` (dot products only) or
            ``"distance"``, see :mod:`speechattn.attention.positions`. Every attention layer has its
            own; position vectors are added to its normalised input, not once to the input of the
            encoder.
        trained_length: length in 10 ms frames that learned positions reach. Longer input is
            refused. Needed for learned positions only; with ``stack`` s, a multiple of s.
        reach: largest distance in 10 ms frames with a bias of its own, for positions by distance;
            null for the window, which is also the largest possible. With ``stack`` s, a multiple of
            s.
        stack: number of 10 ms frames that enter the encoder as one vector. Labels come out at 100 a
            second whatever it is.
        subsampling: ``"linear"``, a matrix over the frames of a stack, or ``"convolution"``, two
            convolutions over time, see :class:`speechattn.encoder.layers.Subsampling`.
        activation: ``"relu"`` or ``"gelu"``, between the two products of the feed-forward layers,
            and after the convolutions of subsampling.
        dropout: dropout probability in training.
    """

    kind = "attention"  # not a field: files from before there were other kinds have no such key

    width: int = 256
    heads: int = 4
    feedforward: int = 1024
    blocks: int = 5
    window: tuple = (32, 32)
    any_window: tuple | None = None
    conv_kernel: int = 0
    conv_right: int | None = None
    scores: str = "dot"
    weights: str = "softmax"
    positions: str = "rotary"
    trained_length: int | None = None
    reach: int | None = None
    stack: int = 1
    dropout: float = 0.1
    subsampling: str = "linear"
    activation: str = "relu"

    def __post_init__(self) -> None:
        self._check_counts("width", "heads", "feedforward", "blocks", "stack")
        self._check_dropout()
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise ConfigError(
                    f"encoder.{name}: {getattr(self, name)!r}; one of {', '.join(choices)}"
                )
        self._check_heads()
        self._check_convolution()
        object.__setattr__(self, "window", tuples(self.window))
        object.__setattr__(self, "any_window", tuples(self.any_window))
        self._check_window()
        self._check_any_window()
        self._check_positions()

    def _check_heads(self) -> None:
        rotary = self.positions == "rotary"
        if rotary and self.scores != "dot":
            raise ConfigError(
                f"encoder.positions: 'rotary' with encoder.scores {self.scores!r}; rotation needs "
                "dot products: choose another of the two"
            )
        if self.width % (2 * self.heads if rotary else self.heads):
            raise ConfigError(
                f"encoder.heads: {self.heads} do not divide encoder.width {self.width}"
                + (
                    " into even parts; choose a width that is a multiple of twice the heads"
                    if rotary
                    else "; choose a width that is a multiple of the heads"
                )
            )

    def _check_convolution(self) -> None:
        kernel, right = self.conv_kernel, self.conv_right
        if not is_int(kernel, 0) or (kernel and kernel % 2 == 0):
            raise ConfigError(f"encoder.conv_kernel: {kernel!r}; an odd number, or 0")
        if right is not None and not (is_int(right, 0) and right < kernel):
            raise ConfigError(
                f"encoder.conv_right: {right!r}; "
                + (
                    f"from 0 to {kernel - 1}, below encoder.conv_kernel, or null for half of it"
                    if kernel
                    else "there is no convolution: set encoder.conv_kernel, or leave this out"
                )
            )

    def _check_window(self) -> None:
        for pair in self.windows:
            for frames in pair:
                if frames is not None and not (is_int(frames, 0) and frames % self.stack == 0):
                    raise ConfigError(
                        f"encoder.window: {frames!r} frames; 0 or more{self._stacked}, "
                        "or null for no limit"
                    )

    def _check_any_window(self) -> None:
        allowed = self.any_window
        if allowed is None:
            return
        shown = list(allowed) if isinstance(allowed, tuple) else repr(allowed)
        is_pair = isinstance(allowed, tuple) and len(allowed) == 2
        if not (is_pair and all(is_int(v, 0) and v % self.stack == 0 for v in allowed)):
            raise ConfigError(
                f"encoder.any_window: {shown}; [least, most], each in 10 ms frames, "
                f"0 or more{self._stacked}"
            )
        if allowed[0] > allowed[1]:
            raise ConfigError(f"encoder.any_window: {shown}; [least, most]")
        for side in (side for pair in self.windows for side in pair):
            if side is None or not allowed[0] <= side <= allowed[1]:
                raise ConfigError(
                    f"encoder.window: {side} frames; encoder.any_window allows {allowed[0]} to "
                    f"{allowed[1]}: choose one of these, or train with another any_window"
                )

    def _check_positions(self) -> None:
        for name, kind, least in (("trained_length", "learned", 1), ("reach", "distance", 0)):
            value = getattr(self, name)
            if value is None:
                continue
            if self.positions != kind:
                raise ConfigError(
                    f"encoder.{name}: {value!r} with encoder.positions {self.positions!r}; it is "
                    f"for {kind!r} alone: leave it out"
                )
            if not is_int(value, least) or value % self.stack:
                raise ConfigError(
                    f"encoder.{name}: {value!r} frames; a whole number from {least} on"
                    f"{self._stacked}"
                )
        if self.positions == "learned" and self.trained_length is None:
            raise ConfigError(
                "encoder.trained_length: null; learned positions need the length of the longest "
                "input, in 10 ms frames"
            )
        unlimited = any(None in window for window in self.windows)
        if self.positions == "distance" and self.reach is None and unlimited:
            raise ConfigError(
                "encoder.reach: null with a window without limit; give the largest distance, "
                "in 10 ms frames, that gets a bias of its own"
            )

    def to_dict(self) -> dict:
        """Return JSON values; without what old files lack, where it is as in them."""
        values = super().to_dict()
        for name, old in BEFORE.items():
            if values[name] == old:
                del values[name]
        return values

    @property
    def windows(self) -> list[tuple[int | None, int | None]]:
        """``(left, right)`` in 10 ms frames of every block."""
        window = self.window
        if not isinstance(window, tuple):
            raise ConfigError(f"encoder.window: {window!r}; [left, right], each in 10 ms frames")
        if len(window) == 2 and not any(isinstance(side, tuple) for side in window):
            return [window] * self.blocks
        if len(window) != self.blocks or not all(
            isinstance(pair, tuple) and len(pair) == 2 for pair in window
        ):
            raise ConfigError(
                f"encoder.window: {window!r}; one [left, right], or one for each of "
                f"{self.blocks} blocks"
            )
        return list(window)

    @property
    def reaches(self) -> list[int | None]:
        """Largest distance with a bias of its own, in 10 ms frames, of every block."""
        if self.positions != "distance":
            return [None] * self.blocks
        if self.any_window is not None:  # the same biases, whatever the window
            widest: list[int | None] = [self.any_window[1]] * self.blocks
        else:
            widest = [
                None if left is None or right is None else max(left, right)
                for left, right in self.windows
            ]
        return [min(side for side in (self.reach, most) if side is not None) for most in widest]

    @property
    def conv_sides(self) -> tuple[int, int]:
        """Encoder frames of past and future in the kernel of a convolution."""
        right = self.conv_kernel // 2 if self.conv_right is None else self.conv_right
        return max(0, self.conv_kernel - 1 - right), right

    def context(self, side: int) -> int | None:
        """See :meth:`EncoderShape.context`."""
        total = self.stack - 1 + (self.stack if self.subsampling == "convolution" else 0)
        for window in self.windows:
            frames = window[side]
            if frames is None:
                return None
            total += frames + self.conv_sides[side] * self.stack
        return total

    def check_window(self, window: tuple[int, int]) -> None:
        """See :meth:`EncoderShape.check_window`."""
        left, right = window_sides(window)
        prefix = f"window {left}/{right}"
        if self.any_window is None:
            own = sorted({str(list(pair)) for pair in self.windows})
            raise ConfigError(
                f"{prefix}: this model was trained for its own window alone ({', '.join(own)}); "
                "leave the window out, or train a model with encoder.any_window"
            )
        least, most = self.any_window
        for side in (left, right):
            if not least <= side <= most or side % self.stack:
                steps = f" in steps of {self.stack}" if self.stack > 1 else ""
                raise ConfigError(
                    f"{prefix}: {side} frames; this model was trained for {least} to {most}{steps} "
                    f"(frames of {SHIFT_MS:g} ms); choose one of these, or train a model with "
                    "another encoder.any_window"
                )
