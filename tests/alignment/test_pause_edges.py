"""Edges of pauses: where the level of made-up sounds rises and falls."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.heard import PHONES, frames_of, sound

from speechattn.alignment import pause_edges
from speechattn.alignment.pause_edges import LevelMeter, levels, move_edges
from speechattn.audio.features import FrontEndConfig
from speechattn.segments import FrameSegment

SILENCE = PHONES.silence_index
SAID = "SIL S IY SIL M SIL"
TRUE = [0, 16, 32, 48, 64, 80, 96]  # frames


def runs_at(edges) -> list[FrameSegment]:
    labels = [PHONES.index[label] for label in SAID.split()]
    return [FrameSegment(p, int(a), int(b)) for p, a, b in zip(labels, edges, edges[1:])]


def level_of(said: str) -> np.ndarray:
    return levels(frames_of(said, 16).numpy())


def test_levels_are_those_of_all_bins_together():
    frames = np.log(np.array([[1.0, 9.0], [10.0, 90.0]]))
    assert levels(frames) == pytest.approx([10.0, 20.0], abs=1e-4)
    assert len(levels(frames[:0])) == 0


@pytest.mark.parametrize("wrong", [-6, -3, 3, 6])
def test_edges_of_pauses_move_towards_the_sound(wrong):
    edges = np.array(TRUE, float)
    for place in (1, 3, 4, 5):  # all that touch a pause
        edges[place] += wrong if place in (1, 4) else -wrong
    moved = move_edges(edges, runs_at(edges), level_of(SAID), SILENCE)
    for place in (1, 3, 4, 5):
        left = abs(moved[place] - TRUE[place])
        assert left < 0.5 * abs(wrong) + 1.2, (place, moved)
    assert (moved[0], moved[2], moved[6]) == (0, 32, 96)  # between phones, and the ends


def test_exact_edges_stay_within_a_frame():
    edges = np.array(TRUE, float)
    moved = move_edges(edges, runs_at(edges), level_of(SAID), SILENCE)
    assert moved == pytest.approx(TRUE, abs=1.1)


def test_pauses_without_a_level_of_their_own_stay(monkeypatch):
    edges = np.array(TRUE, float) + np.array([0, 3, 0, -3, 3, -3, 0])
    level = level_of(SAID)
    monkeypatch.setattr(pause_edges, "LEAST_PAUSE", 30)  # short ones
    assert list(move_edges(edges, runs_at(edges), level, SILENCE)) == list(edges)
    monkeypatch.undo()
    steady = np.full(96, 50.0, np.float32)  # or all as loud
    assert list(move_edges(edges, runs_at(edges), steady, SILENCE)) == list(edges)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=8), st.integers(0, 1000))
def test_times_stay_in_order(lengths, seed):
    random = np.random.default_rng(seed)
    edges = np.cumsum([0, *lengths]).astype(float)
    phones = random.integers(0, 3, len(lengths))
    runs = [FrameSegment(int(p), int(a), int(b)) for p, a, b in zip(phones, edges, edges[1:])]
    moved = move_edges(edges, runs, random.normal(50, 20, int(edges[-1])), 0)
    assert moved[0] == 0 and moved[-1] == edges[-1]
    assert np.all(np.diff(moved) >= 0)
    spoken = [n for n in range(1, len(runs)) if phones[n - 1] and phones[n]]
    assert np.array_equal(moved[spoken], edges[spoken])


def test_a_recording_in_blocks_has_the_levels_of_the_whole():
    samples = sound(SAID, 16)
    meter = LevelMeter(FrontEndConfig())
    blocks = [samples[:1000], samples[1000:1100], samples[1100:]]
    passed = list(meter.passing(iter(blocks)))
    assert all(a is b for a, b in zip(passed, blocks, strict=True))
    assert np.array_equal(meter.levels(), level_of(SAID))
