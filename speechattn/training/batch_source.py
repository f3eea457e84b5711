"""Where the batches of a training come from: made beside the updates, in a thread or in processes.

On a CPU one thread makes the batches of the next update while this one runs. On a GPU an update
takes less time than its batch, so PyTorch's loader has as many processes make batches as there are
cores. A batch depends on its number alone; the losses are the same either way.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import Future

from torch.utils.data import DataLoader, Dataset

from speechattn.training.batches import Batch, TrainingBatches, UnmaskedBatch
from speechattn.training.replicas import single_core_threads

AHEAD = 4  # batches that each process makes before they are asked for


class BatchSource:
    """The batches of every update of one process of a training.

    Args:
        batches: of the training set.
        accumulate: batches of an update.
        first: number of the first of them that are this process' own.
        every: it has one of so many.
        processes: that make batches; 0 for a thread.
    """

    def __init__(
        self,
        batches: TrainingBatches,
        accumulate: int = 1,
        first: int = 0,
        every: int = 1,
        processes: int = 0,
    ) -> None:
        self._batches, self._processes = batches, processes
        self._accumulate, self._first, self._every = accumulate, first, every
        self._thread = single_core_threads(1)
        self._drafts: tuple[int, dict[int, Future[UnmaskedBatch]]] | None = None
        self._loaded: Iterator[Batch] | None = None
        self._step = 0  # that the loaded batches are for

    def of_update(self, step: int) -> dict[int, Batch]:
        """Return the batches of an update by their numbers, and begin with those of the next."""
        if self._processes:
            return self._from_processes(step)
        if self._drafts is None or self._drafts[0] != step:
            self._drafts = self._submit(step)
        drafts = {number: future.result() for number, future in self._drafts[1].items()}
        batches = {number: self._batches.masked(draft) for number, draft in drafts.items()}
        self._drafts = self._submit(step + 1)
        return batches

    def _numbers(self, step: int) -> range:
        first = self._accumulate * step
        return range(first + self._first, first + self._accumulate, self._every)

    def _submit(self, step: int) -> tuple[int, dict[int, Future[UnmaskedBatch]]]:
        submit = self._thread.submit
        return step, {n: submit(self._batches.draft, n) for n in self._numbers(step)}

    def _from_processes(self, step: int) -> dict[int, Batch]:
        if self._loaded is None or self._step != step:
            numbers = itertools.chain.from_iterable(map(self._numbers, itertools.count(step)))
            self._loaded = _from_processes(self._batches, numbers, self._processes)
        self._step = step + 1
        return {number: next(self._loaded) for number in self._numbers(step)}


class _Numbered(Dataset):
    def __init__(self, batches: TrainingBatches) -> None:
        self._batches = batches

    def __getitem__(self, number: int) -> Batch:
        return self._batches.batch(number)


def _from_processes(
    batches: TrainingBatches, numbers: Iterable[int], processes: int
) -> Iterator[Batch]:
    """Return the batches of these numbers, in their order."""
    loader = DataLoader(
        _Numbered(batches),
        batch_size=None,  # each is a batch already
        sampler=numbers,
        num_workers=processes,
        prefetch_factor=AHEAD,
        multiprocessing_context="fork" if hasattr(os, "fork") else None,
    )
    return iter(loader)
