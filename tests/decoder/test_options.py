"""The decoder's options: what they say a confidence is."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechattn.decoder.options import CONFIDENCE, DecoderOptions
from speechattn.errors import ConfigError

UNIT = st.floats(0, 1)
REAL = st.floats(-50, 50)


@given(UNIT, REAL, REAL, REAL)
def test_without_calibration_a_confidence_is_the_mean_posterior(p, logit, mean, length):
    assert DecoderOptions().confidence(p, (logit, mean, length)) == p


@given(UNIT, st.floats(0.01, 50), REAL, REAL, REAL, REAL)
def test_confidences_are_between_0_and_1_and_keep_the_order(p, slope, offset, context, mean, logit):
    options = DecoderOptions(
        confidence_slope=slope, confidence_offset=offset, confidence_context=context
    )
    one, two = (options.confidence(p, (value, mean, 1.0)) for value in (logit, logit + 0.1))
    assert 0 <= one <= two <= 1


def test_evidence_is_weighed():
    options = DecoderOptions(
        confidence_slope=2.0,
        confidence_context=0.5,
        confidence_length=-1.0,
        confidence_offset=0.3,
    )
    logit = 2.0 * 0.7 + 0.5 * 1.1 - 1.0 * 0.9 + 0.3
    assert options.confidence(0.5, (0.7, 1.1, 0.9)) == pytest.approx(1 / (1 + math.exp(-logit)))


@pytest.mark.parametrize("slope", [0, -1.0, math.nan, "steep"])
def test_a_slope_that_loses_the_order_is_refused(slope):
    with pytest.raises(ConfigError, match="confidence_slope"):
        DecoderOptions(confidence_slope=slope)


def test_options_of_early_models_have_no_calibration():
    options = DecoderOptions.from_dict({"bigram_scale": 0.5})
    assert [getattr(options, name) for name in CONFIDENCE] == [1.0, 0.0, 0.0, 0.0]


@given(st.floats(0.1, 5), st.floats(0, 5), st.floats(0, 9))
def test_what_is_known_of_english_is_scaled_as_one(own, words, scale):
    options = DecoderOptions(bigram_scale=own, word_scale=words).with_lm_scale(scale)
    assert options.bigram_scale == scale
    assert options.word_scale == pytest.approx(words * scale / own)
    flat = DecoderOptions(bigram_scale=0.0, word_scale=words).with_lm_scale(scale)
    assert flat.word_scale == pytest.approx(words * scale)


@pytest.mark.parametrize("name", ["word_scale", "unknown_word"])
@pytest.mark.parametrize("value", [-0.1, math.inf, "much"])
def test_words_have_no_negative_weight(name, value):
    with pytest.raises(ConfigError, match=f"decoder: {name} is"):
        DecoderOptions(**{name: value})
