"""The encoder and its frame-level classifier: frames in, a score for every phone and frame out."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speechattn.attention import valid_frames
from speechattn.errors import ConfigError
from speechattn.layers import Convolution, FeedForward, Residual, SelfAttention
from speechattn.timing import SHIFT_MS

CLAMP = 6.0  # standard deviations; digital silence lies far below anything heard in training


@dataclass(frozen=True)
class EncoderConfig:
    """The shape of an encoder.

    Attributes:
        width: of the vectors between layers.
        heads: attention heads; must divide the width into even parts.
        feedforward: inner width of the feed-forward layers.
        blocks: how often attention and feed-forward alternate.
        window: ``[left, right]`` in 10 ms frames for every block, or one pair for each block;
            null for no limit. With ``stack`` s, multiples of s.
        conv_kernel: encoder frames of a depthwise convolution between attention and feed-forward,
            odd; 0 for none.
        positions: ``"rotary"`` or ``"none"``.
        stack: 10 ms frames that enter the encoder as one vector; labels leave at 100 a second
            whatever it is.
        dropout: probability in training.
    """

    width: int = 256
    heads: int = 4
    feedforward: int = 1024
    blocks: int = 5
    window: tuple = (32, 32)
    conv_kernel: int = 0
    positions: str = "rotary"
    stack: int = 1
    dropout: float = 0.1

    def __post_init__(self) -> None:
        for name in ("width", "heads", "feedforward", "blocks", "stack"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ConfigError(f"encoder.{name}: {value!r}; a whole number from 1 on")
        if self.width % (2 * self.heads):
            raise ConfigError(
                f"encoder.heads: {self.heads} do not divide encoder.width {self.width} "
                "into even parts; choose a width that is a multiple of twice the heads"
            )
        kernel = self.conv_kernel
        if type(kernel) is not int or kernel < 0 or (kernel and kernel % 2 == 0):
            raise ConfigError(f"encoder.conv_kernel: {self.conv_kernel!r}; an odd number, or 0")
        if self.positions not in ("rotary", "none"):
            raise ConfigError(f"encoder.positions: {self.positions!r}; 'rotary' or 'none'")
        if type(self.dropout) not in (int, float) or not 0 <= self.dropout < 1:
            raise ConfigError(f"encoder.dropout: {self.dropout!r}; from 0 to below 1")
        object.__setattr__(self, "window", _tuples(self.window))
        for pair in self.windows:
            for frames in pair:
                whole = isinstance(frames, int) and not isinstance(frames, bool)
                if frames is not None and not (whole and frames >= 0 and frames % self.stack == 0):
                    raise ConfigError(
                        f"encoder.window: {frames!r} frames; 0 or more"
                        + (f" and a multiple of stack ({self.stack})" if self.stack > 1 else "")
                        + ", or null for no limit"
                    )

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

    def reach(self, side: int) -> int | None:
        """10 ms frames of past (``side`` 0) or future (1) that an output depends on."""
        total = self.stack - 1
        for window in self.windows:
            if window[side] is None:
                return None
            total += window[side] + self.conv_kernel // 2 * self.stack
        return total

    @property
    def look_ahead(self) -> int | None:
        """10 ms frames of future an output waits for, over all layers; None for no limit."""
        return self.reach(1)

    @property
    def receptive_field_ms(self) -> float | None:
        """Milliseconds of frames an output depends on; None for no limit."""
        left, right = self.reach(0), self.reach(1)
        return None if left is None or right is None else (left + 1 + right) * SHIFT_MS

    def to_dict(self) -> dict:
        """As JSON values, for a checkpoint."""
        return asdict(self)


def _tuples(value):
    return tuple(_tuples(v) for v in value) if isinstance(value, (list, tuple)) else value


class PhoneClassifier(nn.Module):
    """Normalisation, encoder and classifier.

    The mean and the standard deviation of the training frames are buffers, so a checkpoint carries
    them and a stream needs to know nothing of the frames to come.

    Args:
        input_dim: numbers a frame.
        num_phones: classes.
        config: the encoder's shape.
    """

    def __init__(self, input_dim: int, num_phones: int, config: EncoderConfig):
        super().__init__()
        self.config = config
        self.num_phones = num_phones
        self.register_buffer("mean", torch.zeros(input_dim))
        self.register_buffer("std", torch.ones(input_dim))
        self.enter = nn.Linear(input_dim * config.stack, config.width)
        layers: list[nn.Module] = []
        for left, right in config.windows:
            attention = SelfAttention(
                config.width,
                config.heads,
                None if left is None else left // config.stack,
                None if right is None else right // config.stack,
                rotary=config.positions == "rotary",
            )
            branches = [attention]
            if config.conv_kernel:
                branches.append(Convolution(config.width, config.conv_kernel))
            branches.append(FeedForward(config.width, config.feedforward, config.dropout))
            layers += [Residual(config.width, branch, config.dropout) for branch in branches]
        self.layers = nn.ModuleList(layers)
        self.norm = nn.LayerNorm(config.width)
        self.classify = nn.Linear(config.width, num_phones * config.stack)

    @property
    def num_weights(self) -> int:
        """Trained numbers."""
        return sum(p.numel() for p in self.parameters())

    def forward(self, frames: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Scores before the softmax.

        Args:
            frames: shape (batch, frames, input_dim), as the front end gives them.
            lengths: frames of each sequence, shape (batch,), when they differ.

        Returns:
            Shape (batch, frames, num_phones).

        Raises:
            ValueError: if the frames have another shape.
        """
        if frames.ndim != 3 or frames.shape[2] != len(self.mean):
            raise ValueError(
                f"frames: shape {tuple(frames.shape)}; (batch, frames, {len(self.mean)})"
            )
        x = self.normalise(frames)
        if lengths is not None:
            x = x.masked_fill(~valid_frames(lengths, x.shape[1])[:, :, None], 0)
            lengths = -(-lengths // self.config.stack)
        x = self._enter(x)
        for layer in self.layers:
            x = layer(x, lengths)
        return self._leave(x)[:, : frames.shape[1]]

    def stream(self) -> ClassifierStream:
        """A stream that takes frames in chunks of any size."""
        return ClassifierStream(self)

    def normalise(self, frames: Tensor) -> Tensor:
        """Zero mean, unit deviation, clamped to ``CLAMP`` deviations."""
        return ((frames - self.mean) / self.std).clamp(-CLAMP, CLAMP)

    def _enter(self, x: Tensor) -> Tensor:
        batch, frames, dim = x.shape
        stack = self.config.stack
        if frames % stack:
            x = F.pad(x, (0, 0, 0, stack - frames % stack))
        return self.enter(x.reshape(batch, x.shape[1] // stack, dim * stack))

    def _leave(self, x: Tensor) -> Tensor:
        scores = self.classify(self.norm(x))
        return scores.unflatten(-1, (self.config.stack, -1)).flatten(1, 2)


class ClassifierStream:
    """The state between two chunks of one recording; see :meth:`PhoneClassifier.stream`."""

    def __init__(self, model: PhoneClassifier):
        self._model = model
        self._states: list[dict] = [{} for _ in model.layers]
        self._waiting: Tensor | None = None  # frames that do not fill a stack yet
        self._received = self._returned = 0
        self._ended = False

    @torch.inference_mode()
    def push(self, frames: Tensor, last: bool = False) -> Tensor:
        """Take frames and return the scores that are complete.

        Args:
            frames: shape (new frames, input_dim).
            last: no more frames will come; everything is returned.

        Returns:
            Shape (complete frames, num_phones), scores before the softmax.

        Raises:
            ValueError: if the frames have another shape, or the last ones have been pushed.
        """
        model = self._model
        if self._ended:
            raise ValueError("frames: this stream has had its last ones; make another one")
        if frames.ndim != 2 or frames.shape[1] != len(model.mean):
            raise ValueError(f"frames: shape {tuple(frames.shape)}; (frames, {len(model.mean)})")
        self._ended = last
        self._received += len(frames)
        x = model.normalise(frames)
        if self._waiting is not None:
            x = torch.cat([self._waiting, x])
        whole = len(x) if last else len(x) - len(x) % model.config.stack
        self._waiting = x[whole:]
        x = model._enter(x[None, :whole])
        for layer, state in zip(model.layers, self._states):
            x = layer.advance(x, state, last)
        scores = model._leave(x)[0]
        if last:
            scores = scores[: self._received - self._returned]
        self._returned += len(scores)
        return scores
