"""Batches made by a thread and by processes: the same ones, in the same order."""

from __future__ import annotations

import pytest
import torch
from support.batched import SIL, recipe

from speechattn.training.batch_source import BatchSource
from speechattn.training.batches import TrainingBatches


@pytest.mark.parametrize("processes", [0, 1, 2])
def test_batches_of_an_update_are_its_own_wherever_they_are_made(prepared, processes):
    batches = TrainingBatches(prepared, recipe(batch_frames=300), SIL)
    source = BatchSource(batches, accumulate=3, first=1, every=2, processes=processes)
    for step in (4, 5, 2):  # the last as after a checkpoint was loaded
        found = source.of_update(step)
        assert list(found) == [3 * step + 1]
        for number, batch in found.items():
            right = batches.batch(number)
            assert torch.equal(batch.frames, right.frames)
            assert torch.equal(batch.labels, right.labels)
            assert torch.equal(batch.lengths, right.lengths)
