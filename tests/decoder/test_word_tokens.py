"""The decoder with words, against every segmentation of tiny inputs."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.references.decoder import (
    every_segmentation,
    in_pieces,
    path_score,
    places,
    random_model,
    random_options,
    random_posteriors,
    with_ngrams,
)
from support.word_lms import random_words

from speechattn.decoder import decoder as decoder_module
from speechattn.decoder.decoder import Decoder, decode

seeds = st.integers(0, 2**32 - 1)


def random_setting(rng, num_phones, num_words, longest=2, order=3):
    """A model with words, and options."""
    model = with_ngrams(rng, random_model(rng, num_phones, longest_minimum=longest), order)
    model = dataclasses.replace(model, words=random_words(rng, num_phones, num_words))
    options = dataclasses.replace(
        random_options(rng),
        word_scale=float(rng.uniform(0.1, 3)),
        unknown_word=float(rng.uniform(0, 4)),
    )
    return model, options


@settings(max_examples=120)
@given(seeds, st.integers(1, 5), st.integers(2, 3), st.integers(1, 6))
def test_best_of_every_segmentation(seed, num_frames, num_phones, num_words):
    rng = np.random.default_rng(seed)
    model, options = random_setting(rng, num_phones, num_words)
    x = random_posteriors(rng, num_frames, num_phones, sharpness=1.0)
    if num_frames < model.min_frames.max():
        num_frames = int(model.min_frames.max())
        x = random_posteriors(rng, num_frames, num_phones, sharpness=1.0)
    every = [
        (path_score(x, model, options, runs), places(runs))
        for runs in every_segmentation(num_frames, num_phones)
    ]
    ranked = sorted(every, reverse=True)
    for beam in (None, 1e4):
        runs = decode(x, model, dataclasses.replace(options, beam=beam))
        found = path_score(x, model, options, runs)
        assert found == pytest.approx(ranked[0][0], abs=1e-3)


@settings(max_examples=60)
@given(seeds, st.lists(st.integers(0, 30), max_size=8), st.sampled_from([None, 4.0, 12.0]))
def test_pieces_do_not_matter(seed, sizes, beam):
    rng = np.random.default_rng(seed)
    model, options = random_setting(rng, 6, 20, longest=4)
    options = dataclasses.replace(options, beam=beam)
    x = random_posteriors(rng, 100, 6)
    whole = decode(x, model, options)
    assert in_pieces(Decoder(model, options), x, sizes) == whole
    assert whole[0].start == 0 and whole[-1].end == 100
    assert all(one.end == two.start for one, two in itertools.pairwise(whole))


@settings(max_examples=40)
@given(seeds)
def test_a_beam_finds_a_reading_that_is_no_better(seed):
    rng = np.random.default_rng(seed)
    model, options = random_setting(rng, 5, 10, longest=3)
    x = random_posteriors(rng, 12, 5)
    best = path_score(x, model, options, decode(x, model, options))
    for beam in (0.5, 3.0, 30.0):
        runs = decode(x, model, dataclasses.replace(options, beam=beam))
        found = path_score(x, model, options, runs)
        assert found <= best + 1e-3
    assert found == pytest.approx(best, abs=1e-3)


def test_words_without_weight_are_none():
    rng = np.random.default_rng(3)
    model, options = random_setting(rng, 5, 8)
    x = random_posteriors(rng, 60, 5, sharpness=1.0)
    off = dataclasses.replace(options, word_scale=0.0)
    assert decode(x, model, off) == decode(x, dataclasses.replace(model, words=None), options)
    assert decode(x, model, options) != decode(x, model, off)


def test_room_for_tokens_grows(monkeypatch):
    rng = np.random.default_rng(5)
    model, options = random_setting(rng, 8, 60, longest=5)
    x = random_posteriors(rng, 40, 8, sharpness=0.5)
    whole = decode(x, model, options)
    monkeypatch.setattr(decoder_module, "ROOM_TOKENS", 8)
    assert decode(x, model, options) == whole
