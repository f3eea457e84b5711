"""What the variants of ``speechattn bench windows`` say together: paired differences, largest window."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from speechattn.encoder.config import EncoderConfig
from speechattn.encoder.kinds import CnnConfig
from speechattn.studies.windows_costs import Measured
from speechattn.studies.windows_results import USEFUL, Draws, Outcome, counterpart, ladder
from speechattn.studies.windows_variants import Variant

pytestmark = pytest.mark.studies

FRAMES = 1000


def outcome(name, rates, window=None, ahead=0.0, encoder=None) -> Outcome:
    """Every seed's frame accuracies by speaker, an utterance of 1,000 frames each."""
    runs = {}
    for seed, row in enumerate(np.atleast_2d(rates)):
        utterances = [
            {
                "corpus": "c",
                "speaker": f"s{number}",
                "utterance": "u",
                "classifier_correct": round(FRAMES * rate),
                "classified_frames": FRAMES,
            }
            for number, rate in enumerate(row)
        ]
        runs[seed] = {"utterances": utterances}
    encoder = encoder or EncoderConfig(window=(4, 4))
    return Outcome(Variant(name, encoder, window), runs, Measured(1, 1.0, None, ahead, 1.0))


def test_what_is_hard_for_all_cancels_out_of_a_difference():
    random = np.random.default_rng(0)
    speakers = random.uniform(0.3, 0.9, 40)  # they differ far more than the variants
    gain = random.normal(0.02, 0.01, 40)
    one, other = outcome("one", speakers + gain), outcome("other", speakers)
    found = Draws([one, other]).difference(one, other)
    assert found.rate == pytest.approx(gain.mean(), abs=1e-3)
    half = 1.96 * gain.std() / np.sqrt(40)
    assert found.high - found.low == pytest.approx(2 * half, rel=0.15)
    back = Draws([one, other]).difference(other, one)
    assert back == pytest.approx((-found.rate, -found.high, -found.low))


def test_the_luck_of_seeds_is_in_the_interval():
    even = np.full(30, 0.6)
    one = outcome("one", [even, even + 0.04])
    found = Draws([one, outcome("other", [even, even])]).difference(*[one, outcome("other", even)])
    assert found == pytest.approx((0.02, 0.0, 0.04), abs=1e-9)


def test_the_largest_useful_window_by_hand():
    even, step = np.full(30, 0.6), USEFUL
    rates = {0: 0.0, 2: 3 * step, 8: 5 * step, 16: 5.5 * step, 64: 5.4 * step}
    steps = [outcome(f"±{w}", even + gain, w) for w, gain in rates.items()]
    assert [one.variant.window for one in Draws(steps).largest_useful(steps)] == [8, 8, 8]
    assert Draws(steps).largest_useful(steps[:1]) is None
    # Where half of the speakers gain from the last step and half lose, draws disagree.
    split = np.where(np.arange(30) % 2, 0.1, -0.09)
    unsure = [*steps, outcome("±128", even + 6 * step + split, 128)]
    best, low, high = Draws(unsure).largest_useful(unsure)
    assert best.variant.window == 128
    assert (low.variant.window, high.variant.window) == (8, 128)


def test_ladders_and_counterparts():
    any_ = EncoderConfig(window=(4, 4), any_window=(0, 8))
    full = outcome("full", 0.5, "full", ahead=None)
    wide, small = outcome("±8", 0.5, 8, ahead=320.0), outcome("±2", 0.5, 2, ahead=80.0)
    shared = outcome("any ±8", 0.5, 8, ahead=320.0, encoder=any_)
    cnn = outcome("cnn", 0.5, None, 330.0, CnnConfig())
    everything = [full, wide, shared, cnn, small]
    assert ladder(everything, any_window=False) == [small, wide, full]
    assert ladder(everything, any_window=True) == [shared]
    assert ladder(everything) == [small, wide, shared, full]
    assert counterpart(cnn, [small, wide, full]) is wide
    assert counterpart(cnn, [small, full]) is None
    both = replace(cnn, measured=replace(cnn.measured, look_ahead_ms=None))
    assert counterpart(both, [small, wide, full]) is full and counterpart(both, [small]) is None
