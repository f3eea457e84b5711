"""Three states of each phone in a row, its beginning, middle and end, and paths through them.

Silence has one. The states of phone ``p`` are ``3 * p`` and the two that follow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from speechattn.decoder.forced_alignment import LEAST_SILENCE_FRAMES
from speechattn.decoder.network_paths import Network, best_path
from speechattn.segments import FrameSegment

STATES = 3  # of a phone
Variants = Sequence[tuple[int, ...]]  # pronunciations of a word, as classes of phones


@dataclass(frozen=True)
class StatePath:
    """How and when some words were said.

    Attributes:
        states: of each frame, int64, shape (frames,).
        runs: phones and silence, which cover all frames.
        words: first frame of each word, and the frame after its last.
        score: mean over the frames of phones, silence left out, of how much less likely their
            state is than the likeliest one, in nats.
    """

    states: np.ndarray
    runs: tuple[FrameSegment, ...]
    words: tuple[tuple[int, int], ...]
    score: float


def divided(labels: np.ndarray, silence: int) -> np.ndarray:
    """Divide each run of a phone equally between its states.

    Args:
        labels: phone of each frame, shape (frames,).
        silence: its class.

    Returns:
        State of each frame, int64, shape (frames,).
    """
    cuts = np.flatnonzero(np.diff(labels)) + 1
    states = []
    for run in np.split(labels, cuts):
        part = np.arange(len(run)) * STATES // len(run)
        states.append(run * STATES + (part if run[0] != silence else 0))
    return np.concatenate(states).astype(np.int64)


def best_states(words: Sequence[Variants], scores: np.ndarray, silence: int) -> StatePath | None:
    """Find the best path through any pronunciations of some words, and pauses between them.

    Args:
        words: how each is said.
        scores: log likelihoods of the states, shape (frames, states).
        silence: class of silence.

    Returns:
        None if there are too few frames.
    """
    network = _network(words, silence)
    steps = best_path(np.ascontiguousarray(scores, np.float32), network)
    if steps is None:
        return None
    states = network.phone[[step.arc for step in steps]].astype(np.int64)
    owners = np.searchsorted(network.first_arc, [step.arc for step in steps], side="right") - 1
    runs: list[FrameSegment] = []
    spans: list[list[int]] = [[] for _ in words]
    for state, owner, step in zip(states.tolist(), owners.tolist(), steps):
        phone, part = divmod(state, STATES)
        goes_on = part > 0 or (phone == silence and runs and runs[-1].phone == silence)
        runs.append(FrameSegment(phone, runs.pop().start if goes_on else step.start, step.end))
        if phone != silence:
            spans[owner] += (step.start, step.end)
    states = np.repeat(states, [step.end - step.start for step in steps])
    spoken = np.flatnonzero(states // STATES != silence)
    score = float((scores[spoken, states[spoken]] - scores[spoken].max(1)).mean())
    return StatePath(states, tuple(runs), tuple((s[0], s[-1]) for s in spans), score)


def _network(words: Sequence[Variants], silence: int) -> Network:
    """The network of some words: a block for each, and one for the silence at the end."""
    rows: list[tuple[int, int, int, int]] = []  # source, target, state, least frames
    first_arc, first_junction = [0], [0]
    for variants in (*words, ()):
        junction = start = first_junction[-1]
        after = start + 1 + sum(STATES * len(way) - 1 for way in variants)
        rows.append((start, start, silence * STATES, LEAST_SILENCE_FRAMES))
        for way in variants:
            source = start
            states = [phone * STATES + part for phone in way for part in range(STATES)]
            for state in states[:-1]:
                junction += 1
                rows.append((source, junction, state, 1))
                source = junction
            rows.append((source, after, states[-1], 1))
        first_arc.append(len(rows))
        first_junction.append(after)
    source_of, target, state_of, least = (np.array(column, np.int32) for column in zip(*rows))
    costs = np.zeros(len(rows), np.float32)
    starts = np.array(first_arc), np.array(first_junction)
    return Network(source_of, target, state_of, costs, least, *starts)
