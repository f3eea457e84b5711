"""Posteriors by NumPy arrays and compiled code, in 8 bits on CPUs, without PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from speechattn.audio.features import FrontEnd
from speechattn.encoder.array_encoder import ArrayEncoder, ArrayStream

if TYPE_CHECKING:
    from speechattn.inference.checkpoint import Checkpoint
    from speechattn.inference.stored import StoredCheckpoint

# Weights of an encoder that takes as long for a frame as the search. A smaller one waits for the
# search, which is on another core, and only disturbs it with more threads.
SEARCH_WEIGHTS = 4_000_000


class ArrayEngine:
    """An :class:`~speechattn.inference.engine.Engine` of arrays.

    Args:
        checkpoint: the model.
    """

    device, precision = "cpu", "int8"

    def __init__(self, checkpoint: StoredCheckpoint) -> None:
        self.front_end = FrontEnd(checkpoint.front_end)
        self._checkpoint = checkpoint
        self._encoder = ArrayEncoder(checkpoint.arrays, checkpoint.attention)
        self.gains_by_threads = _weights_a_frame(checkpoint) > SEARCH_WEIGHTS

    def log_posteriors(self, recordings: Sequence[np.ndarray]) -> list[np.ndarray]:
        """See :class:`~speechattn.inference.engine.Engine`."""
        return [log_softmax(each) for each in self._encoder.scores(recordings)]

    def stream(self) -> _Stream:
        """See :class:`~speechattn.inference.engine.Engine`."""
        return _Stream(self._encoder.stream())

    def checkpoint(self) -> Checkpoint:
        """See :class:`~speechattn.inference.engine.Engine`."""
        self._checkpoint.free()
        return self._checkpoint


def _weights_a_frame(checkpoint: StoredCheckpoint) -> float:
    """Weights of the encoder's layers that a 10 ms frame is multiplied with."""
    arrays, config = checkpoint.arrays, checkpoint.attention
    matrices = (values.size for name, values in arrays.items() if name.endswith(".weight"))
    return sum(matrices) / config.stack


class _Stream:
    def __init__(self, stream: ArrayStream) -> None:
        self._stream = stream

    def push(self, frames: np.ndarray, last: bool = False) -> np.ndarray:
        return log_softmax(self._stream.push(frames, last))


def log_softmax(scores: np.ndarray) -> np.ndarray:
    """Return scores less the logarithm of the sum of their exponentials, along the last axis."""
    scores = scores - scores.max(1, keepdims=True, initial=-np.inf)
    return scores - np.log(np.exp(scores).sum(1, keepdims=True))
