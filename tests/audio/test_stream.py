"""Sound that comes in chunks: the samples of the whole, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.commands import message_of

from speechattn.audio.load import array_blocks
from speechattn.audio.stream import AudioStream
from speechattn.errors import AudioError

RATES = [8000, 11_025, 16_000, 44_100, 48_000, 96_000]


def whole(samples: np.ndarray, rate: int, channel: int | None = None) -> np.ndarray:
    return np.concatenate(list(array_blocks(samples, rate, channel=channel)))


@settings(max_examples=40)
@given(
    st.sampled_from(RATES),
    st.sampled_from([(1, None), (2, None), (2, 1), (3, 0)]),
    st.integers(800, 30_000),
    st.lists(st.integers(0, 9000), max_size=5),
)
def test_chunks_change_no_sample(rate, channels, count, cuts):
    channels, channel = channels
    samples = np.random.default_rng(count).uniform(-1, 1, (channels, count)).astype(np.float32)
    stream = AudioStream(rate, channel=channel)
    parts = [stream.push(part) for part in np.split(samples, sorted(cuts), axis=1)]
    found = np.concatenate([*parts, stream.finish()])
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, whole(samples, rate, channel))
    assert stream.duration == count / rate


def test_one_sample_at_a_time():
    samples = np.random.default_rng(0).uniform(-1, 1, 3000)
    stream = AudioStream(44_100)
    parts = [stream.push(samples[i : i + 1]) for i in range(len(samples))]
    np.testing.assert_array_equal(np.concatenate([*parts, stream.finish()]), whole(samples, 44_100))


@pytest.mark.parametrize(
    ("rate", "most"), [(8000, 116), (16_000, 0), (22_050, 41), (44_100, 41), (48_000, 41)]
)
def test_what_is_held_back(rate, most):
    """As the module says; a resampler that holds back more would make its numbers wrong."""
    stream, returned, worst = AudioStream(rate), 0, 0.0
    for pushed in range(10, 1000, 10):
        returned += len(stream.push(np.zeros(rate // 100)))
        worst = max(worst, pushed - returned / 16)
    assert most - 16 <= worst <= most + 1


def test_it_keeps_nothing_of_the_callers_memory():
    chunk = np.ones(400, np.float32)
    found = AudioStream().push(chunk)
    chunk[:] = 0
    assert found.all()


@pytest.mark.parametrize("kind", [np.float16, np.float64, torch.float32, torch.bfloat16, list])
def test_kinds_of_floats(kind):
    samples = np.linspace(-1, 1, 1600)
    given = (
        samples.tolist()
        if kind is list
        else torch.from_numpy(samples).to(kind).requires_grad_()
        if isinstance(kind, torch.dtype)
        else samples.astype(kind)
    )
    np.testing.assert_allclose(AudioStream().push(given), samples, atol=4e-3)


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        (np.zeros(160, np.int16), ("samples: int16", "divide int16 by 32768")),
        (torch.zeros(160, dtype=torch.int32), ("samples: int32", "floats")),
        (np.zeros(160, complex), ("samples: complex128", "floats")),
        (np.array(["a"]), ("samples: ", "floats")),
        ([[0.0], [0.0, 0.0]], ("samples: rows of different lengths", "(channels, n)")),
        (np.float32(0), ("samples: shape ()", "(n,) or (channels, n)")),
        (np.zeros((1, 2, 160)), ("samples: shape (1, 2, 160)", "(n,) or (channels, n)")),
        (np.zeros((160, 2)), ("samples: shape (160, 2)", "transpose")),
        (np.zeros((0, 160)), ("samples: shape (0, 160)", "0 channels")),
        (np.full(3, np.nan), ("sample 160 (at 0.0100 s) is nan", "without NaN")),
        (np.array([0, np.inf]), ("sample 161 (at 0.0101 s) is inf", "without NaN")),
        (np.array([1e300]), ("sample 160", "inf")),
        (np.array([0, -1e18]), ("sample 161 (at 0.0101 s) is -1e+18", "full scale is 1")),
        (np.zeros((2, 160)), ("samples: 2 channels after 1", "make another one")),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow")
def test_what_is_refused_leaves_no_trace(samples, words):
    stream = AudioStream()
    first, second = np.full(160, 0.1), np.full(80, 0.2)
    stream.push(first)
    with pytest.raises(AudioError) as caught:
        stream.push(samples)
    assert all(word in message_of(caught) for word in words), caught.value
    assert stream.duration == 0.01
    np.testing.assert_allclose(stream.push(second), second)


def test_channels_are_checked_when_they_are_known():
    with pytest.raises(AudioError, match="samples: no channel 2; it has 2, counted from 0 to 1"):
        AudioStream(channel=2).push(np.zeros((2, 160)))
    stream = AudioStream(channel=1)
    assert len(stream.push(np.zeros(0))) == 0  # says nothing of channels
    assert len(stream.push(np.zeros((2, 1)))) == 1


@pytest.mark.parametrize("rate", [0, -1, 3999, 16_000.5, 1e9, float("nan"), "16000", None, True])
def test_rates_that_make_no_sense(rate):
    with pytest.raises(AudioError) as caught:
        AudioStream(rate)
    assert f"sample_rate: {rate!r}" in message_of(caught) and "4000 to 768000" in str(caught.value)


def test_the_end():
    with pytest.raises(AudioError, match="stream: holds no samples"):
        AudioStream().finish()
    stream = AudioStream(8000)
    stream.push(np.zeros(39))
    with pytest.raises(AudioError, match="at least 5 ms"):
        stream.finish()
    for call in (stream.finish, lambda: stream.push(np.zeros(1))):
        with pytest.raises(ValueError, match="has been finished; make another one"):
            call()


def test_the_peak_is_that_of_all_samples():
    stream = AudioStream(8_000)
    assert stream.peak == 0
    for level in (0.5, -3.0, 1.0):
        stream.push(np.full(100, level))
    assert stream.peak == 3
