"""Alignments on the frame grid: against painting, at their ends, and what is refused."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from speechattn.corpora.alignment import END_TOLERANCE_FRAMES, frame_labels, reference_runs
from speechattn.errors import CorpusError
from speechattn.phones import PhoneSet
from speechattn.segments import FrameSegment, Segment

PHONES = PhoneSet(("SIL", "AA", "B", "SH"))


@pytest.mark.parametrize(
    ("frames", "tail"),
    [(7, [2]), (10, [2] * 4), (10 + END_TOLERANCE_FRAMES, [2] * 7), (14, [2] * 4 + [0] * 4)],
)
def test_frame_labels_at_the_end(frames, tail):
    alignment = [Segment("AA", 0.0, 0.06), Segment("B", 0.06, 0.10)]
    labels = frame_labels(alignment, frames, PHONES)
    assert labels.dtype == np.int64
    assert labels.tolist() == [1] * 6 + tail


def test_an_alignment_past_its_audio_is_refused():
    alignment = [Segment("AA", 0.0, 0.06), Segment("B", 0.06, 0.10)]
    with pytest.raises(CorpusError, match=r"^u7: CTM past the end .* ends at 0.10 s, .* at 0.06 s"):
        frame_labels(alignment, 6, PHONES, name="u7")
    with pytest.raises(CorpusError, match="past the end"):  # B would vanish within the tolerance
        frame_labels([Segment("AA", 0.0, 0.06), Segment("B", 0.06, 0.07)], 6, PHONES)
    with pytest.raises(CorpusError, match="no frames"):
        frame_labels([], 0, PHONES)
    with pytest.raises(CorpusError, match="unknown phone 'ZH'"):
        frame_labels([Segment("ZH", 0.0, 0.06)], 6, PHONES)


def test_equal_neighbours_stay_apart():
    runs = reference_runs([Segment("B", 0.0, 0.02), Segment("B", 0.02, 0.05)], 5, PHONES)
    assert runs == [FrameSegment(2, 0, 2), FrameSegment(2, 2, 5)]


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9), st.integers(1, 30)), max_size=12),
    st.integers(-END_TOLERANCE_FRAMES, 40),
)
@example([(0, 0, 1), (0, 0, 1)], -1)
@example([(1, 0, 1), (0, 1, 1)], -1)
@example([(0, 0, 1), (1, 0, 1)], -1)
def test_runs_tile_and_agree_with_painting(parts, beyond):
    """Painting segments on a canvas of silence is the independent implementation."""
    alignment, time, last = [], 0, 0
    for phone, gap, length in parts:
        # Silences merge, so that a last one may begin with the gap or the silence before it.
        if phone or not alignment or alignment[-1].label != "SIL":
            last = time + gap if phone else time
        alignment.append(
            Segment(PHONES.names[phone], (time + gap) / 100, (time + gap + length) / 100)
        )
        time += gap + length
    frames = time + beyond
    if frames <= 0 or (alignment and last >= frames):
        with pytest.raises(CorpusError):
            frame_labels(alignment, frames, PHONES)
        return
    canvas = np.zeros(frames, dtype=int)
    for segment in alignment:
        start, end = round(segment.start * 100), round(segment.end * 100)
        canvas[start:end] = PHONES.index[segment.label]
    if alignment and beyond <= END_TOLERANCE_FRAMES:
        canvas[time:] = PHONES.index[alignment[-1].label]
    assert frame_labels(alignment, frames, PHONES).tolist() == canvas.tolist()
    runs = reference_runs(alignment, frames, PHONES)
    assert [r.start for r in runs] == [0, *[r.end for r in runs[:-1]]] and runs[-1].end == frames
    spoken = [PHONES.index[s.label] for s in alignment if s.label != "SIL"]
    assert [r.phone for r in runs if r.phone] == spoken
    assert all(a.phone or b.phone for a, b in pairwise(runs))
