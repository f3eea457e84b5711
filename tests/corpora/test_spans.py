"""Parts of recordings: the samples that the whole has there, however it is cut into blocks."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from speechattn.audio.load import read_audio
from speechattn.corpora.corpus import Utterance
from speechattn.corpora.spans import cut_blocks, read_spans, utterance_audio, utterance_blocks
from speechattn.errors import CorpusError

SIGNAL = np.arange(16_000, dtype=np.float32)


@given(
    st.lists(st.tuples(st.integers(0, 99), st.integers(1, 100)), max_size=6),
    st.lists(st.integers(1, 15_999), max_size=5),
)
def test_parts_are_those_of_the_whole(spans, cuts):
    wanted = sorted((a / 100, min(a + n, 100) / 100) for a, n in spans)
    blocks = np.split(SIGNAL, sorted(set(cuts)))
    found = list(cut_blocks(blocks, wanted, "x"))
    assert len(found) == len(wanted)
    for samples, (start, end) in zip(found, wanted):
        expected = SIGNAL[round(start * 16_000) : round(end * 16_000)]
        assert samples.tolist() == expected.tolist()


def test_ends():
    last, rest = cut_blocks([SIGNAL], [(0.5, 1.03), (0.75, None)], "x")
    assert (len(last), len(rest)) == (8000, 4000)
    for span in ((0.5, 1.04), (1.0, None), (1.0, 1.01)):
        with pytest.raises(CorpusError, match=r"x: the recording ends at 1\.00 s; there is no"):
            list(cut_blocks([SIGNAL], [span], "x"))
    with pytest.raises(ValueError, match="sorted"):
        list(cut_blocks([SIGNAL], [(0.5, 0.6), (0.1, 0.2)], "x"))


def test_of_files(tmp_path):
    path = tmp_path / "a.flac"
    time = np.arange(44_100 * 3) / 44_100
    soundfile.write(path, 0.5 * np.sin(2 * np.pi * 300 * time), 44_100)
    whole, _ = read_audio(path)
    first, second = read_spans(path, [(0.25, 1.0), (1.5, None)])
    assert np.array_equal(first, whole[4000:16_000]) and np.array_equal(second, whole[24_000:])
    part = Utterance("u", path, "s", start=0.25, end=1.0)
    assert np.array_equal(utterance_audio(part), first)
    assert np.array_equal(np.concatenate(list(utterance_blocks(part))), first)
    all_of_it = Utterance("u", path, "s")
    assert np.array_equal(np.concatenate(list(utterance_blocks(all_of_it))), whole)
    assert all_of_it.is_whole and not part.is_whole
