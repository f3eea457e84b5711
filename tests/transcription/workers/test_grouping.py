"""Groups of tasks: every task once, in order, and some left for the other consumers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from speechattn.transcription.workers.grouping import Grouping, TaskGroups

SMALL = Grouping(4, lambda task: task < 100)


@given(st.lists(st.integers(0, 199), max_size=40), st.integers(1, 5))
def test_groups_hold_every_task_once_and_leave_some_for_the_others(tasks, consumers):
    groups, left, taken = TaskGroups(tasks, SMALL, consumers), len(tasks), []
    while group := groups.take():
        assert len(group) <= 4 and (len(group) == 1 or all(task < 100 for _, task in group))
        assert consumers == 1 or len(group) == 1 or len(group) <= -(-left // 2)
        left -= len(group)
        taken += group
    assert taken == list(enumerate(tasks)) and groups.take() == []
