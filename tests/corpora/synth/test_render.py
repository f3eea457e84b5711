from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter

from speechattn.corpora.synth.corpus import plan
from speechattn.corpora.synth.espeak_phones import PhonemeTable, PhoneSpan
from speechattn.corpora.synth.render import PEAK_DBFS, SILENCE_S, frame_spans, one_pole, render
from speechattn.errors import CorpusError


@settings(max_examples=200)
@given(
    pieces=st.lists(
        st.tuples(st.sampled_from(["SIL", "AA", "T", "S"]), st.floats(0, 0.3)),
        min_size=1,
        max_size=20,
    ),
    offset=st.integers(1, 30),
    after=st.integers(1, 30),
)
def test_frame_spans(pieces, offset, after):
    spans, at = [], 0.0
    for phone, length in pieces:
        spans.append(PhoneSpan(phone, at, at + length))
        at += length
    frames = offset + int(np.ceil(at * 100)) + len(pieces) + after
    found = frame_spans(spans, offset, frames, "SIL")
    assert found[0][1] == 0 and found[-1][2] == frames
    assert all(a[2] == b[1] for a, b in pairwise(found))
    assert all(end > start for _, start, end in found)
    assert [p for p, _, _ in found if p != "SIL"] == [p for p, _ in pieces if p != "SIL"]
    assert found[0][0] == found[-1][0] == "SIL"
    if all(length >= 0.02 for _, length in pieces):  # nothing needed to be pushed
        starts = {round(s.start * 100) + offset for s in spans}
        assert all(s in starts for p, s, _ in found[1:] if p != "SIL")


def test_frame_spans_that_do_not_fit():
    with pytest.raises(CorpusError, match="do not fit"):
        frame_spans([PhoneSpan("AA", 0.0, 0.01)] * 9, 1, 5, "SIL")


@pytest.mark.parametrize("pole", [0.0, 0.4, 0.95])
def test_one_pole_against_scipy(pole):
    signal = np.random.default_rng(0).standard_normal(16_000)
    before = signal.copy()
    np.testing.assert_allclose(
        one_pole(pole, signal), lfilter([1.0], [1.0, -pole], signal), rtol=0, atol=1e-12
    )
    assert np.array_equal(signal, before)


def test_render_gives_whole_frames_a_level_and_silence_around():
    table = PhonemeTable()
    for job in plan({"train": 6}, 0):
        samples, phones = render(job, table)
        assert samples.dtype == np.int16 and len(samples) == 160 * phones[-1][2]
        peak = 20 * np.log10(np.abs(samples.astype(float)).max() / 2**15)
        assert PEAK_DBFS[0] - 1 < peak < PEAK_DBFS[1] + 1  # the noise may add to it
        for phone, first, end in (phones[0], phones[-1]):
            assert phone == "SIL" and (end - first) / 100 > SILENCE_S[0] - 0.01
