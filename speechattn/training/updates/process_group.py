"""Processes that train one model together, as ``torchrun`` starts them.

    torchrun --nproc-per-node 2 -m speechattn.recipe my.yaml training.accumulate=2

Each update has ``training.accumulate`` batches, which the processes share; gradients are added up
over all of them. What an update computes depends on its number alone, so the losses are those of
one process up to the order of the sums. All stages but the training are run by process 0, for which
the others wait.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from speechattn.errors import ConfigError

PATIENCE = timedelta(days=2)  # that the others wait for process 0 to prepare the data
BUCKET_BYTES = 32 << 20  # of gradients that are exchanged at a time

Value = TypeVar("Value")


@dataclass(frozen=True)
class ProcessGroup:
    """The processes of a training; by default there is one.

    Attributes:
        rank: number of this process.
        size: number of processes.
    """

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes, reports, and runs what is not trained."""
        return self.rank == 0

    def add_up(self, tensors: Iterable[Tensor]) -> None:
        """Replace tensors by their sums over all processes, which all have the same ones."""
        if self.size == 1:
            return
        bucket: list[Tensor] = []
        filled = 0
        for tensor in tensors:
            bucket.append(tensor)
            filled += tensor.numel() * tensor.element_size()
            if filled >= BUCKET_BYTES:
                _add_up_bucket(bucket)
                bucket, filled = [], 0
        if bucket:
            _add_up_bucket(bucket)

    def total(self, number: float) -> float:
        """Return the sum of a number over all processes."""
        if self.size == 1:
            return number
        total = torch.tensor([number], dtype=torch.float64)
        dist.all_reduce(total)
        return float(total)

    def from_first(self, compute: Callable[[], Value]) -> Value:
        """Compute a value in process 0 and return it in all; the others wait.

        Args:
            compute: returns the value, which is sent as a Python object between these processes.
        """
        if self.size == 1:
            return compute()
        box = [compute() if self.is_first else None]
        dist.broadcast_object_list(box)
        return box[0]  # type: ignore[return-value]

    def check(self, accumulate: int) -> None:
        """Check that the processes can share the batches of an update.

        Raises:
            ConfigError: if they cannot.
        """
        if accumulate % self.size:
            raise ConfigError(
                f"training.accumulate: {accumulate}, but {self.size} processes share the batches "
                f"of an update: a multiple of {self.size}"
            )


def join_processes() -> ProcessGroup:
    """Return the processes that ``torchrun`` has started, and connect them; else one process."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1 or "RANK" not in os.environ:
        return ProcessGroup()
    if not dist.is_initialized():
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
            dist.init_process_group("cpu:gloo,cuda:nccl", timeout=PATIENCE)
        else:
            dist.init_process_group("gloo", timeout=PATIENCE)
    return ProcessGroup(dist.get_rank(), dist.get_world_size())


def leave_processes() -> None:
    """Disconnect this process from the others, if it is connected."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def _add_up_bucket(tensors: list[Tensor]) -> None:
    """Add up tensors in one exchange."""
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    dist.all_reduce(flat)
    for tensor, part in zip(tensors, flat.split([tensor.numel() for tensor in tensors])):
        tensor.copy_(part.view_as(tensor))
