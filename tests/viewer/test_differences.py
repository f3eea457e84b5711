"""Comparison with a reference: edit distances of an independent library, times, foreign labels."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from kaldialign import edit_distance

from speechattn.phones import arpabet
from speechattn.segments import Segment
from speechattn.viewer.differences import compare, phone_key

KEY = phone_key(arpabet())


def sequence(labels: str, step: float = 0.1, start: float = 0.0) -> list[Segment]:
    return [
        Segment(label, start + i * step, start + (i + 1) * step)
        for i, label in enumerate(labels.split())
    ]


def test_labels_that_mean_the_same():
    assert KEY("ah1") == KEY("AH") == KEY("ʌ") and KEY("sil") == KEY("") == KEY("SIL") == ""
    assert KEY("<x>") == "<x>" and KEY("ZH") == KEY("SH")  # folded in scores, and here


def test_substitution_insertion_and_deletion_are_found_where_they_are():
    reference, recognised = sequence("sil HH AH0 L OW1 sil W"), sequence("SIL HH AH L OY SIL V B")
    found = compare(reference, recognised, KEY)
    assert found.recognised == [-2, 1, 2, 3, 4, -2, 6, -1]
    assert found.reference == [-2, 1, 2, 3, 4, -2, 6]
    texts = [text for _, text in found.differences]
    assert texts == ["OY, reference OW1", "V, reference W", "B is not in the reference"]
    times = [time for time, _ in found.differences]
    assert times == [recognised[i].start for i in (4, 6, 7)]
    found = compare(sequence("B AH D"), [*sequence("B"), *sequence("D", start=0.2)], KEY)
    assert found.differences == [(0.1, "AH of the reference is missing")]


def test_of_equal_phones_those_at_the_same_time_are_a_pair():
    reference, recognised = sequence("T", start=0.2), sequence("T T T")
    assert compare(reference, recognised, KEY).recognised == [-1, -1, 0]
    assert compare(sequence("T", start=3), recognised, KEY).recognised == [-1, -1, -1]


@settings(max_examples=60)
@given(
    st.lists(st.sampled_from("ABCD"), max_size=12), st.lists(st.sampled_from("ABCD"), max_size=12)
)
def test_no_alignment_has_fewer_edits(one, other):
    # Within 0.2 s everything may be paired, so the number of edits is Levenshtein's.
    sides = [sequence(" ".join(labels), step=0.01) for labels in (one, other)]
    found = compare(*sides, str)
    assert len(found.differences) == edit_distance(one, other)["total"]
    pairs = [(i, j) for i, j in enumerate(found.reference) if j >= 0]
    assert all(a[1] < b[1] for a, b in pairwise(pairs))
    assert all(found.recognised[j] == i for i, j in pairs)
