"""What was recognised beside a reference: which phone stands for which, and where they differ."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from speechattn.phones import PhoneSet
from speechattn.segments import Segment
from speechattn.viewer.results import SILENCES

LEAST_PAUSE = 0.03  # seconds that are silent in both, where the alignment may be cut
FARTHEST = 0.2  # seconds between two segments that stand for each other
NEARNESS = 1e-4  # edits that a second between the middles of a pair costs: it breaks ties
_DELETED, _PAIRED, _INSERTED = 0, 1, 2
LONGEST_BLOCK = 120.0  # seconds that are aligned at once; time and memory grow with its square


@dataclass(frozen=True)
class Comparison:
    """Which phone of one tier stands for which of the other.

    Attributes:
        recognised: for each recognised segment the number of its reference segment; -1 if it is
            inserted, -2 if it is silence, which is not compared.
        reference: for each reference segment the number of its recognised one; -1 if it was
            deleted, -2 for silence.
        wrong: numbers of the recognised segments that differ.
        differences: time in seconds, and what differs, for people.
    """

    recognised: list[int]
    reference: list[int]
    wrong: frozenset[int]
    differences: list[tuple[float, str]]


def phone_key(phones: PhoneSet) -> Callable[[str], str]:
    """Return the function from a label to what it is compared as; silence is the empty text.

    Case and digits of stress do not count, and phones that the set folds are one. Labels may be
    the set's own or their IPA.
    """
    ipa = {written: name for name, written in phones.ipa.items()}
    upper = {name.upper(): name for name in phones.names}

    def key(label: str) -> str:
        if label.casefold() in SILENCES or label == phones.silence:
            return ""
        name = upper.get(label.upper()) or upper.get(label.upper().rstrip("012")) or ipa.get(label)
        return label if name is None else phones.folded(name)

    return key


def compare(
    reference: Sequence[Segment], recognised: Sequence[Segment], key: Callable[[str], str]
) -> Comparison:
    """Compare two sequences of segments by their edit distance, silence left out.

    Of alignments with as few edits, that which pairs segments closest in time counts.

    Args:
        reference: segments in seconds, sorted.
        recognised: likewise.
        key: what a label is compared as; the empty text for silence.
    """
    sides = reference, recognised
    keys = [[key(segment.label) for segment in side] for side in sides]
    partners = [[-1 if k else -2 for k in side] for side in keys]
    middles = [[(s.start + s.end) / 2 for s in side] for side in sides]
    for cut in pairwise(_cuts(sides, keys)):
        ranges = [[bisect_left(middle, time) for time in cut] for middle in middles]
        parts = [[i for i in range(*ranges[n]) if keys[n][i]] for n in (0, 1)]
        for i, j in _pairs(sides, keys, parts):
            partners[0][i], partners[1][j] = j, i
    wrong = frozenset(
        j for j, i in enumerate(partners[1]) if i == -1 or (i >= 0 and keys[0][i] != keys[1][j])
    )
    return Comparison(partners[1], partners[0], wrong, _differences(sides, keys, partners))


def _pairs(
    sides: Sequence[Sequence[Segment]], keys: Sequence[Sequence[str]], parts: Sequence[list[int]]
) -> list[tuple[int, int]]:
    """Align some segments of both sides; return the numbers of those that stand for each other.

    Levenshtein's distance, with two additions: of alignments with as few edits the one whose
    pairs lie closest in time is taken, and pairs lie ``FARTHEST`` apart at most. Row by row; the
    cost of insertions, which are all alike, is a running minimum.
    """
    starts, ends = (
        [np.array([getattr(sides[n][i], name) for i in parts[n]]) for n in (0, 1)]
        for name in ("start", "end")
    )
    names = [np.array([keys[n][i] for i in parts[n]], dtype=object) for n in (0, 1)]
    columns = np.arange(len(parts[1]) + 1)
    row = columns.astype(float)  # all inserted
    steps = np.zeros((len(parts[0]) + 1, len(columns)), np.int8)
    for i in range(len(parts[0])):
        gap = np.maximum(starts[1] - ends[0][i], starts[0][i] - ends[1])
        shift = np.abs((starts[1] + ends[1]) - (starts[0][i] + ends[0][i])) / 2
        paired = (names[1] != names[0][i]) + np.minimum(shift, 1.0) * NEARNESS
        paired[gap > FARTHEST] = 3.0  # more than to delete one and insert the other
        best = row + 1  # deleted
        diagonal = row[:-1] + paired
        is_paired = diagonal < best[1:]
        best[1:] = np.where(is_paired, diagonal, best[1:])
        row = np.minimum.accumulate(best - columns) + columns
        steps[i + 1, 1:] = np.where(row[1:] < best[1:] - 1e-9, _INSERTED, is_paired * _PAIRED)
        steps[i + 1, 0] = _DELETED
    pairs = []
    i, j = len(parts[0]), len(parts[1])
    while i and j:
        if steps[i, j] == _PAIRED:
            i, j = i - 1, j - 1
            pairs.append((parts[0][i], parts[1][j]))
        elif steps[i, j] == _INSERTED:
            j -= 1
        else:
            i -= 1
    return pairs[::-1]


def _cuts(sides: Sequence[Sequence[Segment]], keys: Sequence[Sequence[str]]) -> list[float]:
    """Return times at which both may be cut, from before the first to after the last segment."""
    pauses = [[s for s, k in zip(side, ks) if not k] for side, ks in zip(sides, keys)]
    cuts, j = [float("-inf")], 0
    for pause in pauses[0]:
        while j < len(pauses[1]) and pauses[1][j].end <= pause.start:
            j += 1
        if j < len(pauses[1]):
            start = max(pause.start, pauses[1][j].start)
            end = min(pause.end, pauses[1][j].end)
            if end - start >= LEAST_PAUSE:
                cuts.append((start + end) / 2)
    end = max((side[-1].end for side in sides if side), default=0.0)
    filled: list[float] = []
    for cut in [*cuts[1:], end]:
        last = filled[-1] if filled else 0.0
        while cut - last > LONGEST_BLOCK:
            last += LONGEST_BLOCK / 2
            filled.append(last)
        filled.append(cut)
    return [float("-inf"), *filled[:-1], float("inf")]


def _differences(
    sides: Sequence[Sequence[Segment]],
    keys: Sequence[Sequence[str]],
    partners: Sequence[Sequence[int]],
) -> list[tuple[float, str]]:
    found = []
    reference, recognised = sides
    for segment, key, partner in zip(recognised, keys[1], partners[1]):
        if partner == -1:
            found.append((segment.start, f"{segment.label} is not in the reference"))
        elif partner >= 0 and key != keys[0][partner]:
            was = reference[partner].label
            found.append((segment.start, f"{segment.label}, reference {was}"))
    for segment, partner in zip(reference, partners[0]):
        if partner == -1:
            found.append((segment.start, f"{segment.label} of the reference is missing"))
    return sorted(found)
