"""Alignment with a network: the best path, against all paths written out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechattn.decoder import network_paths
from speechattn.decoder.forced_alignment import (
    LEAST_PHONE_FRAMES,
    LEAST_SILENCE_FRAMES,
    force_align,
)
from speechattn.decoder.network_alignment import Arc, align_network
from speechattn.decoder.network_paths import NOTHING, Network, Step, best_path

SIL = 0


def brute(logs: np.ndarray, arcs: list[Arc], last: int) -> float:
    """The highest score of a path, by trying all of them; -inf if there is none."""
    frames = len(logs)

    def best(junction: int, start: int, silenced: bool) -> float:
        found = [0.0 if junction == last and start == frames else -np.inf]
        for arc in arcs:
            loop = arc.source == arc.target
            if arc.source != junction or (loop and silenced):
                continue
            if arc.phone == NOTHING:
                found.append(best(arc.target, start, False) - arc.cost)
                continue
            least = LEAST_SILENCE_FRAMES if arc.phone == SIL else LEAST_PHONE_FRAMES
            for end in range(start + least, frames + 1):
                score = logs[start:end, arc.phone].sum() - arc.cost
                found.append(score + best(arc.target, end, loop))
        return max(found)

    return best(0, 0, False)


def score(logs: np.ndarray, arcs: list[Arc], steps) -> float:
    return sum(logs[s.start : s.end, arcs[s.arc].phone].sum() - arcs[s.arc].cost for s in steps)


@st.composite
def problems(draw):
    junctions = draw(st.integers(2, 4))
    arcs = [Arc(j, j + 1, draw(st.integers(1, 2)), 0.25) for j in range(junctions - 1)]
    for _ in range(draw(st.integers(0, 4))):
        source = draw(st.integers(0, junctions - 2))
        target = draw(st.integers(source + 1, junctions - 1))
        phone = draw(st.sampled_from([NOTHING, 1, 2, 3]))
        arcs.append(Arc(source, target, phone, draw(st.sampled_from([0.0, 0.5, 2.0]))))
    if draw(st.booleans()):
        place = draw(st.integers(0, junctions - 1))
        arcs.append(Arc(place, place, SIL, 0.5))
    frames = draw(st.integers(1, 13))
    seed = draw(st.integers(0, 1000))
    return np.log(np.random.default_rng(seed).dirichlet(np.ones(4), frames)), arcs, junctions


@settings(max_examples=150, deadline=None)
@given(problems())
def test_no_path_is_better(problem):
    logs, arcs, junctions = problem
    steps = align_network(logs, arcs, junctions, SIL)
    expected = brute(logs, arcs, junctions - 1)
    if steps is None:
        assert expected == -np.inf
        return
    place, frame = 0, 0
    for step in steps:
        arc = arcs[step.arc]
        assert (arc.source, step.start) == (place, frame)
        place, frame = arc.target, step.end
        assert (step.end > step.start) == (arc.phone != NOTHING)
    assert (place, frame) == (junctions - 1, len(logs))
    assert score(logs, arcs, steps) == pytest.approx(expected, abs=1e-4)


def test_a_chain_is_what_force_align_finds():
    logs = np.log(np.random.default_rng(3).dirichlet(np.full(5, 0.3), 60))
    phones = [2, 4, 4, 1, 3]
    arcs = [Arc(i, i + 1, phone) for i, phone in enumerate(phones)]
    arcs += [Arc(i, i, SIL) for i in range(len(phones) + 1)]
    steps = align_network(logs, arcs, len(phones) + 1, SIL)
    expected = force_align(logs, phones, SIL)
    assert [(arcs[s.arc].phone, s.start, s.end) for s in steps] == [
        (run.phone, run.start, run.end) for run in expected.segments
    ]


def test_cost_decides_what_the_sound_leaves_open_and_the_scale_how_soon():
    logs = np.log(np.full((4, 4), 0.25))
    logs[:, 2] += 0.5
    arcs = [Arc(0, 1, 1, 0.0), Arc(0, 1, 2, 1.0)]
    assert align_network(logs, arcs, 2, SIL)[0].arc == 1
    assert align_network(logs, arcs, 2, SIL, acoustic_scale=0.2)[0].arc == 0


@pytest.mark.parametrize(
    "arc", [Arc(1, 0, 1), Arc(0, 2, 1), Arc(0, 0, 1), Arc(0, 1, 4), Arc(0, 1, 1, -1.0)]
)
def test_impossible_arcs_are_refused(arc):
    with pytest.raises(ValueError):
        align_network(np.zeros((4, 4)), [arc], 2, SIL)
    with pytest.raises(ValueError):
        align_network(np.zeros((4, 4)), [Arc(0, 1, 1)], 2, SIL, acoustic_scale=0.0)


def line_of_words(words: int, seed: int) -> Network:
    """Blocks of two or three ways to say a word, silence between them, and words passed over."""
    random = np.random.default_rng(seed)
    rows, first_arc, first_junction = [], [0], [0]
    for _ in range(words):
        base, inner = first_junction[-1], int(random.integers(1, 3))
        start, end = base + 1, base + 2 + inner
        rows.append((start, start, SIL, 0.3, LEAST_SILENCE_FRAMES))
        for _ in range(2):
            chain = [start, *range(base + 2, end), end + 1]
            for source, target in zip(chain, chain[1:]):
                rows.append((source, target, int(random.integers(1, 4)), random.random(), 2))
        rows.append((base, start, NOTHING, 0.0, 0))
        rows.append((start, end, NOTHING, 4.0, 0))
        rows.append((base, end, NOTHING, 1.0, 0))
        first_arc.append(len(rows))
        first_junction.append(end)
    base = first_junction[-1]
    rows += [(base + 1, base + 1, SIL, 0.3, LEAST_SILENCE_FRAMES), (base, base + 1, NOTHING, 0, 0)]
    kinds = (np.int32, np.int32, np.int32, np.float32, np.int32)
    columns = [np.array(column, kind) for column, kind in zip(zip(*rows), kinds)]
    firsts = np.array([*first_arc, len(rows)]), np.array([*first_junction, base + 2])
    return Network(*columns, *firsts, start=1)


def cost(logs: np.ndarray, network: Network, steps: list[Step]) -> float:
    total = -sum(float(network.cost[s.arc]) for s in steps)
    return total + sum(logs[s.start : s.end, network.phone[s.arc]].sum() for s in steps)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 12), st.integers(0, 1000), st.integers(12, 160))
def test_blocks_and_pieces_change_nothing(words, seed, frames):
    network = line_of_words(words, seed)
    logs = np.log(np.random.default_rng(seed).dirichlet(np.full(4, 0.3), frames)).astype("f")
    whole = best_path(logs, network)
    assert whole is not None
    place, frame = network.start, 0
    for step in whole:
        assert (network.source[step.arc], step.start) == (place, frame)
        assert step.end - step.start >= network.least[step.arc]
        place, frame = network.target[step.arc], step.end
    assert (place, frame) == (network.first_junction[-1] - 1, frames)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(network_paths, "PIECE", 7)
        patch.setattr(network_paths, "LEAST_PIECE", 2)
        assert best_path(logs, network, back_bytes=0) == whole
        assert best_path(logs, network, beam=1000.0, back_bytes=200) == whole
    ends = np.array([0, network.first_arc[-1]]), np.array([0, network.first_junction[-1]])
    plain = replace(network, first_arc=ends[0], first_junction=ends[1])
    same = best_path(logs, plain)
    assert cost(logs, network, same) == pytest.approx(cost(logs, network, whole), abs=1e-3)


def test_a_beam_gives_up_what_is_too_far_from_the_best():
    arcs = [Arc(0, 1, 1), Arc(1, 2, 2)]
    columns = [np.array(column) for column in zip(*arcs)]
    network = Network(
        *(column.astype(np.int32) for column in columns[:3]),
        columns[3].astype(np.float32),
        np.array([2, 2], np.int32),
        np.array([0, 1, 2, 2]),
        np.array([0, 1, 2, 3]),
    )
    logs = np.log(np.tile([0.01, 0.98, 0.01], (8, 1))).astype(np.float32)
    steps = best_path(logs, network, beam=50.0)
    assert [(step.start, step.end) for step in steps] == [(0, 6), (6, 8)]
    assert best_path(logs, network, beam=1.0) is None
