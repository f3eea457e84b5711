"""The stopwatch, and the division of recordings among cores."""

from __future__ import annotations

import importlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechattn.bench.transcription.model import shares
from speechattn.bench.transcription.parts import PARTS, Stopwatch


@pytest.mark.parametrize("place", list(itertools.chain(*PARTS.values())))
def test_what_is_timed_is_there(place):
    module, owner, names = place
    target = importlib.import_module(module)
    target = getattr(target, owner) if owner else target
    assert [name for name in names if not hasattr(target, name)] == []


def test_a_stopwatch_counts_every_moment_once():
    times = iter([0, 1, 3, 6, 10, 15, 21, 28, 36])
    watch = Stopwatch(clock=lambda: next(times))

    def numbers():
        yield 1

    with watch.part("outer"):  # 1
        assert watch.timed("inner", lambda: "x")() == "x"  # 3 to 6
        steps = watch.timed("steps", numbers)()  # 10 to 15
        assert next(steps) == 1  # 21 to 28
    assert watch.seconds == {"outer": 2 + 4 + 6 + 8, "inner": 3, "steps": 5 + 7}


@given(st.lists(st.floats(0.1, 100), max_size=40), st.integers(1, 5))
def test_shares_are_even(lengths, count):
    parts = shares(lengths, count)
    assert sorted(itertools.chain(*parts)) == list(range(len(lengths)))
    loads = [sum(lengths[number] for number in part) for part in parts]
    assert max(loads) - min(loads) <= max(lengths, default=0) + 1e-9
