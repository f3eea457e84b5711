"""Rows of a stream: what was added and not dropped, in little memory."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from speechattn.attention.stream_rows import LOOSE, StreamRows


@given(
    steps=st.lists(st.tuples(st.integers(0, 9), st.floats(0, 1)), max_size=40), exact=st.booleans()
)
@torch.inference_mode()
def test_they_are_those_added_and_not_dropped(steps, exact):
    rows, expected, added = StreamRows(), torch.empty(1, 0, 2), 0
    for new, share in steps:
        chunk = torch.arange(added, added + new).float()[None, :, None] * torch.tensor([1.0, -1.0])
        before, added = chunk.clone(), added + new
        expected = torch.cat([expected, chunk], 1)
        assert torch.equal(rows.append(chunk), expected) and torch.equal(chunk, before)
        gone = int(share * expected.shape[1])
        rows.drop(gone)
        expected = expected[:, gone:]
        assert len(rows) == expected.shape[1]
        assert rows._memory.shape[1] <= max(LOOSE * len(rows), 2 * (len(rows) + gone))


@torch.inference_mode()
def test_short_chunks_are_written_where_there_is_room():
    rows = StreamRows()
    rows.append(torch.zeros(1, 100, 8))
    places = set()
    for number in range(50):
        found = rows.append(torch.full((1, 4, 8), float(number)))
        assert found.shape == (1, 104, 8) and (found[:, -4:] == number).all()
        rows.drop(4)
        places.add(found.untyped_storage().data_ptr())
    assert len(places) <= 4


@pytest.mark.parametrize("mode", [torch.no_grad, torch.enable_grad])
def test_elsewhere_nothing_is_written_over(mode):
    with mode():
        rows = StreamRows()
        first = rows.append(torch.zeros(1, 100, 8, requires_grad=mode is torch.enable_grad))
        second = rows.append(torch.ones(1, 4, 8))
        third = rows.append(torch.ones(1, 4, 8))
        storages = {each.untyped_storage().data_ptr() for each in (first, second, third)}
        assert len(storages) == 3 and second.sum() == 32 and third.sum() == 64


def test_a_stream_may_go_on_outside_inference_mode():
    rows = StreamRows()
    with torch.inference_mode():
        rows.append(torch.zeros(1, 9, 2))
        rows.append(torch.ones(1, 1, 2))
    assert rows.append(torch.ones(1, 1, 2)).sum() == 4
    with torch.inference_mode():
        assert rows.append(torch.ones(1, 1, 2)).sum() == 6
