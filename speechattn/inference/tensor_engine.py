"""Posteriors by PyTorch, on any device and in any precision, for any encoder."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from speechattn.audio.features import FrontEnd
from speechattn.encoder.encoder import ClassifierStream, log_posteriors
from speechattn.encoder.precision import fastest_precision, with_packed_linears
from speechattn.encoder.varlen import can_concatenate, forward_varlen
from speechattn.inference.host import plain_settings

if TYPE_CHECKING:
    from speechattn.inference.checkpoint import Checkpoint


class TensorEngine:
    """An :class:`~speechattn.inference.engine.Engine` of tensors.

    Args:
        checkpoint: the model.
        device: where its encoder computes.
        precision: of its products; see :func:`speechattn.load_model`.

    Raises:
        ConfigError: if the precision is unknown, or not available for this model or device.
    """

    gains_by_threads = False  # the last digits may depend on their number

    @plain_settings()
    def __init__(
        self, checkpoint: Checkpoint, device: str | torch.device, precision: str = "fp32"
    ) -> None:
        self._device, self.device = torch.device(device), str(device)
        if precision == "auto":
            precision = fastest_precision(self._device, checkpoint.ranges)
        self.precision = precision
        self.front_end = FrontEnd(checkpoint.front_end)
        classifier = checkpoint.classifier.to(self._device)
        ready = with_packed_linears(classifier, precision, checkpoint.ranges)
        # A copy for use: the checkpoint keeps its weights as they were saved.
        self._ready = replace(checkpoint, classifier=ready)

    @plain_settings()
    def log_posteriors(self, recordings: Sequence[np.ndarray]) -> list[np.ndarray]:
        """See :class:`~speechattn.inference.engine.Engine`."""
        tensors = [_tensor(frames, self._device) for frames in recordings]
        classifier = self._ready.classifier
        if len(tensors) > 1 and self._can_concatenate:
            scores = forward_varlen(classifier, tensors)
        else:
            scores = [classifier.stream().push(frames, last=True) for frames in tensors]
        return [_array(each) for each in scores]

    @functools.cached_property
    def _can_concatenate(self) -> bool:
        return can_concatenate(self._ready.classifier)

    @plain_settings()
    def stream(self) -> _Stream:
        """See :class:`~speechattn.inference.engine.Engine`."""
        return _Stream(self._ready.classifier.stream(), self._device)

    def checkpoint(self) -> Checkpoint:
        """See :class:`~speechattn.inference.engine.Engine`."""
        return self._ready


class _Stream:
    def __init__(self, stream: ClassifierStream, device: torch.device) -> None:
        self._stream, self._device = stream, device

    @plain_settings()
    def push(self, frames: np.ndarray, last: bool = False) -> np.ndarray:
        return _array(self._stream.push(_tensor(frames, self._device), last=last))


def _tensor(frames: np.ndarray, device: torch.device) -> torch.Tensor:
    return torch.from_numpy(np.require(frames, np.float32, ["C", "W"])).to(device)


def _array(scores: torch.Tensor) -> np.ndarray:
    return log_posteriors(scores).cpu().numpy()
