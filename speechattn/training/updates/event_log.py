"""Event files for TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from speechattn.errors import UsageError


class EventLog:
    """Writes numbers by step to event files.

    Args:
        folder: of the files; those of an interrupted training are continued.

    Raises:
        UsageError: if TensorBoard is not installed.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise UsageError(
                "training.tensorboard: tensorboard is not installed; run: "
                "pip install 'speechattn[tensorboard]', or set training.tensorboard=false"
            ) from None
        self._writer = SummaryWriter(str(folder))

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Write some numbers of a step, by name."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()
