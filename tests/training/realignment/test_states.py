"""Paths through the states of words, against every path that there is."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from speechattn.decoder.forced_alignment import LEAST_SILENCE_FRAMES
from speechattn.training.realignment.states import STATES, best_states, divided

SILENCE = 0
PHONES = 4
WORDS = [[(1, 2), (3,)], [(2,), (2, 1)]]  # two words with two pronunciations each


def shares(total: int, least: list[int]):
    """All ways to divide frames between parts of at least so many each."""
    if len(least) == 1:
        if total >= least[0]:
            yield (total,)
        return
    for first in range(least[0], total + 1):
        for rest in shares(total - first, least[1:]):
            yield (first, *rest)


def every_path(words, frames: int):
    """The states of the frames of every path."""
    for ways in itertools.product(*words):
        for pauses in itertools.product((False, True), repeat=len(words) + 1):
            states, least = [], []
            for number in range(len(words) + 1):
                if pauses[number]:
                    states.append(SILENCE)
                    least.append(LEAST_SILENCE_FRAMES)
                for phone in ways[number] if number < len(words) else ():
                    states += range(phone * STATES, phone * STATES + STATES)
                    least += [1] * STATES
            for lengths in shares(frames, least):
                yield np.repeat(states, lengths)


@pytest.mark.parametrize("seed", range(5))
def test_the_best_of_all_paths_is_found(seed):
    random = np.random.default_rng(seed)
    frames = int(random.integers(9, 14))
    scores = random.normal(size=(frames, PHONES * STATES)).astype(np.float32)
    scores[:, SILENCE] += random.choice([-1, 1])
    rows = np.arange(frames)
    best = max(every_path(WORDS, frames), key=lambda states: scores[rows, states].sum())
    found = best_states(WORDS, scores, SILENCE)
    assert found.states.tolist() == best.tolist()
    spoken = np.flatnonzero(best)
    lost = scores[spoken, best[spoken]] - scores[spoken].max(1)
    assert found.score == pytest.approx(lost.mean(), rel=1e-5)


def test_runs_are_whole_phones_and_words_begin_after_pauses():
    said = [*[0] * 7, 3, 4, 5, 3, 4, 4, 5, *[0] * 8, 9, 10, 10, 11]
    scores = np.full((len(said), PHONES * STATES), -5, np.float32)
    scores[np.arange(len(said)), said] = 0
    found = best_states([[(1, 1)], [(2,), (3,)]], scores, SILENCE)
    assert [(run.phone, run.start, run.end) for run in found.runs] == [
        (0, 0, 7), (1, 7, 10), (1, 10, 14), (0, 14, 22), (3, 22, 26),
    ]  # fmt: skip
    assert found.words == ((7, 14), (22, 26)) and found.score == 0


def test_too_few_frames_have_no_path():
    scores = np.zeros((5, PHONES * STATES), np.float32)
    assert best_states([[(1, 2)]], scores, SILENCE) is None


def test_runs_are_divided_equally_and_silence_is_not():
    labels = np.array([0, 0, 0, 0, 2, 2, 2, 2, 2, 2, 1, 1, 0])
    assert divided(labels, SILENCE).tolist() == [0] * 4 + [6, 6, 7, 7, 8, 8, 3, 4, 0]
