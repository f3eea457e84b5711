"""Noise of a colour, recorded noise, and rooms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from support.augmented import BINS, NEPERS_PER_DB, RECORDED, added, augmenter, full, speechlike
from torch import Tensor

from speechattn.audio.features import FrontEndConfig
from speechattn.training.augmentation import (
    DIRECT_DB,
    ROOM_FRAMES,
)


@pytest.mark.parametrize("noises", [(), RECORDED], ids=["coloured", "recorded"])
@pytest.mark.parametrize("snr", [0.0, 10.0])
def test_noise_has_the_ratio_asked_for(snr, noises):
    """In a steady signal: its energy to that of the noise, over all frames and bins."""
    x = torch.full((60, 100, BINS), 9.0) + torch.linspace(-4, 4, 60)[:, None, None]
    out = augmenter(noises=noises, noise_probability=1.0, noise_snr_db=(snr, snr))(x, full(x))
    decibels = (x[:, 0, 0].double() - added(out, x).mean((1, 2)).log()) / NEPERS_PER_DB
    assert (decibels - snr).abs().max() < 0.01, decibels


def test_noise_of_a_colour_is_white_noise_filtered():
    x = torch.full((60, 100, BINS), 9.0)
    out = augmenter(noise_probability=1.0, noise_snr_db=(0.0, 0.0))(x, full(x))
    energy = added(out, x)
    energy = energy / energy.mean(1, keepdim=True)  # exponential: deviation equals mean
    assert abs(energy.std() - 1) < 0.05
    assert abs((energy > math.log(2)).double().mean() - 0.5) < 0.01


def test_noise_ratios_fill_their_range_and_its_colours_differ():
    x = torch.full((800, 30, BINS), 9.0)
    out = augmenter(noise_probability=1.0, noise_snr_db=(-5.0, 10.0))(x, full(x))
    noise = added(out, x)
    decibels = (9.0 - noise.mean((1, 2)).log()) / NEPERS_PER_DB
    assert -5.01 < decibels.min() < -4.8 and 9.8 < decibels.max() < 10.01
    assert abs(decibels.mean() - 2.5) < 0.6 and abs(decibels.std() - 15 / math.sqrt(12)) < 0.4
    tilt = (noise[:, :, :20].mean((1, 2)) / noise[:, :, -20:].mean((1, 2))).log()
    assert (tilt > 0.5).any() and (tilt < -0.5).any()


def test_recorded_noises_are_stretches_that_take_turns_with_colours():
    """They begin anywhere, and over again where they end."""
    made = augmenter(noises=[RECORDED[0], RECORDED[0][:5] + 3])
    lengths, starts = [], set()
    for _ in range(400):
        x = made.noise(50, BINS)
        assert x.exp().mean() == pytest.approx(1.0, rel=1e-4)
        for recorded in made.noises:
            later = [np.roll(recorded.astype(np.float32), -start, 0) for start in (0, 1, 2)]
            places = [np.resize(stretch, (50, BINS)) for stretch in later]
            for start, place in enumerate(places):
                offset = x.numpy() - place
                if offset.max() - offset.min() < 1e-3:
                    starts.add((len(recorded), start))
        period = next((n for n in (5, 37) if torch.equal(x[:-n], x[n:])), 0)
        lengths.append(period)
    shares = [lengths.count(n) / 400 for n in (0, 5, 37)]
    assert abs(shares[0] - 0.5) < 0.09 and abs(shares[1] - 0.25) < 0.08, shares
    assert {(5, 0), (5, 1), (5, 2)} <= starts


def test_noise_only_adds_energy_and_is_faint_at_a_high_ratio():
    x = speechlike()
    loud = augmenter(noise_probability=1.0, noise_snr_db=(0.0, 0.0))(x, full(x))
    faint = augmenter(noise_probability=1.0, noise_snr_db=(80.0, 80.0))(x, full(x))
    assert (loud >= x - 1e-4).all() and (loud - x).mean() > 0.3
    assert (faint - x).mean() < 0.01


def click(batch: int, frames: int, at: int = 5) -> Tensor:
    """Silence but for one loud frame."""
    x = torch.full((batch, frames, BINS), -15.0)
    x[:, at] = 12.0
    return x


def tails(x: Tensor, at: int = 5) -> Tensor:
    """What follows a click, as shares of its energy, shape (batch, frames)."""
    return (x[:, at:, 0].double() - 12.0).exp()


@pytest.mark.parametrize("seconds", [0.4, 0.8])
def test_a_click_in_a_room_has_an_exponential_tail(seconds):
    x = click(300, 120)
    out = augmenter(room_probability=1.0, room_seconds=(seconds, seconds))(x, full(x))
    assert (out[:, :5] + 15.0).abs().max() < 3.0  # nothing before it but the silence's own echo
    torch.testing.assert_close(out, out[:, :, :1].expand_as(out), rtol=0, atol=1e-4)
    tail = tails(out)
    assert (tail[:, 0] - 1).abs().max() < 1e-4
    echo = tail[:, 1:ROOM_FRAMES]
    heard = echo[:, : round(50 * seconds)]  # as far as it is loud
    fall = -heard.log().diff(dim=1) / NEPERS_PER_DB
    assert (fall - 60 * 0.01 / seconds).abs().max() < 0.01  # dB a frame
    direct = -echo.sum(1).log() / NEPERS_PER_DB
    low, high = DIRECT_DB
    assert low - 0.01 < direct.min() < low + 0.5 and high - 0.5 < direct.max() < high + 0.01
    assert tail[:, ROOM_FRAMES:].max() < 1e-9


def test_reverberation_times_fill_their_range():
    x = click(400, 40)
    out = augmenter(room_probability=1.0, room_seconds=(0.2, 0.8))(x, full(x))
    fall = -tails(out)[:, 1:10].log().diff(dim=1).mean(1) / NEPERS_PER_DB
    seconds = 60 * 0.01 / fall
    assert 0.199 < seconds.min() < 0.21 and 0.79 < seconds.max() < 0.801
    assert abs(seconds.mean() - 0.5) < 0.04


def test_a_room_adds_up_the_echoes_of_all_frames():
    """Against a convolution written out, the response being what a click gives."""
    parts = {"seed": 4, "room_probability": 1.0}
    x = speechlike(3, 100)
    response = tails(augmenter(**parts)(click(3, 120), torch.full((3,), 120)))
    out = augmenter(**parts)(x, full(x)).double().exp()
    for row in range(3):
        energy = x[row].double().exp()
        for t in (0, 1, 50, 99):
            first = max(0, t - ROOM_FRAMES + 1)
            expected = sum(energy[s] * response[row, t - s] for s in range(first, t + 1))
            torch.testing.assert_close(out[row, t], expected, rtol=1e-3, atol=0)


def test_how_long_the_batch_is_makes_no_difference_to_a_room():
    parts = {"seed": 2, "room_probability": 1.0}
    long, short = (augmenter(**parts)(click(5, n), torch.full((5,), 12)) for n in (100, 12))
    torch.testing.assert_close(long[:, :12], short, rtol=0, atol=1e-4)


def test_a_share_of_the_utterances_gives_way_to_noise():
    half = augmenter(silence_probability=0.3)
    assert abs(np.mean([half.silenced() for _ in range(2000)]) - 0.3) < 0.04
    assert not any(augmenter().silenced() for _ in range(50))
    mfcc = FrontEndConfig(kind="mfcc", num_mel_bins=BINS, num_ceps=BINS)
    assert not augmenter(front_end=mfcc, silence_probability=1.0).silenced()


def test_the_level_that_noise_is_measured_against_is_the_mean_energy():
    """Speech at 12, pauses at 2, half and half: 3 dB below the speech."""
    x = torch.full((60, 100, BINS), 2.0)
    x[:, ::2] = 12.0
    out = augmenter(noise_probability=1.0, noise_snr_db=(10.0, 10.0))(x, full(x))
    noise = added(out, x)[:, 1::2].mean((1, 2)).log()
    below_speech = (12.0 - noise) / NEPERS_PER_DB
    assert (below_speech - 10.0 - 10 * math.log10(2)).abs().max() < 0.6


def test_padding_is_no_part_of_the_level_that_noise_is_measured_against():
    x = torch.full((60, 100, BINS), 9.0)
    lengths = torch.tensor([100, 20] * 30)
    x[1::2, 20:] = 0.0
    out = augmenter(noise_probability=1.0, noise_snr_db=(10.0, 10.0))(x, lengths)
    noise = added(out, x)[:, :20].mean((1, 2)).log()
    decibels = (9.0 - noise) / NEPERS_PER_DB
    assert (decibels - 10.0).abs().max() < 0.9
