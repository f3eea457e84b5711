"""The decoder's options and the confidence of phones."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.references.decoder import random_model

from speechattn.decoder.decoder import Decoder, decode
from speechattn.decoder.options import (
    CONFIDENCE,
    FADING,
    LEAST_POSTERIOR,
    LONGEST_FRAMES,
    DecoderOptions,
    Evidence,
    with_confidences,
)
from speechattn.errors import ConfigError
from speechattn.segments import FrameSegment

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


def test_each_way_to_read_has_what_was_best_for_it():
    plain = DecoderOptions(bigram_scale=1.5, word_scale=1.4, insertion_penalty=-1.0)
    assert plain.for_reading("words") is plain
    assert plain.for_reading("phones") == replace(plain, word_scale=0.0)
    assert plain.for_reading("none") == plain.with_lm_scale(0.0)
    assert plain.for_reading("none").insertion_penalty == -1.0
    tuned = replace(plain, phones_scale=0.8, phones_penalty=0.5, alone_penalty=2.0)
    phones = tuned.for_reading("phones")
    assert (phones.word_scale, phones.bigram_scale, phones.insertion_penalty) == (0.0, 0.8, 0.5)
    assert tuned.for_reading("none").insertion_penalty == 2.0
    assert tuned.with_lm_scale(0.75).insertion_penalty == pytest.approx(0.5)
    assert tuned.with_lm_scale(3.0).insertion_penalty == -1.0
    assert tuned.for_reading("words", 0.75) == tuned.with_lm_scale(0.75)
    assert tuned.for_reading("phones", 0.4) == phones.with_lm_scale(0.4)
    assert tuned.for_reading("none", 0.0) == tuned.for_reading("none")
    assert DecoderOptions.from_dict(tuned.to_dict()) == tuned
    assert "alone_penalty" not in plain.to_dict()
    with pytest.raises(ConfigError, match="one of words, phones, none"):
        tuned.for_reading("letters")
    with pytest.raises(ConfigError, match="nothing to weigh"):
        tuned.for_reading("none", 1.0)


SILENCE = 0
BENT = DecoderOptions(
    prior_scale=0.0,
    confidence_slope=0.8,
    confidence_context=1.2,
    confidence_length=-0.6,
    confidence_offset=0.5,
)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 60), st.floats(0, 1)), max_size=30))
def test_evidence_is_of_the_phone_and_of_those_before_it(parts):
    evidence, logits, at = Evidence(SILENCE), [], 0
    for phone, frames, mean in parts:
        found = evidence.take(FrameSegment(phone, at, at + frames, mean))
        at += frames
        p = min(max(mean, LEAST_POSTERIOR), 1 - LEAST_POSTERIOR)
        logit = math.log(p / (1 - p))
        until_now = [*logits, logit]
        weights = FADING ** np.arange(len(until_now))[::-1]
        expected = (
            logit,
            np.average(until_now, weights=weights),
            math.log(min(frames, LONGEST_FRAMES)),
        )
        assert found == pytest.approx(expected, abs=1e-9)
        if phone != SILENCE:
            logits = until_now


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 120), st.integers(1, 40))
def test_pieces_do_not_matter_and_each_recording_begins_anew(seed, frames, piece):
    rng = np.random.default_rng(seed)
    model = random_model(rng, 4)
    logits = rng.normal(size=(frames, 4)) * 3
    scores = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    whole = decode(scores, model, BENT)
    decoder = Decoder(model, BENT)
    for _ in range(2):
        runs = []
        for start in range(0, frames, piece):
            runs += decoder.push(scores[start : start + piece])
            pending = decoder.partial()
            assert [r.start for r in pending] == sorted(r.start for r in pending)
        assert runs + decoder.finish() == whole
    plain = dataclasses.replace(BENT, **vars(DecoderOptions(prior_scale=0.0)))
    assert with_confidences(decode(scores, model, plain), Evidence(None), BENT) == whole


def test_what_comes_before_makes_a_phone_less_sure():
    sure, unsure = FrameSegment(2, 8, 14, 0.9), FrameSegment(1, 0, 8, 0.3)
    alone = with_confidences([sure], Evidence(), BENT)[0].confidence
    behind = with_confidences([unsure, sure], Evidence(), BENT)[1].confidence
    paused = with_confidences(
        [dataclasses.replace(unsure, phone=SILENCE), sure], Evidence(SILENCE), BENT
    )
    assert behind < alone == paused[1].confidence
