"""What happens to speech on its way to a microphone: as much as asked for, and in its place."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from speechattn.bench import sounds
from speechattn.bench.sounds import Noises, in_room, mix, power, room_response
from speechattn.errors import CorpusError, UsageError

RATE = 16_000


def decibels(ratio: float) -> float:
    return 10 * np.log10(ratio)


def tone(hertz: float, seconds: float = 0.5) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)).astype("f4")


def share_above(samples: np.ndarray, hertz: float) -> float:
    """Share of the energy that lies above a frequency, ends tapered."""
    energy = np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) ** 2
    above = np.fft.rfftfreq(len(samples), 1 / RATE) > hertz
    return energy[above].sum() / energy.sum()


@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**32),
    snr=st.floats(-10, 40),
    levels=st.tuples(st.floats(0.01, 1), st.floats(0.01, 1)),
)
def test_noise_is_added_at_the_ratio_asked_for(seed, snr, levels):
    random = np.random.default_rng(seed)
    speech, noise = (level * random.standard_normal(2000).astype(np.float32) for level in levels)
    added = mix(speech, noise, snr).astype(np.float64) - speech
    assert decibels(np.mean(speech**2.0) / np.mean(added**2)) == pytest.approx(snr, abs=0.05)
    assert np.corrcoef(added, noise)[0, 1] > 0.999


def test_noise_of_a_folder(tmp_path):
    random = np.random.default_rng(0)
    burst = 1e-5 * random.standard_normal(RATE)  # what a codec makes of silence
    burst[4000:6000] *= 1e4
    (tmp_path / "deep").mkdir()
    soundfile.write(tmp_path / "deep" / "bark.wav", burst, RATE, subtype="FLOAT")
    noises = Noises(tmp_path)
    for seed in range(20):  # most of the clip is silent; no stretch that is drawn may be
        stretch = noises.stretch(800, np.random.default_rng(seed))
        assert len(stretch) == 800 and power(stretch) > 0.01 * power(burst)
    longer = noises.stretch(5 * RATE, random)
    np.testing.assert_array_equal(longer[:RATE], longer[RATE : 2 * RATE])
    speech = tone(500)
    added = noises.add(speech, random) - speech
    assert decibels(power(speech) / power(added)) == pytest.approx(10, abs=0.01)

    soundfile.write(tmp_path / "deep" / "bark.wav", np.zeros(RATE), RATE)
    with pytest.raises(CorpusError, match="silent"):
        noises.stretch(800, random)


@pytest.mark.parametrize(("seconds", "direct"), [(0.5, 3.0), (0.3, -2.0), (1.0, 10.0)])
def test_room_has_the_reverberation_time_and_direct_ratio_asked_for(seconds, direct):
    response = room_response(np.random.default_rng(1), seconds, direct)
    assert response[0] == 1
    assert decibels(1 / np.sum(response[1:] ** 2)) == pytest.approx(direct, abs=1e-6)
    # Schroeder's backward integration, read from -5 to -35 dB as T30 is.
    decay = decibels(np.cumsum(response[:0:-1] ** 2)[::-1])
    decay -= decay[0]
    fit = (decay < -5) & (decay > -35)
    slope = np.polyfit(np.flatnonzero(fit) / RATE, decay[fit], 1)[0]
    assert -60 / slope == pytest.approx(seconds, rel=0.08)


def test_room_shifts_nothing():
    click = np.zeros(3000, np.float32)
    click[1000] = 1
    heard = in_room(click, np.random.default_rng(2))
    response = room_response(np.random.default_rng(2))
    assert heard.dtype == np.float32 and len(heard) == len(click)
    assert np.abs(heard[:1000]).max() < 1e-6
    np.testing.assert_allclose(heard[1000:], response[:2000], atol=1e-6)
    speech = np.random.default_rng(3).standard_normal(3000).astype(np.float32)
    expected = np.convolve(speech.astype(np.float64), response)[:3000]
    np.testing.assert_allclose(
        in_room(speech, np.random.default_rng(2)), expected, rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("change", [sounds.band_limited, sounds.telephone])
@pytest.mark.parametrize("length", [16_000, 15_999, 8_001, 801, 81])
def test_eight_kilohertz_keeps_length_and_place(change, length):
    noise = 0.1 * np.random.default_rng(0).standard_normal(length).astype(np.float32)
    out = change(noise)
    assert out.shape == (length,) and out.dtype == np.float32 and np.isfinite(out).all()
    if length < 1000:
        return
    lag = np.argmax(np.correlate(out, noise[100:-100], "valid")) - 100
    assert lag == 0
    assert share_above(noise, 4000) > 0.4
    # The mu-law's distortion is within the band, too: it happens at 8 kHz.
    assert share_above(out, 4100) < 1e-8


def test_what_8khz_and_telephone_let_through():
    middle, low, high = tone(1000), tone(120), tone(3800)
    inside = slice(2000, -2000)  # without the ends, where a tone begins and stops
    np.testing.assert_allclose(sounds.band_limited(middle)[inside], middle[inside], atol=1e-3)
    np.testing.assert_allclose(sounds.band_limited(low)[inside], low[inside], atol=1e-3)
    heard = sounds.telephone(middle)
    error = (heard - middle)[inside]
    assert 30 < decibels(power(middle[inside]) / power(error)) < 45  # of 8 bits of mu-law
    for lost in (low, high):
        assert power(sounds.telephone(lost)[inside]) < 0.03 * power(lost[inside])


def test_made_sounds_are_what_they_say():
    for seconds in (0.3, 2.05):
        made = sounds.music(seconds, np.random.default_rng(0))
        again = sounds.music(seconds, np.random.default_rng(0))
        np.testing.assert_array_equal(made, again)
        assert len(made) == round(seconds * RATE) and np.abs(made).max() == pytest.approx(0.3)
    chord = made[: round(0.5 * RATE)]
    spectrum = np.abs(np.fft.rfft(chord * np.hanning(len(chord)), 8 * RATE))
    for semitones in (0, 4, 7):  # C, E and G stand out of what is between the notes
        bin_of = 8 * 130.81 * 2 ** (semitones / 12)
        assert spectrum[round(bin_of)] > 10 * spectrum[round(bin_of * 2 ** (1.5 / 12))]
    noise = sounds.white_noise(3, np.random.default_rng(0))
    assert decibels(power(noise)) == pytest.approx(-20, abs=0.2)
    assert share_above(noise, 4000) == pytest.approx(0.5, abs=0.05)


def test_no_noise_is_needed_where_none_is_asked_for(tmp_path):
    with pytest.raises(UsageError, match="leave noise out of --conditions"):
        Noises(tmp_path)
