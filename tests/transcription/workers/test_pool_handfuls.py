"""Handfuls: every task once, in order, and some left for the others."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from speechattn.transcription.workers.pool import Grouping, TaskGroups

SMALL = Grouping(4, lambda task: task < 100)


@given(st.lists(st.integers(0, 199), max_size=40), st.integers(1, 5))
def test_handfuls_hold_every_task_once_and_leave_some_for_the_others(jobs, takers):
    handfuls, left, taken = TaskGroups(jobs, SMALL, takers), len(jobs), []
    while handful := handfuls.take():
        assert len(handful) <= 4 and (len(handful) == 1 or all(job < 100 for _, job in handful))
        assert takers == 1 or len(handful) == 1 or len(handful) <= -(-left // 2)
        left -= len(handful)
        taken += handful
    assert taken == list(enumerate(jobs)) and handfuls.take() == []
