"""Intervals by drawing speakers anew."""

from __future__ import annotations

import numpy as np
import pytest

from speechattn.evaluation.metrics import bootstrap, resampling_units


def test_the_interval_of_a_mean_is_that_of_the_normal_distribution():
    random = np.random.default_rng(3)
    values = random.random(400)
    names = [str(number) for number in range(400)]
    found = bootstrap(names, values, np.ones(400))
    assert found.rate == pytest.approx(values.mean())
    half = 1.96 * values.std() / np.sqrt(400)
    assert found.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert found.high == pytest.approx(values.mean() + half, abs=0.1 * half)
    # In groups of equal values there is only a tenth of the evidence.
    grouped = bootstrap([f"{n // 10}" for n in range(400)], values.repeat(10)[:400], np.ones(400))
    assert grouped.high - grouped.low > 2.5 * (found.high - found.low)


def test_an_interval_where_there_is_little():
    assert bootstrap([], [], []) is None
    assert bootstrap(["a"], [0], [0]) is None
    assert bootstrap(["a", "a"], [1, 2], [4, 4]) == (0.375, 0.375, 0.375)
    assert bootstrap(["a", "b"], [1, 0], [2, 0]) == (0.5, 0.5, 0.5)  # b alone has no rate


def test_speakers_are_drawn_and_utterances_where_there_is_one():
    rows = [{"corpus": "c", "speaker": s, "utterance": u} for s, u in ("ax", "ay", "bx")]
    assert resampling_units(rows) == ("speakers", ["c/a", "c/a", "c/b"])
    assert resampling_units(rows[:2]) == ("utterances", ["c/x", "c/y"])
