"""Phones as alignments, and long recordings as utterances."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechattn.corpora.readers.builder import cut, tile
from speechattn.corpora.readers.textgrid import Interval
from speechattn.errors import CorpusError
from speechattn.segments import check_tiling, seconds_to_frame


def tiled(*pieces, duration=1.0):
    return [tuple((s.label, s.start, s.end)) for s in tile(pieces, duration, "SIL", "x")]


def test_gaps_are_silence_and_times_stay_exact():
    assert tiled(("AA", 0.1234, 0.2), ("B", 0.3, 0.40001)) == [
        ("SIL", 0.0, 0.1234), ("AA", 0.1234, 0.2), ("SIL", 0.2, 0.3), ("B", 0.3, 0.4),
    ]  # fmt: skip


def test_short_phones_keep_a_frame_and_short_silences_none():
    found = tiled(("AA", 0, 0.5), ("B", 0.5, 0.502), ("SIL", 0.502, 0.503), ("AA", 0.503, 1.0))
    assert [label for label, *_ in found] == ["AA", "B", "AA"]
    frames = [(seconds_to_frame(start), seconds_to_frame(end)) for _, start, end in found]
    assert frames == [(0, 50), (50, 51), (51, 100)]


def test_the_end_of_the_audio():
    assert tiled(("AA", 0, 1.02)) == [("AA", 0, 1.0)]
    assert tiled(("AA", 0, 0.99), ("SIL", 0.99, 1.02))[-1][2] == pytest.approx(1.0)
    for pieces in ([("AA", 0, 1.04)], [("B", 0, 1), ("AA", 1.0, 1.02)]):
        with pytest.raises(CorpusError, match=r"x: AA ends at 1.0.* s, the audio at 1.000 s"):
            tiled(*pieces)


@pytest.mark.parametrize(
    ("pieces", "said"),
    [
        ([("AA", 0, 0.5), ("B", 0.4, 0.6)], "x: B at 0.400-0.600 s has no length or begins before"),
        ([("AA", float("nan"), 0.5)], "x: AA at nan-0.500 s has no length"),
        ([("AA", 0, float("inf"))], "x: AA ends at inf s, the audio at 1.000 s"),
        ([("AA", i / 500, (i + 1) / 500) for i in range(500)], "500 phones in 100 frames of 10 ms"),
    ],
)
def test_refused(pieces, said):
    with pytest.raises(CorpusError, match=said):
        tiled(*pieces)


@given(st.lists(st.floats(0.0002, 0.2), min_size=1, max_size=60), st.data())
def test_every_phone_has_frames_whatever_the_lengths(lengths, data):
    names = data.draw(
        st.lists(st.sampled_from(["AA", "B", "SIL"]), min_size=len(lengths), max_size=len(lengths))
    )
    pieces, end = [], 0.0
    for name, length in zip(names, lengths):
        pieces.append((name, end, end + length))
        end += length
    try:
        found = tile(pieces, max(end, 0.02), "SIL", "x")
    except CorpusError as error:
        assert "frames of 10 ms" in str(error)
        return
    if found:
        check_tiling(found, found[-1].end)
        edges = [seconds_to_frame(s.end) for s in found]
        assert all(a < b for a, b in zip([0, *edges], edges))
        assert seconds_to_frame(found[-1].end) <= seconds_to_frame(max(end, 0.02)) + 1
    spoken = [s.label for s in found if s.label != "SIL"]
    assert spoken == [name for name in names if name != "SIL"]


def utterances(*spans):
    intervals = [Interval(label, start, end, 0) for label, start, end in spans]
    found = cut(
        intervals, lambda label: label == "SIL", lambda label: label.isupper() and label != "SIL"
    )
    return [(round(s, 3), round(e, 3), [i.label for i in inside]) for s, e, inside in found]


def test_long_recordings_are_cut_at_pauses_and_at_what_is_no_speech():
    spans = [("SIL", 0, 1), ("aa", 1, 2), ("SIL", 2, 2.2), ("b", 2.2, 3), ("SIL", 3, 3.8)]
    spans += [("aa", 3.8, 4), ("IVER", 4, 6), ("b", 6, 7), ("SIL", 7, 7.1), ("NOISE", 7.1, 8)]
    assert utterances(*spans) == [
        (0.85, 3.15, ["aa", "SIL", "b"]), (3.65, 4, ["aa"]), (6, 7.1, ["b"]),
    ]  # fmt: skip
    assert utterances(("SIL", 0, 9)) == []
    assert utterances(("aa", 1, 2), ("b", 4, 5)) == [(1, 2.15, ["aa"]), (3.85, 5, ["b"])]
