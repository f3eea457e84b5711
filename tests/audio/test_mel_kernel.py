"""Mel energies compiled for the processor against NumPy's transform in float64."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechattn.attention.kernels import threads
from speechattn.attention.kernels.llvm import LANES
from speechattn.audio.features import FrontEndConfig
from speechattn.audio.filters import FFT_SIZE, mel_filters
from speechattn.audio.mel_kernel import HALF, MelKernel
from speechattn.segments import SHIFT_SAMPLES, WINDOW_SAMPLES

FILTERS = mel_filters(FrontEndConfig())
WINDOW = np.hanning(WINDOW_SAMPLES) ** 0.85 * 32768
COUNTS = st.integers(1, 3 * LANES + 1)


def noise(count, seed=0, level=0.1):
    """Samples of so many frames."""
    size = (count - 1) * SHIFT_SAMPLES + WINDOW_SAMPLES
    return (level * np.random.default_rng(seed).standard_normal(size)).astype(np.float32)


def expected(samples, count, window=WINDOW, filters=FILTERS, subtract=True, preemphasis=0.97):
    """Energies in float64, and the largest that a spectrum's rounding may hide."""
    starts = np.arange(count)[:, None] * SHIFT_SAMPLES
    x = samples.astype(np.float64)[starts + np.arange(WINDOW_SAMPLES)]
    if subtract:
        x = x - x.mean(1, keepdims=True)
    x = x - preemphasis * x[:, [0, *range(WINDOW_SAMPLES - 1)]]
    powers = np.abs(np.fft.rfft(x * window, FFT_SIZE)[:, :-1]) ** 2
    return powers @ filters.T.astype(np.float64)


def assert_near(found, wanted):
    """Relative to each, and to the loudest of its frame, under which rounding hides others."""
    assert found.dtype == np.float32 and found.shape == wanted.shape
    hidden = 1e-10 * wanted.max(1, keepdims=True, initial=0)
    assert (np.abs(found - wanted) <= 1e-4 * wanted + hidden).all()


@given(
    count=COUNTS,
    seed=st.integers(0, 99),
    level=st.sampled_from([1e-5, 0.1, 1.0]),
    subtract=st.booleans(),
    preemphasis=st.sampled_from([0.0, 0.5, 0.97]),
)
def test_energies_are_those_of_numpy(count, seed, level, subtract, preemphasis):
    samples = noise(count, seed, level)
    found = MelKernel(WINDOW, FILTERS, subtract, preemphasis)(samples, count)
    wanted = expected(samples, count, subtract=subtract, preemphasis=preemphasis)
    assert_near(found, wanted)


def test_each_bin_of_the_spectrum():
    """Filters of one bin each show the whole power spectrum."""
    samples, one = noise(LANES + 3), np.eye(HALF, dtype=np.float32)
    found = MelKernel(np.ones(WINDOW_SAMPLES), one, False, 0.0)(samples, LANES + 3)
    wanted = expected(samples, LANES + 3, np.ones(WINDOW_SAMPLES), one, False, 0.0)
    assert np.abs(found - wanted).max() < 1e-5 * wanted.max()
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-6 * wanted.max())


@pytest.mark.parametrize("bin_number", [0, 1, 31, 128, 200, 255])
def test_a_sine_is_in_its_bin(bin_number):
    time = np.arange(WINDOW_SAMPLES)
    samples = np.cos(2 * np.pi * bin_number * time / FFT_SIZE).astype(np.float32)
    one = np.eye(HALF, dtype=np.float32)
    found = MelKernel(np.hanning(WINDOW_SAMPLES), one, False, 0.0)(samples, 1)
    assert found[0].argmax() == bin_number
    assert_near(
        found[:, [bin_number]],
        expected(samples, 1, np.hanning(WINDOW_SAMPLES), one, False, 0.0)[:, [bin_number]],
    )


def test_a_constant_is_nothing_once_it_is_subtracted():
    samples = np.full_like(noise(5), 0.5)
    kernel = MelKernel(np.ones(WINDOW_SAMPLES), FILTERS, True, 0.97)
    assert (kernel(samples, 5) == 0).all()
    assert (kernel(np.zeros_like(samples), 5) == 0).all()


def test_filters_without_bins_give_nothing():
    filters = np.zeros((5, HALF), np.float32)
    filters[1, 7], filters[3, [0, 255]] = 2, 1  # one bin; a gap between two
    samples = noise(LANES + 1)
    found = MelKernel(WINDOW, filters, True, 0.97)(samples, LANES + 1)
    assert (found[:, [0, 2, 4]] == 0).all()
    assert_near(found, expected(samples, LANES + 1, filters=filters))


def test_many_narrow_filters():
    filters = np.zeros((200, HALF), np.float32)
    filters[range(1, 200), range(1, 200)] = 1  # one bin each, and none in the first
    samples = noise(3)
    assert_near(
        MelKernel(WINDOW, filters, True, 0.97)(samples, 3), expected(samples, 3, filters=filters)
    )


def test_no_frames():
    samples = np.empty(0, np.float32)
    assert MelKernel(WINDOW, FILTERS, True, 0.97)(samples, 0).shape == (0, 80)


@given(count=COUNTS, first=st.integers(0, 2 * LANES), seed=st.integers(0, 99))
def test_a_frame_is_the_same_beside_any_others(count, first, seed):
    kernel = MelKernel(WINDOW, FILTERS, True, 0.97)
    samples = noise(first + count, seed)
    some = samples[first * SHIFT_SAMPLES :]
    np.testing.assert_array_equal(kernel(some, count), kernel(samples, first + count)[first:])


@given(count=COUNTS, data=st.data(), wrong=st.sampled_from([np.nan, np.inf, -np.inf]))
def test_nan_stays_in_the_frames_that_have_it(count, data, wrong):
    kernel, samples = MelKernel(WINDOW, FILTERS, True, 0.97), noise(count)
    clean, place = kernel(samples, count), data.draw(st.integers(0, len(samples) - 1))
    samples[place] = wrong
    found = kernel(samples, count)
    starts = np.arange(count) * SHIFT_SAMPLES
    touched = (starts <= place) & (place < starts + WINDOW_SAMPLES)
    assert np.isnan(found[touched]).all()
    np.testing.assert_array_equal(found[~touched], clean[~touched])


def test_any_number_of_cores_gives_the_same_bits(monkeypatch):
    kernel, count = MelKernel(WINDOW, FILTERS, True, 0.97), 20 * LANES + 3
    samples = noise(count)
    alone = kernel(samples, count)
    monkeypatch.setattr(threads, "WORTHWHILE", 1)
    for cores in (2, 3, 8):
        monkeypatch.setattr(threads, "num_threads", lambda cores=cores: cores)
        np.testing.assert_array_equal(kernel(samples, count), alone)
