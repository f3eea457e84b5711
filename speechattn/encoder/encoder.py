"""The encoder, from frames to vectors, and its frame-level classifier: a score for every phone and frame.

Other heads on the same encoder are in :mod:`speechattn.studies.heads`.

One model for any window: trained with windows drawn at random, told at work which to use.

Truncation takes nothing but keys away, and no weight depends on the window. A model that has seen many
in training works with each of them, as a network trained at many widths works at each (Yu et al., 2019,
"Slimmable neural networks").
"""

from __future__ import annotations

import dataclasses

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speechattn.attention.masks import valid_frames
from speechattn.attention.multihead import MultiHeadAttention
from speechattn.checks import check_lengths, first_nonfinite
from speechattn.encoder.baselines import AnyEncoderConfig
from speechattn.encoder.build import encoder_layers, encoder_windows
from speechattn.encoder.config import EncoderConfig
from speechattn.errors import ConfigError, SpeechattnError
from speechattn.segments import SHIFT_MS

__all__ = [
    "ClassifierStream", "Encoder", "EncoderConfig", "EncoderStream", "InputTooLong",
    "PhoneClassifier",
]  # fmt: skip

CLAMP = 6.0  # standard deviations; digital silence lies far below anything heard in training


class InputTooLong(SpeechattnError, ValueError):
    """More frames than the positions of a model reach."""


class Encoder(nn.Module):
    """Normalisation and encoder: what every head hears.

    The mean and the standard deviation of the training frames are buffers, so a checkpoint carries
    them and a stream needs to know nothing of the frames to come.

    Args:
        input_dim: numbers a frame.
        config: the encoder's kind and shape.
    """

    def __init__(self, input_dim: int, config: AnyEncoderConfig):
        super().__init__()
        self.config = config
        self.register_buffer("mean", torch.zeros(input_dim))
        self.register_buffer("std", torch.ones(input_dim))
        self.enter, layers = encoder_layers(config, input_dim)
        self.layers = nn.ModuleList(layers)
        self.norm = nn.LayerNorm(config.width)

    @property
    def num_weights(self) -> int:
        """Trained numbers."""
        return sum(p.numel() for p in self.parameters())

    def vectors(self, frames: Tensor, lengths: Tensor | None = None) -> Tensor:
        """What the encoder makes of frames: one vector for each ``config.stack`` of them.

        Args:
            frames: shape (batch, frames, input_dim), as the front end gives them.
            lengths: frames of each sequence, shape (batch,), when they differ.

        Returns:
            Shape (batch, frames / stack rounded up, width); how many of them belong to each
            sequence is what :meth:`vector_lengths` says.

        Raises:
            ValueError: if the frames have another shape or hold NaN or infinity (which frame is
                told; beyond the lengths they may), the lengths do not fit, or learned positions
                do not reach so far.
        """
        if frames.ndim != 3 or frames.shape[2] != len(self.mean):
            raise ValueError(
                f"frames: shape {tuple(frames.shape)}; (batch, frames, {len(self.mean)})"
            )
        _check_reach(self.config, frames.shape[1])
        if lengths is None:
            _check_finite(frames)
            x = self.normalise(frames)
        else:
            check_lengths(lengths, *frames.shape[:2])
            beyond = ~valid_frames(lengths, frames.shape[1])[:, :, None]
            _check_finite(frames.masked_fill(beyond, 0))
            x = self.normalise(frames).masked_fill(beyond, 0)
            lengths = self.vector_lengths(lengths)
        x = self._enter(x)
        for layer in self.layers:
            x = layer(x, lengths)
        return self.norm(x)

    def vector_lengths(self, lengths: Tensor) -> Tensor:
        """Vectors of sequences of so many frames."""
        return -(-lengths // self.config.stack)

    def stream(self) -> EncoderStream:
        """A stream that takes frames in chunks of any size."""
        return EncoderStream(self)

    def check_finite(self, frames: Tensor, first: int = 0) -> None:
        """Refuse frames, shape (frames, input_dim), with NaN or infinity; ``first``: of a stream.

        Raises:
            ValueError: if there is one; which frame is told.
        """
        _check_finite(frames[None], first)

    def normalise(self, frames: Tensor) -> Tensor:
        """Zero mean, unit deviation, clamped to ``CLAMP`` deviations."""
        return ((frames - self.mean) / self.std).clamp(-CLAMP, CLAMP)

    def _enter(self, x: Tensor) -> Tensor:
        batch, frames, dim = x.shape
        stack = self.config.stack
        if frames % stack:
            x = F.pad(x, (0, 0, 0, stack - frames % stack))
        entered = self.enter(x.reshape(batch, x.shape[1] // stack, dim * stack))
        return entered.to(x.dtype)  # under autocast, what layers add up stays in full precision


class PhoneClassifier(Encoder):
    """An encoder and a classifier of frames.

    Args:
        input_dim: numbers a frame.
        num_phones: classes.
        config: the encoder's kind and shape.
    """

    def __init__(self, input_dim: int, num_phones: int, config: AnyEncoderConfig):
        super().__init__(input_dim, config)
        self.num_phones = num_phones
        self.classify = nn.Linear(config.width, num_phones * config.stack)

    def forward(self, frames: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Scores before the softmax, shape (batch, frames, num_phones); see :meth:`vectors`."""
        return self.scores(self.vectors(frames, lengths))[:, : frames.shape[1]]

    def stream(self) -> ClassifierStream:
        """A stream that takes frames in chunks of any size."""
        return ClassifierStream(self)

    def scores(self, vectors: Tensor) -> Tensor:
        """Scores of the frames of every vector, shape (batch, vectors * stack, num_phones)."""
        return self.classify(vectors).unflatten(-1, (self.config.stack, -1)).flatten(1, 2)


def _check_finite(frames: Tensor, first: int = 0) -> None:
    """Raises ValueError if frames, shape (batch, frames, input_dim), hold NaN or infinity."""
    wrong = first_nonfinite(frames)
    if wrong is not None:
        sequence, frame, number = wrong
        of = f" of sequence {sequence}" if len(frames) > 1 else ""
        raise ValueError(
            f"frames: {frames[wrong].item()} at number {number} of frame {first + frame}{of}; "
            "the input must be finite numbers"
        )


def _check_reach(config: AnyEncoderConfig, frames: int) -> None:
    limit = config.trained_length
    if limit is not None and frames > limit:
        raise InputTooLong(
            f"frames: {frames} of them; the learned positions of this model reach {limit} frames "
            f"({limit * SHIFT_MS / 1000:g} s): cut the input, or train a model with a longer "
            "encoder.trained_length or with positions that reach any length (rotary, distance)"
        )


class EncoderStream:
    """The state between two chunks of one recording; see :meth:`Encoder.stream`."""

    def __init__(self, model: Encoder):
        self._model = model
        self._states: list[dict] = [{} for _ in model.layers]
        self._waiting: Tensor | None = None  # frames that do not fill a stack yet
        self._received = 0
        self._ended = False

    @torch.inference_mode()
    def push(self, frames: Tensor, last: bool = False) -> Tensor:
        """Take frames and return the vectors that are complete.

        Args:
            frames: shape (new frames, input_dim).
            last: no more frames will come; everything is returned.

        Returns:
            Shape (complete vectors, width).

        Raises:
            ValueError: if the frames have another shape or hold NaN or infinity, learned positions
                do not reach so far, or the last ones have been pushed. Nothing is taken then.
        """
        model = self._model
        if self._ended:
            raise ValueError("frames: this stream has had its last ones; make another one")
        if frames.ndim != 2 or frames.shape[1] != len(model.mean):
            raise ValueError(f"frames: shape {tuple(frames.shape)}; (frames, {len(model.mean)})")
        model.check_finite(frames, self._received)
        _check_reach(model.config, self._received + len(frames))
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
        return model.norm(x)[0]


class ClassifierStream(EncoderStream):
    """The same for scores; see :meth:`PhoneClassifier.stream`."""

    def __init__(self, model: PhoneClassifier):
        super().__init__(model)
        self._returned = 0

    @torch.inference_mode()
    def push(self, frames: Tensor, last: bool = False) -> Tensor:
        """Take frames and return the scores that are complete.

        Args:
            frames: shape (new frames, input_dim).
            last: no more frames will come; everything is returned.

        Returns:
            Shape (complete frames, num_phones), scores before the softmax.

        Raises:
            ValueError: as :meth:`EncoderStream.push`.
        """
        scores = self._model.scores(super().push(frames, last)[None])[0]
        if last:
            scores = scores[: self._received - self._returned]
        self._returned += len(scores)
        return scores


def set_window(encoder: Encoder, window: tuple) -> None:
    """Have the blocks of an encoder look through this window, until it is set again.

    Args:
        encoder: of attention, with ``any_window``, and whatever is on it.
        window: left and right, 10 ms frames, or such a pair for every block.

    Raises:
        ConfigError: if it was not trained for this window.
    """
    encoder.config = dataclasses.replace(encoder.config, window=window)
    layers = [layer for layer in encoder.layers.modules() if isinstance(layer, MultiHeadAttention)]
    for layer, seen in zip(layers, encoder_windows(encoder.config), strict=True):
        layer.visibility = seen


def check_window(config: AnyEncoderConfig, window: tuple[int, int]) -> None:
    """Raises ConfigError, with the way out, if a model was not trained for a window.

    Args:
        config: of its encoder.
        window: left and right, 10 ms frames.
    """
    asked = "window {}/{}".format(*window)
    if not isinstance(config, EncoderConfig):
        raise ConfigError(f"{asked}: this model's encoder is of kind {config.kind!r}, without one")
    if config.any_window is None:
        own = sorted({str(list(pair)) for pair in config.windows})
        raise ConfigError(
            f"{asked}: this model was trained for its own window alone ({', '.join(own)}); leave "
            "the window out, or train a model with encoder.any_window"
        )
    least, most = config.any_window
    for side in window:
        if not least <= side <= most or side % config.stack:
            steps = f" in steps of {config.stack}" if config.stack > 1 else ""
            raise ConfigError(
                f"{asked}: {side} frames; this model was trained for {least} to {most}{steps} "
                f"(frames of {SHIFT_MS:g} ms); choose one of these, or train a model with another "
                "encoder.any_window"
            )
