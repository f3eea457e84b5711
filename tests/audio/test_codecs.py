"""Codecs: what they keep and what they lose, and that they move nothing."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from speechattn.audio import codecs
from speechattn.bench.sounds import power
from speechattn.errors import UsageError

RATE = 16_000
CODECS = [codecs.gsm, codecs.mu_law, codecs.opus, codecs.mp3]


def vowel(seconds: float) -> np.ndarray:
    """A made-up vowel of 120 Hz: harmonics that get weaker by 6 dB an octave, under a hum."""
    time = np.arange(round(seconds * RATE)) / RATE
    partials = np.arange(1, 25)[:, None]
    sound = (np.cos(2 * np.pi * 120 * partials * time) / partials).sum(0)
    return (0.1 * sound * (1 + np.sin(2 * np.pi * 3 * time))).astype(np.float32)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("seconds", [0.02, 0.5, 1.9999])
def test_length_and_place_stay(codec, seconds):
    rng = np.random.default_rng(0)
    sound = vowel(seconds) * rng.uniform(0.3, 1, round(seconds * RATE)).astype(np.float32)
    heard = codec(sound)
    assert heard.shape == sound.shape and heard.dtype == np.float32 and np.isfinite(heard).all()
    if seconds > 0.1:
        middle = sound[400:-400]
        assert abs(np.argmax(np.correlate(heard, middle, "valid")) - 400) <= 1


@pytest.mark.parametrize("codec", CODECS)
def test_a_vowel_stays_and_is_not_the_same(codec):
    sound = vowel(2)
    heard = codec(sound)
    inside = slice(RATE // 4, -RATE // 4)
    error = power((heard - sound)[inside]) / power(sound[inside])
    assert 1e-5 < error < 0.5


def test_gsm_has_nothing_above_four_kilohertz():
    noise = 0.1 * np.random.default_rng(1).standard_normal(RATE).astype(np.float32)
    for codec, most in ((codecs.gsm, 1e-3), (codecs.mp3, 1)):
        spectrum = np.abs(np.fft.rfft(codec(noise))) ** 2
        assert 0 < spectrum[4200:].sum() / spectrum.sum() < most


@pytest.mark.parametrize("codec", CODECS)
def test_what_exceeds_full_scale_is_clipped(codec):
    heard = codec(40 * vowel(0.5))
    assert np.abs(heard).max() < 2


def test_training_draws_every_codec_and_many_bit_rates(monkeypatch):
    drawn = []
    for name in ("gsm", "mu_law", "opus", "mp3"):
        monkeypatch.setattr(
            codecs, name, lambda x, random=None, level=None, n=name: drawn.append((n, level)) or x
        )
    random = np.random.default_rng(0)
    sound = vowel(0.1)
    assert all(codecs.through_drawn_codec(sound, random) is sound for _ in range(400))
    for name, levels in (("opus", codecs.OPUS_LEVELS), ("mp3", codecs.MP3_LEVELS)):
        chosen = [level for codec, level in drawn if codec == name]
        assert len(set(chosen)) == len(chosen) > 70
        assert levels[0] <= min(chosen) and max(chosen) <= levels[1]
    assert sum(codec == "gsm" for codec, _ in drawn) > 70
    assert sum(codec == "mu_law" for codec, _ in drawn) > 70


def test_a_codec_that_libsndfile_lacks_is_named(monkeypatch):
    def refuse(*_, **settings):
        raise soundfile.LibsndfileError(24)

    codecs.check_codecs()
    monkeypatch.setattr(codecs.soundfile, "write", refuse)
    with pytest.raises(UsageError, match=r"libsndfile \d.* cannot write GSM610 .*; install"):
        codecs.check_codecs()
