"""The loss over paths by going through every path, and its gradient: for tiny cases only."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from speechattn.training.losses import SCALE

Rows = Sequence[Sequence[float]]


def log_sum(scores: Sequence[float]) -> float:
    """The logarithm of the sum of exponentials."""
    highest = max(scores)
    return highest + math.log(sum(math.exp(s - highest) for s in scores))


def path_score(log_probs: Rows, transitions: Rows, path: Sequence[int]) -> float:
    """What :func:`speechattn.training.losses.path_loss` gives a path of labels, one a frame."""
    frames = sum(log_probs[t][p] for t, p in enumerate(path))
    return SCALE * (frames + sum(transitions[a][b] for a, b in itertools.pairwise(path)))


def fits(path: Sequence[int], labels: Sequence[int], slack: int) -> bool:
    """Whether a path has the reference's runs, each boundary no further off than the slack."""
    runs = [(label, len(list(group))) for label, group in itertools.groupby(labels)]
    found = [(label, len(list(group))) for label, group in itertools.groupby(path)]
    if [label for label, _ in runs] != [label for label, _ in found]:
        return False
    ends = itertools.accumulate(length for _, length in runs)
    return all(
        abs(end - other) <= slack
        for end, other in zip(ends, itertools.accumulate(length for _, length in found))
    )


def sum_over_paths(log_probs: Rows, labels: Sequence[int], transitions: Rows, slack: int) -> float:
    """The loss of an utterance, by its definition."""
    everything, reference = _paths(log_probs, labels, transitions, slack)
    return (log_sum([*everything.values()]) - log_sum([*reference.values()])) / SCALE


def gradient_over_paths(
    log_probs: Rows, labels: Sequence[int], transitions: Rows, slack: int
) -> list[list[float]]:
    """Its gradient: how much likelier paths have a label at a frame than the reference's have."""
    found = [[0.0] * len(row) for row in log_probs]
    for paths, sign in zip(_paths(log_probs, labels, transitions, slack), (1, -1)):
        total = log_sum([*paths.values()])
        for path, score in paths.items():
            for t, label in enumerate(path):
                found[t][label] += sign * math.exp(score - total)
    return found


def _paths(
    log_probs: Rows, labels: Sequence[int], transitions: Rows, slack: int
) -> tuple[dict[tuple[int, ...], float], dict[tuple[int, ...], float]]:
    """Scores of all paths, and of those that are the reference's."""
    paths = itertools.product(range(len(transitions)), repeat=len(labels))
    scores = {path: path_score(log_probs, transitions, path) for path in paths}
    return scores, {path: s for path, s in scores.items() if fits(path, labels, slack)}
