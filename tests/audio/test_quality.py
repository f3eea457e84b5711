"""Made faults are warned of, good recordings are not, and blocks do not matter."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import scipy.signal
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from speechattn.audio.load import AudioFile
from speechattn.audio.quality import QualityMonitor, beyond_full_scale
from speechattn.inference.transcription import low_confidence
from speechattn.segments import Segment

RATE = 16_000


def speechlike(seconds: float = 4.0, rate: int = RATE, seed: int = 0) -> np.ndarray:
    """Noise that falls by 6 dB an octave from 500 Hz, in bursts: about as speech does."""
    noise = np.random.default_rng(seed).normal(0, 1, round(seconds * rate))
    shaped = scipy.signal.lfilter(*scipy.signal.butter(1, 500, fs=rate), noise)
    time = np.arange(len(shaped)) / rate
    shaped *= np.sin(2 * np.pi * 2 * time) ** 2
    return (0.5 * shaped / np.abs(shaped).max()).astype(np.float32)


def telephone(samples: np.ndarray) -> np.ndarray:
    """By way of 8 kHz and 16 bits."""
    low = np.round(32767 * soxr.resample(samples, RATE, 8000)) / 32768
    return soxr.resample(low, 8000, RATE)


def found(samples: np.ndarray, rate: int = RATE, channel: int | None = None, size: int = 65_536):
    samples = np.asarray(samples, np.float32)
    samples = samples[:, None] if samples.ndim == 1 else samples
    info = SimpleNamespace(sample_rate=rate, frames=len(samples), contradictions=())
    monitor = QualityMonitor(channel)
    for start in range(0, len(samples), size):
        monitor.add(info, samples[start : start + size])
    return monitor.warnings()


def keys(warnings: list[str]) -> list[str]:
    return [warning.partition(":")[0] for warning in warnings]


ONE, OTHER = speechlike(), speechlike(seed=1)
LOUD = np.clip(6 * ONE, -1, 1)
BOTH = np.stack([ONE, OTHER], axis=1)


@pytest.mark.parametrize(
    ("samples", "rate", "expected"),
    [
        (ONE, RATE, []),
        (0.01 * ONE, RATE, []),
        (ONE / np.abs(ONE).max(), RATE, []),  # full scale, but touched only
        (LOUD, RATE, ["clipped"]),
        (np.round(32767 * LOUD) / 32768, RATE, ["clipped"]),
        (np.zeros(RATE), RATE, ["silent"]),
        (1e-4 * OTHER, RATE, ["silent"]),
        (np.concatenate([np.zeros(20 * RATE), ONE]), RATE, []),  # silent for a while
        (ONE + 0.1, RATE, ["offset"]),
        (telephone(ONE), RATE, ["narrow band"]),
        (speechlike(rate=8000), 8000, ["narrow band"]),
        (speechlike(rate=44_100), 44_100, []),
        (soxr.resample(telephone(ONE), RATE, 44_100), 44_100, ["narrow band"]),
        (np.stack([ONE, ONE], axis=1), RATE, []),
        (np.stack([ONE, 0.3 * ONE + 0.1 * OTHER], axis=1), RATE, []),
        (BOTH, RATE, ["different channels"]),
        (np.stack([ONE, -ONE], axis=1), RATE, ["different channels"]),
        (np.stack([ONE, np.zeros(len(ONE))], axis=1), RATE, []),  # a dead channel does no harm
        (np.stack([ONE, 0.01 * OTHER], axis=1), RATE, []),
        (np.stack([ONE, ONE, OTHER], axis=1), RATE, ["different channels"]),
        (np.stack([LOUD + 0.1, -OTHER], axis=1), RATE, ["clipped", "offset", "different channels"]),
    ],
)
def test_what_is_warned_of(samples, rate, expected):
    warnings = found(samples, rate)
    assert keys(warnings) == expected
    assert all("\n" not in warning and ": " in warning for warning in warnings)


def test_only_the_channel_that_is_heard_counts():
    samples = np.stack([ONE, LOUD], axis=1)
    assert found(samples, channel=0) == []
    assert keys(found(samples, channel=1)) == ["clipped"]


def test_values_are_named():
    assert found(np.zeros(RATE)) == ["silent: all samples are 0"]
    (warning,) = found(0.5e-3 * np.ones(RATE))
    assert warning == "silent: never louder than -66 dB of full scale"
    half = np.where(np.arange(RATE) % 2, 1.0, 0.2)
    assert "clipped: 50 % of the samples are at full scale" in found(half)
    assert "correlation -1.00" in found(np.stack([ONE, -ONE], axis=1))[0]


@settings(max_examples=20)
@given(size=st.integers(1, 70_000))
def test_large_and_small_blocks_say_the_same(size):
    size = max(size, 1600)
    for samples in (ONE, LOUD, BOTH, telephone(ONE)):
        assert keys(found(samples, size=size)) == keys(found(samples))


def test_very_short_very_many_and_impossible_samples_do_no_harm():
    assert found(np.full((80, 1), 0.1)) == ["offset: the mean of the samples is 0.100 and not 0"]
    assert keys(found(np.random.default_rng(0).normal(0, 0.1, (2000, 255)))) == [
        "different channels"
    ]
    found(np.array([np.nan, np.inf, -np.inf, 1e38, -1e38] * 400))
    assert QualityMonitor().warnings() == []


def test_progress_is_reported():
    shares = []
    monitor = QualityMonitor(None, shares.append)
    info = SimpleNamespace(sample_rate=RATE, frames=4000, contradictions=())
    for _ in range(4):
        monitor.add(info, np.zeros((1000, 2), np.float32))
    assert shares == [0.25, 0.5, 0.75, 1.0]


def phones(*pairs: tuple[str, float]) -> SimpleNamespace:
    segments = [Segment(label, float(n), n + 1.0, c) for n, (label, c) in enumerate(pairs)]
    return SimpleNamespace(phones=segments)


def test_low_confidence():
    (warning,) = low_confidence(phones(("SIL", 0.9), ("AA", 0.3), ("B", 0.5)), "SIL")
    assert warning.startswith("low confidence: 0.40 on average")
    assert low_confidence(phones(("SIL", 0.1), ("AA", 0.5)), "SIL") == []
    assert low_confidence(phones(("SIL", 0.1)), "SIL") == []


@pytest.mark.parametrize(
    ("corpus", "most"), [("kathleen", 0), ("asterisk", 1), ("speechocean762", 2), ("barista", 0)]
)
def test_real_recordings_rarely_warn(corpora, corpus, most):
    paths = sorted(p for p in (corpora / corpus / "audio").rglob("*") if p.is_file())
    warned = [path for path in paths[:: len(paths) // 40] if warnings_of(path)]
    assert len(warned) <= most


def test_real_telephone_speech_warns(corpora):
    paths = sorted(p for p in (corpora / "fsdd" / "audio").rglob("*") if p.is_file())[::100]
    narrow = [path for path in paths if "narrow band" in keys(warnings_of(path))]
    assert len(narrow) >= 0.9 * len(paths)


def warnings_of(path) -> list[str]:
    monitor = QualityMonitor()
    with AudioFile(path, on_samples=monitor.add) as audio:
        for _ in audio.blocks():
            pass
    return monitor.warnings()


@pytest.mark.parametrize(
    ("peak", "way_out"),
    [
        (8.0, None),
        (255.0, "subtract 128 and divide them by 128"),
        (300.0, "of 16 bits, divide them by 32768"),
        (32768.0, "of 16 bits, divide them by 32768"),
        (40_000.0, "of 24 bits, divide them by 8388608"),
        (1e12, "divide them by what full scale is in them"),
    ],
)
def test_the_division_that_samples_of_another_scale_need(peak, way_out):
    said = beyond_full_scale(peak)
    assert said == [] if way_out is None else said[0].endswith(way_out)
