"""The encoder, from frames to vectors, and the classifier of frames on it, with their streams.

Other heads on the same encoder are in :mod:`speechattn.heads.models`.

An encoder of attention may work with any window (``any_window``): truncation only takes keys away,
and no weight depends on the window. A model that was trained with many windows works with each, as
a network trained at many widths works at each (Yu et al., 2019, "Slimmable neural networks").
"""

from __future__ import annotations

import dataclasses
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speechattn.attention.inputs import check_tensor, check_type
from speechattn.attention.masks import StreamState, valid_frames
from speechattn.attention.multihead import MultiHeadAttention
from speechattn.checks import as_int, check_lengths, first_nonfinite
from speechattn.encoder.build import encoder_layers, encoder_windows
from speechattn.encoder.config import EncoderConfig
from speechattn.encoder.kinds import AnyEncoderConfig
from speechattn.encoder.layers import StreamingLayer
from speechattn.encoder.shape import CLAMP as CLAMP
from speechattn.errors import ConfigError, SpeechattnError
from speechattn.segments import SHIFT_MS

__all__ = [
    "ClassifierStream", "Encoder", "EncoderConfig", "EncoderStream", "InputTooLong",
    "PhoneClassifier", "log_posteriors",
]  # fmt: skip


class InputTooLong(SpeechattnError, ValueError):  # noqa: N818 - public name
    """Input of more frames than the learned positions of a model."""


def log_posteriors(scores: Tensor) -> Tensor:
    """Return natural logarithms of posteriors from scores before the softmax, float32."""
    return torch.log_softmax(scores.float(), -1)


class Encoder(nn.Module):
    """Normalisation of frames and encoder, on which a head is put; alone, it gives vectors.

    Mean and standard deviation of the training frames are buffers, so that a checkpoint carries
    them and a stream needs no statistics of later frames.

    Args:
        input_dim: numbers of a frame.
        config: kind and shape of the encoder.

    Raises:
        ValueError: if ``input_dim`` is no whole number from 1 on.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, input_dim: int, config: AnyEncoderConfig) -> None:
        super().__init__()
        as_int("input_dim", input_dim, 1)
        self.config: AnyEncoderConfig = config
        self.register_buffer("mean", torch.zeros(input_dim))
        self.register_buffer("std", torch.ones(input_dim))
        self.enter, layers = encoder_layers(config, input_dim)
        self.layers = nn.ModuleList(layers)
        self.norm = nn.LayerNorm(config.width)

    @property
    def num_weights(self) -> int:
        """Number of trained weights."""
        return sum(p.numel() for p in self.parameters())

    def forward(self, frames: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Encode frames; see :meth:`vectors`."""
        return self.vectors(frames, lengths)

    def vectors(self, frames: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Encode frames; ``config.stack`` of them give one vector.

        Args:
            frames: shape (batch, frames, input_dim), from the front end.
            lengths: frames of each sequence, shape (batch,), when they differ.

        Returns:
            Shape (batch, frames / stack rounded up, width). :meth:`vector_lengths` says how many
            vectors belong to each sequence.

        Raises:
            ValueError: if the frames have another shape or contain NaN or infinity within the
                lengths (the message names the frame), the lengths do not fit, or learned positions
                do not reach that far.
            TypeError: if the frames are no tensor.
        """
        self._check_kind(frames, "batch, ")
        _check_reach(self.config, frames.shape[1])
        if lengths is None:
            _check_finite(frames)
            x = self.normalise(frames)
        else:
            check_lengths(lengths, *frames.shape[:2])
            padding = ~valid_frames(lengths, frames.shape[1])[:, :, None]
            _check_finite(frames.masked_fill(padding, 0))
            x = self.normalise(frames).masked_fill(padding, 0)
            lengths = self.vector_lengths(lengths)
        x = self._enter(x)
        for layer in self.layers:
            x = layer(x, lengths)
        return self.norm(x)

    def vector_lengths(self, lengths: Tensor) -> Tensor:
        """Return the number of vectors for sequences of these numbers of frames."""
        return -(-lengths // self.config.stack)

    def stream(self) -> EncoderStream:
        """Return a stream that takes frames in chunks of any size."""
        return EncoderStream(self)

    def set_window(self, window: tuple) -> None:
        """Let all blocks use a window, until it is set again.

        Only for an encoder of attention with ``any_window``.

        Args:
            window: left and right, in 10 ms frames, or such a pair for every block.

        Raises:
            ConfigError: if the encoder was not trained for this window.
        """
        if not isinstance(self.config, EncoderConfig):
            raise ConfigError(f"window: this encoder is of kind {self.config.kind!r}, without one")
        self.config = dataclasses.replace(self.config, window=window)
        layers = [layer for layer in self.layers.modules() if isinstance(layer, MultiHeadAttention)]
        for layer, mask in zip(layers, encoder_windows(self.config), strict=True):
            layer.mask = mask

    def check_frames(self, frames: Tensor, first: int = 0) -> None:
        """Check the frames of one recording.

        Args:
            frames: shape (frames, input_dim).
            first: number of the first of them, in a stream.

        Raises:
            ValueError: if they have another shape or type, or contain NaN or infinity; the message
                names the frame.
            TypeError: if they are no tensor.
        """
        self._check_kind(frames)
        _check_finite(frames[None], first)

    def _check_kind(self, frames: Tensor, batch: str = "") -> None:
        """Check that frames are a tensor of a shape and type that fit; ``batch`` is its axis."""
        check_tensor("frames", frames)
        if frames.ndim != (3 if batch else 2) or frames.shape[-1] != len(self.mean):
            raise ValueError(
                f"frames: shape {tuple(frames.shape)}; ({batch}frames, {len(self.mean)})"
            )
        if torch.promote_types(frames.dtype, self.mean.dtype) != self.mean.dtype:
            check_type("frames", frames, self.mean.dtype)

    def normalise(self, frames: Tensor) -> Tensor:
        """Return frames with zero mean and unit deviation, clamped to ``CLAMP`` deviations."""
        return ((frames - self.mean) / self.std).clamp(-CLAMP, CLAMP)

    def _enter(self, x: Tensor) -> Tensor:
        """Return the vectors of normalised frames, which the first layer takes."""
        batch, frames, dim = x.shape
        stack = self.config.stack
        if frames % stack:
            x = F.pad(x, (0, 0, 0, stack - frames % stack))
        entered = self.enter(x.reshape(batch, x.shape[1] // stack, dim * stack))
        return entered.to(
            x.dtype
        )  # under autocast, the sum over the layers stays in full precision


class PhoneClassifier(Encoder):
    """An encoder with a classifier of frames.

    Args:
        input_dim: numbers of a frame.
        num_phones: number of classes.
        config: kind and shape of the encoder.

    Raises:
        ValueError: if one of the numbers is no whole number from 1 on.
    """

    def __init__(self, input_dim: int, num_phones: int, config: AnyEncoderConfig) -> None:
        super().__init__(input_dim, config)
        self.num_phones = as_int("num_phones", num_phones, 1)
        self.classify = nn.Linear(config.width, num_phones * config.stack)

    def forward(self, frames: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return scores before the softmax, (batch, frames, num_phones); see :meth:`vectors`."""
        return self.scores(self.vectors(frames, lengths))[:, : frames.shape[1]]

    def stream(self) -> ClassifierStream:
        """Return a stream that takes frames in chunks of any size."""
        return ClassifierStream(self)

    def scores(self, vectors: Tensor) -> Tensor:
        """Return the scores of the frames of vectors, (batch, vectors * stack, num_phones)."""
        return self.classify(vectors).unflatten(-1, (self.config.stack, -1)).flatten(1, 2)


def _check_finite(frames: Tensor, first: int = 0) -> None:
    """Raise ValueError if frames, shape (batch, frames, input_dim), contain NaN or infinity."""
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

    def __init__(self, model: Encoder) -> None:
        self._model = model
        self._layers = cast("list[StreamingLayer]", list(model.layers))
        self._states: list[StreamState] = [{} for _ in self._layers]
        self._waiting: Tensor | None = None  # normalised frames that do not fill a stack yet
        self._received = 0
        self._ended = False

    @torch.inference_mode()
    def push(self, frames: Tensor, last: bool = False) -> Tensor:
        """Process frames and return the vectors that are complete.

        Args:
            frames: shape (new frames, input_dim).
            last: whether these frames are the last; everything is returned then.

        Returns:
            Shape (complete vectors, width).

        Raises:
            ValueError: if the frames have another shape or contain NaN or infinity, learned
                positions do not reach that far, or the last frames have been pushed already. The
                stream is then unchanged.
            TypeError: if the frames are no tensor.
        """
        model = self._model
        if self._ended:
            raise ValueError("frames: this stream has had its last ones; make another one")
        model.check_frames(frames, self._received)
        _check_reach(model.config, self._received + len(frames))
        self._ended = last
        self._received += len(frames)
        x = model.normalise(frames)
        if self._waiting is not None:
            x = torch.cat([self._waiting, x])
        whole = len(x) if last else len(x) - len(x) % model.config.stack
        self._waiting = x[whole:]
        x = model._enter(x[None, :whole])
        for layer, state in zip(self._layers, self._states):
            x = layer.forward_chunk(x, state, last)
        return model.norm(x)[0]


class ClassifierStream(EncoderStream):
    """The same for scores; see :meth:`PhoneClassifier.stream`."""

    _model: PhoneClassifier

    def __init__(self, model: PhoneClassifier) -> None:
        super().__init__(model)
        self._returned = 0

    @torch.inference_mode()
    def push(self, frames: Tensor, last: bool = False) -> Tensor:
        """Process frames and return the scores that are complete.

        Args:
            frames: shape (new frames, input_dim).
            last: whether these frames are the last; everything is returned then.

        Returns:
            Shape (complete frames, num_phones), scores before the softmax.

        Raises:
            ValueError, TypeError: as :meth:`EncoderStream.push`.
        """
        scores = self._model.scores(super().push(frames, last)[None])[0]
        if last:
            scores = scores[: self._received - self._returned]
        self._returned += len(scores)
        return scores
