import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechattn.corpora.corpus import Corpus, Utterance
from speechattn.segments import Segment
from speechattn.training.realignment.given_times import LEAST, keep_given_times, with_times


def segments(*parts):
    """Make contiguous segments of labels and ends, as "AH 0.1"."""
    found, start = [], 0.0
    for part in parts:
        label, end = part.split()
        found.append(Segment(label, start, float(end)))
        start = float(end)
    return found


def starts(found):
    return [segment.start for segment in found[1:]]


def test_a_boundary_between_the_same_phones_takes_the_given_time():
    found = segments("SIL 0.10", "K 0.20", "AE 0.32", "T 0.40")
    known = segments("SIL 0.12", "K 0.19", "AE 0.30", "T 0.40")
    assert starts(with_times(found, known, 0.05)) == [0.12, 0.19, 0.30]


def test_where_phones_differ_the_models_time_stays():
    found = segments("SIL 0.10", "K 0.20", "AE 0.32", "P 0.40", "SIL 0.50")
    known = segments("SIL 0.12", "K 0.19", "AE 0.30", "T 0.41", "SIL 0.50")
    assert starts(with_times(found, known, 0.05)) == [0.12, 0.19, 0.32, 0.40]


def test_phones_that_are_alike_share_their_boundary():
    found = segments("DH 0.10", "IH 0.20", "D 0.30")
    known = segments("DH 0.12", "AH 0.21", "T 0.30")
    assert starts(with_times(found, known, 0.05)) == [0.12, 0.21]


def test_a_dropped_phone_leaves_the_others_their_times():
    found = segments("AE 0.10", "N 0.20", "SIL 0.30", "M 0.40")
    known = segments("AE 0.11", "N 0.18", "D 0.21", "SIL 0.31", "M 0.40")
    assert starts(with_times(found, known, 0.05)) == [0.11, 0.20, 0.31]


def test_a_time_that_is_far_off_is_not_taken():
    found = segments("K 0.10", "AE 0.50")
    assert starts(with_times(found, segments("K 0.16", "AE 0.50"), 0.05)) == [0.10]
    assert starts(with_times(found, segments("K 0.15", "AE 0.50"), 0.05)) == [0.15]


def test_a_segment_keeps_ten_milliseconds():
    found = segments("SIL 0.10", "K 0.12", "AE 0.50")
    known = segments("SIL 0.13", "K 0.14", "AE 0.50")
    assert starts(with_times(found, known, 0.05)) == [0.10, 0.14]


LABELS = st.sampled_from(["AH", "IH", "K", "T", "D", "SIL"])


@st.composite
def alignments(draw):
    labels = draw(st.lists(LABELS, min_size=1, max_size=30))
    lengths = draw(st.lists(st.integers(1, 9), min_size=len(labels), max_size=len(labels)))
    ends = np.cumsum(lengths) / 100
    return segments(*(f"{label} {end:.2f}" for label, end in zip(labels, ends)))


@given(alignments(), alignments(), st.floats(0, 0.2))
def test_labels_order_and_ends_stay(found, known, within):
    moved = with_times(found, known, within)
    assert [s.label for s in moved] == [s.label for s in found]
    assert (moved[0].start, moved[-1].end) == (found[0].start, found[-1].end)
    for one, other in zip(moved, moved[1:]):
        assert one.end == other.start
    assert min(s.duration for s in moved) >= min(LEAST, *(s.duration for s in found)) - 1e-6
    for before, after in zip(found, moved):
        assert abs(after.start - before.start) <= within + 1e-6


def test_utterances_are_paired_by_their_ids(tmp_path):
    def corpus(*alignments):
        utterances = tuple(
            Utterance(f"u{n}", Path("a.wav"), "s", alignment=each and tuple(each))
            for n, each in enumerate(alignments)
        )
        return Corpus(tmp_path, None, utterances)

    given = corpus(segments("K 0.12", "AE 0.50"), None, segments("K 0.12", "AE 0.50"))
    realigned = corpus(segments("K 0.10", "AE 0.50"), segments("K 0.10", "AE 0.50"))
    realigned = dataclasses.replace(realigned, utterances=realigned.utterances[::-1])
    kept = keep_given_times(realigned, given, 0.05)
    assert [u.id for u in kept] == ["u1", "u0"]
    assert [u.alignment[0].end for u in kept] == pytest.approx([0.10, 0.12])
