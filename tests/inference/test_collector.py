"""Alternatives of every phone, the same as if all posteriors were there at the end."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechattn.decoder.decoder import decode
from speechattn.decoder.lm.phone_model import PhoneModel
from speechattn.decoder.options import DecoderOptions
from speechattn.inference.collector import PosteriorSums, SegmentCollector, rank

PHONES = 5


def checkpoint(min_frames: int = 2) -> SimpleNamespace:
    """What the collector uses of a checkpoint."""
    model = PhoneModel.uniform(PHONES, min_frames=min_frames)
    return SimpleNamespace(phones=range(PHONES), phone_model=model, decoding=DecoderOptions())


def log_posteriors(frames: int, seed: int) -> np.ndarray:
    """Phones of some ten frames, mixed up enough for the decoder to hesitate."""
    random = np.random.default_rng(seed)
    scores = np.repeat(random.normal(0, 3, (frames // 10 + 1, PHONES)), 10, axis=0)[:frames]
    scores += random.normal(0, 1, scores.shape)
    return (scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)).astype(np.float32)


def collect(posteriors, cuts, alternatives, **options):
    collector = SegmentCollector(checkpoint(), alternatives=alternatives, **options)
    for piece in np.split(posteriors, sorted(cuts)):
        collector.push(piece)
    return collector.finish()


@settings(max_examples=60)
@given(
    frames=st.integers(1, 400),
    seed=st.integers(0, 1000),
    cuts=st.lists(st.integers(0, 400), max_size=8),
    number=st.integers(1, PHONES + 2),
)
def test_alternatives_are_those_of_the_whole(frames, seed, cuts, number):
    whole = log_posteriors(frames, seed)
    runs = collect(whole, [min(cut, frames) for cut in cuts], number)
    plain = decode(whole, checkpoint().phone_model, DecoderOptions())
    places = [(run.phone, run.start, run.end, run.confidence) for run in runs]
    assert places == [(run.phone, run.start, run.end, run.confidence) for run in plain]
    for run in runs:
        mean = np.exp(whole[run.start : run.end]).astype(np.float64).mean(axis=0)
        others = sorted(set(range(PHONES)) - {run.phone}, key=lambda phone: (-mean[phone], phone))
        assert [phone for phone, _ in run.alternatives] == others[:number]
        expected = [mean[phone] for phone in others[:number]]
        np.testing.assert_allclose([p for _, p in run.alternatives], expected, atol=1e-9)


@settings(max_examples=30)
@given(st.integers(0, 1000), st.lists(st.integers(0, 300), max_size=8))
def test_how_the_recording_is_cut_does_not_change_a_bit(seed, cuts):
    whole = log_posteriors(300, seed)
    assert collect(whole, cuts, 3) == collect(whole, [], 3)


def test_without_alternatives_runs_have_none():
    assert all(run.alternatives == () for run in collect(log_posteriors(100, 0), [50], 0))


def test_of_equal_phones_the_first_comes_first():
    even = np.log(np.full((7, PHONES), 1 / PHONES, np.float32))
    [run] = collect(even, [3], 9)
    assert [phone for phone, _ in run.alternatives] == [p for p in range(PHONES) if p != run.phone]
    assert rank(np.array([0.2, 0.4, 0.2, 0.1, 0.2]), 1, 3) == ((0, 0.2), (2, 0.2), (4, 0.2))
    many = rank(np.tile([0.1, 0.2, 0.1], 100), 4, 300)  # sorted in another way than a few
    assert [phone for phone, _ in many] == [
        *(i for i in range(300) if i % 3 == 1 and i != 4),
        *(i for i in range(300) if i % 3 != 1),
    ]


def test_posteriors_are_seen_by_whoever_asked():
    whole, seen = log_posteriors(90, 1), []
    collect(whole, [0, 30, 30], 2, on_posteriors=[seen.append])
    assert [len(block) for block in seen] == [30, 60]
    np.testing.assert_array_equal(np.concatenate(seen), np.exp(whole))


@pytest.mark.parametrize("frames", [20_000, 200_000])
def test_sums_are_kept_at_few_frames_however_long_a_phone_is(frames):
    """Also in an hour of silence, which is one phone that goes on."""
    silence = np.log(np.full((frames, PHONES), 0.01, np.float32))
    silence[:, 0] = np.log(0.96)
    collector = SegmentCollector(checkpoint(), alternatives=2)
    for piece in np.split(silence, frames // 2000):
        collector.push(piece)
    assert len(collector._sums._frames) < 20
    assert len(collector.finish()) == 1


def test_sums_of_frames_that_were_forgotten_are_refused():
    sums = PosteriorSums(2)
    sums.push(np.array([[0.25, 0.75], [0.5, 0.5], [1.0, 0.0]]))
    sums.forget(np.array([1]))
    np.testing.assert_array_equal(sums.mean(1, 3), [0.75, 0.25])
    for start, end in ((0, 3), (1, 2), (1, 4)):
        with pytest.raises(ValueError, match=f"{start} to {end}"):
            sums.mean(start, end)
