"""The rows of a stream that later positions still attend to."""

from __future__ import annotations

import torch
from torch import Tensor

LOOSE = 4  # times the rows that are needed; more memory than that is given back


class StreamRows:
    """Rows that come in chunks, of which the oldest are dropped; in one piece of memory.

    Short chunks are written behind the rows that are there, into room for as many again. To join
    them anew for each chunk would copy all rows every time.
    """

    def __init__(self) -> None:
        self._memory: Tensor | None = None  # shape (batch, room, ...)
        self._start = self._end = 0

    def __len__(self) -> int:
        return self._end - self._start

    def append(self, rows: Tensor) -> Tensor:
        """Add rows and return all that are there.

        Args:
            rows: shape (batch, new rows, ...).

        Returns:
            Shape (batch, all rows, ...). It is valid until rows are added again.
        """
        new, kept = rows.shape[1], len(self)
        if self._memory is None or not kept:
            self._memory, self._start, self._end = rows, 0, new
            return rows
        # In inference mode alone, for elsewhere a gradient may need the rows as they were.
        short = 2 * new <= kept and torch.is_inference_mode_enabled()
        before = self._memory[:, self._start : self._end]
        if not short:
            self._memory, self._start = torch.cat([before, rows], 1), 0
        else:
            if self._end + new > self._memory.shape[1] or not self._memory.is_inference():
                shape = list(before.shape)
                shape[1] = 2 * (kept + new)
                self._memory, self._start = before.new_empty(shape), 0
                self._memory[:, :kept] = before
            self._memory[:, self._start + kept : self._start + kept + new] = rows
        self._end = self._start + kept + new
        return self._memory[:, self._start : self._end]

    def drop(self, count: int) -> None:
        """Forget the oldest rows.

        Args:
            count: how many, at most as many as there are.
        """
        self._start += count
        if self._memory is not None and self._memory.shape[1] > LOOSE * len(self):
            self._memory = self._memory[:, self._start : self._end].clone()
            self._start, self._end = 0, self._memory.shape[1]
