"""What computes posteriors: arrays, where they can do it, or PyTorch.

:mod:`~speechattn.inference.array_engine` is for CPUs and 8 bits, and starts at once;
:mod:`~speechattn.inference.tensor_engine` is for everything else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from speechattn.audio.features import FrontEnd
from speechattn.errors import ConfigError
from speechattn.options import PRECISIONS
from speechattn.process import import_torch

if TYPE_CHECKING:
    import torch

    from speechattn.inference.checkpoint import Checkpoint


class EngineStream(Protocol):
    """One recording on its way through an encoder."""

    def push(self, frames: np.ndarray, last: bool = False) -> np.ndarray:
        """Add frames and return the posteriors that are complete.

        Args:
            frames: float32, shape (new frames, dimension of the front end).
            last: whether these frames are the last; everything is returned then.

        Returns:
            Natural logarithms of the posteriors, float32, shape (complete frames, phones).
        """
        ...


class Engine(Protocol):
    """Front end and encoder of a model, ready for use.

    Attributes:
        front_end: of the model.
        device: where the encoder computes.
        precision: ``"fp32"``, ``"bf16"`` or ``"int8"``.
        gains_by_threads: whether it is faster beside a search with more than one thread, and gives
            the same to the last bit.
    """

    front_end: FrontEnd
    device: str
    precision: str
    gains_by_threads: bool

    def log_posteriors(self, recordings: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Compute the log posteriors of whole recordings.

        The result of each does not depend on the others, to the last bit.

        Args:
            recordings: frames of each, float32, shape (frames, dimension of the front end).

        Returns:
            Natural logarithms of the posteriors of each, float32, shape (frames, phones).
        """
        ...

    def stream(self) -> EngineStream:
        """Return a stream that takes the frames of one recording in chunks of any size."""
        ...

    def checkpoint(self) -> Checkpoint:
        """Return the model with the weights that are in use, for processes that only transcribe."""
        ...


def make_engine(checkpoint: Checkpoint, device: str | torch.device, precision: str) -> Engine:
    """Return what computes the posteriors of a model.

    Args:
        checkpoint: the model.
        device: where its encoder is to compute.
        precision: of its products, see :func:`speechattn.load_model`.

    Raises:
        ConfigError: if the precision is unknown, or not available for this model or device.
    """
    if precision not in ("auto", *PRECISIONS):
        names = ", ".join(("auto", *PRECISIONS))
        raise ConfigError(f"precision: {precision!r}; choose from {names}")
    if str(device) == "cpu" and precision in ("auto", "int8"):
        from speechattn.inference.stored import StoredCheckpoint

        if isinstance(checkpoint, StoredCheckpoint):
            from speechattn.inference.array_engine import ArrayEngine

            return ArrayEngine(checkpoint)
    import_torch()
    from speechattn.inference.tensor_engine import TensorEngine

    return TensorEngine(checkpoint, device, precision)
