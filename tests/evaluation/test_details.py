"""Errors by phone, by utterance and in time."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from speechattn.evaluation.details import FARTHEST, LONGEST, Details, align_labels
from speechattn.evaluation.scores import Scores
from speechattn.phones import PhoneSet
from speechattn.segments import FrameSegment

PHONES = PhoneSet(("SIL", "A", "B", "C"))
LABELS = st.lists(st.sampled_from("ABC*"), max_size=12)


def runs(text: str, length: int = 5, confidence: float = 1.0) -> list[FrameSegment]:
    """A phone a letter; ``-`` is silence."""
    return [
        FrameSegment("-ABC".index(c), i * length, (i + 1) * length, confidence)
        for i, c in enumerate(text)
    ]


def distance(one: list[str], other: list[str]) -> int:
    """Levenshtein's distance, as its definition says."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        last, row[0] = row[0], i
        for j, b in enumerate(other, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (a != b))
    return row[-1]


@given(LABELS, LABELS)
def test_an_alignment_has_both_sides_and_the_fewest_edits(one, other):
    pairs = align_labels(one, other)
    assert [a for a, _ in pairs if a is not None] == one
    assert [b for _, b in pairs if b is not None] == other
    assert sum(a != b for a, b in pairs) == distance(one, other)


def test_edits_add_up_to_those_of_the_scores():
    scores, details = Scores(PHONES), Details(PHONES)
    for number, (reference, found) in enumerate((("-ABC-", "-AACB"), ("AB", "-C"), ("CC", "CC"))):
        one, other = runs(reference), runs(found, confidence=0.5)
        counts = scores.add(one, other, speaker="s")
        details.add(one, other, counts, utterance=str(number), corpus="c", speaker="s")
    values, counts = details.to_dict(), scores.counts()
    edits = np.array(values["edits"])
    errors = counts.substitutions + counts.insertions + counts.deletions
    assert edits.sum() - np.trace(edits[:-1, :-1]) == errors
    assert edits[:-1].sum() == counts.phones
    for name in ("phones", "substitutions", "insertions", "deletions"):
        assert sum(row[name] for row in values["utterances"]) == getattr(counts, name)
    assert values["utterances"][0]["reference"] == "A B C"
    assert values["utterances"][0]["recognised"] == "A A C B"
    assert values["utterances"][0]["duration"] == 0.25
    assert sum(values["confidences"]) == sum(values["phone_counts"]["recognised"]) == 7
    assert values["confidence_sums"] == [0, 1.0, 0.5, 2.0]  # A A, B, C C C C


def test_lengths_and_late_phones_are_counted_and_those_beyond_are_in_the_last_bin():
    details, scores = Details(PHONES), Scores(PHONES)
    reference = [FrameSegment(0, 0, 50), FrameSegment(1, 50, 53), FrameSegment(2, 53, 200)]
    found = [FrameSegment(0, 0, 20), FrameSegment(1, 20, 55), FrameSegment(2, 55, 200)]
    details.add(reference, found, scores.add(reference, found, speaker="s"))
    values = details.to_dict()
    late = np.array(values["boundary_errors"])
    assert late[0] == 1 and late[FARTHEST + 2] == 1 and late.sum() == 2  # 30 early, 2 late
    lengths = values["durations"]
    assert lengths["reference"][2] == 1 and lengths["reference"][LONGEST - 1] == 1
    assert values["phone_frames"]["recognised"] == [0, 35, 145, 0]


def test_without_a_reference_what_was_recognised_is_counted():
    details = Details(PHONES)
    details.add(None, runs("-AB", confidence=0.25), None, utterance="u")
    details.add(None, runs("---"), None, utterance="silent")
    values = details.to_dict()
    assert values["phone_counts"] == {"reference": [0, 0, 0, 0], "recognised": [0, 1, 1, 0]}
    assert [row["confidence"] for row in values["utterances"]] == [0.25, None]
    assert "reference" not in values["utterances"][0]
