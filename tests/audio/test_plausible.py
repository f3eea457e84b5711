"""Samples that are not laid out as the header says."""

from __future__ import annotations

import numpy as np
import pytest
from support.bad_headers import voice

from speechattn.audio.plausible import Plausibility

SOUND = voice(20_000) + 0.003 * np.random.default_rng(0).standard_normal(20_000).astype(np.float32)


def warnings(samples: np.ndarray) -> str:
    plausibility = Plausibility()
    plausibility.add(samples.astype(np.float32))
    return " ".join(plausibility.warnings())


def test_one_channel_as_it_is_raises_no_doubt():
    assert warnings(SOUND[:, None]) == ""
    assert warnings(np.round(SOUND[:, None] * 20) / 20) == ""  # many neighbours are equal
    assert warnings(np.stack([SOUND, SOUND], 1)) == ""
    assert warnings(np.stack([SOUND, np.roll(SOUND, 1)], 1)) == ""


def test_one_channel_taken_for_two():
    assert "look like 1 channel, but the header says 2" in warnings(SOUND.reshape(-1, 2))


@pytest.mark.parametrize("start", [0, 1])
def test_two_equal_channels_taken_for_one(start):
    assert "each sample stands twice" in warnings(np.repeat(SOUND, 2)[start:, None])


def test_one_sharp_sound_is_not_taken_for_another_number_of_channels():
    time = np.arange(1500) / 16_000
    sharp = np.sin(2 * np.pi * 7600 * time) * 0.4
    samples = np.concatenate([SOUND[:8500], sharp, SOUND[8500:18_000]])
    assert warnings(samples[:, None]) == ""


def test_two_channels_taken_for_one():
    both = np.stack([SOUND, np.roll(SOUND, 5)], 1)
    assert "look like 2 channels, but the header says 1" in warnings(both.reshape(-1, 1))
