"""Confidences: what they are made of, and that pieces of a recording do not matter."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.references.decoder import random_model

from speechattn.decoder.decoder import Decoder, decode
from speechattn.decoder.options import (
    FADING,
    LEAST,
    LONGEST,
    DecoderOptions,
    Evidence,
    with_confidences,
)
from speechattn.segments import FrameRun

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
        found = evidence.take(FrameRun(phone, at, at + frames, mean))
        at += frames
        p = min(max(mean, LEAST), 1 - LEAST)
        logit = math.log(p / (1 - p))
        until_now = [*logits, logit]
        weights = FADING ** np.arange(len(until_now))[::-1]
        expected = logit, np.average(until_now, weights=weights), math.log(min(frames, LONGEST))
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
    sure, unsure = FrameRun(2, 8, 14, 0.9), FrameRun(1, 0, 8, 0.3)
    alone = with_confidences([sure], Evidence(), BENT)[0].confidence
    behind = with_confidences([unsure, sure], Evidence(), BENT)[1].confidence
    paused = with_confidences(
        [dataclasses.replace(unsure, phone=SILENCE), sure], Evidence(SILENCE), BENT
    )
    assert behind < alone == paused[1].confidence
