"""Posteriors by NumPy arrays and compiled code, in 8 bits on CPUs, without PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from speechattn.attention.kernels import byte_matrix, llvm
from speechattn.audio.features import FrontEnd
from speechattn.encoder.array_encoder import ArrayEncoder, ArrayStream
from speechattn.inference.stored import StoredCheckpoint

if TYPE_CHECKING:
    from speechattn.inference.checkpoint import Checkpoint


def array_engine(checkpoint: Checkpoint) -> ArrayEngine | None:
    """Return the engine of a model; None if it needs PyTorch, or PyTorch is much faster.

    The model must lie in a folder. oneDNN's products use AMX, which this package's own do not.
    """
    if not isinstance(checkpoint, StoredCheckpoint) or llvm.has("amx-int8"):
        return None
    if not byte_matrix.works():
        return None
    arrays = checkpoint.ready_arrays()
    return None if arrays is None else ArrayEngine(checkpoint, arrays)


class ArrayEngine:
    """An :class:`~speechattn.inference.engine.Engine` of arrays.

    Args:
        checkpoint: the model.
        arrays: its weights, as ``ready_arrays`` of the checkpoint gives them.
    """

    device, precision = "cpu", "int8"

    def __init__(self, checkpoint: StoredCheckpoint, arrays: dict[str, np.ndarray]) -> None:
        self.front_end = FrontEnd(checkpoint.front_end)
        self._checkpoint = checkpoint
        self._encoder = ArrayEncoder(arrays, checkpoint.attention)

    def log_posteriors(self, recordings: Sequence[np.ndarray]) -> list[np.ndarray]:
        """See :class:`~speechattn.inference.engine.Engine`."""
        return [log_softmax(each) for each in self._encoder.scores(recordings)]

    def stream(self) -> _Stream:
        """See :class:`~speechattn.inference.engine.Engine`."""
        return _Stream(self._encoder.stream())

    def checkpoint(self) -> Checkpoint:
        """See :class:`~speechattn.inference.engine.Engine`."""
        return self._checkpoint


class _Stream:
    def __init__(self, stream: ArrayStream) -> None:
        self._stream = stream

    def push(self, frames: np.ndarray, last: bool = False) -> np.ndarray:
        return log_softmax(self._stream.push(frames, last))


def log_softmax(scores: np.ndarray) -> np.ndarray:
    """Return scores less the logarithm of the sum of their exponentials, along the last axis."""
    scores = scores - scores.max(1, keepdims=True, initial=-np.inf)
    return scores - np.log(np.exp(scores).sum(1, keepdims=True))
