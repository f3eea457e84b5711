"""Recordings for benchmarks: 16-bit samples and WAV files of any length."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from support.recordings import two_recordings

from speechattn.bench.sounds import pcm16, repeat_audio
from speechattn.errors import SpeechattnError


@pytest.fixture
def rec(tmp_path) -> Path:
    return two_recordings(tmp_path / "rec")


@given(st.integers(-(2**15), 2**15 - 1))
def test_16_bit_samples_come_back(value):
    assert np.frombuffer(pcm16(np.float32([value / 2**15])), "<i2") == [value]


def test_loud_samples_are_clipped():
    samples = np.frombuffer(pcm16(np.array([1.0, 2.0, -1.0, -3.0])), "<i2")
    assert samples.tolist() == [32_767, 32_767, -32_768, -32_768]


def test_repeated_audio(rec, tmp_path):
    paths = [rec / "a.wav", rec / "b" / "c d.flac"]
    both = np.concatenate([soundfile.read(path, dtype="int16")[0] for path in paths])
    for seconds in (1.0, 0.1, 2.345):
        repeat_audio(paths, tmp_path / "long.wav", seconds)
        samples, rate = soundfile.read(tmp_path / "long.wav", dtype="int16")
        assert rate == 16_000
        np.testing.assert_array_equal(samples, np.resize(both, round(16_000 * seconds)))


def test_a_full_disk_is_reported(rec):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full on this system")
    with pytest.raises(SpeechattnError, match="0.1 minutes.*TMPDIR"):
        repeat_audio([rec / "a.wav"], Path("/dev/full"), 6.0)
